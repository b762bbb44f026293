"""Which consent a phone has, of what happened to it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.consent import find_standing, is_consent_enough
from app.domain.words import Cause, ConsentBasis, ConsentScope, DemandedBasis, Purpose

START = datetime(2026, 2, 15, tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    event: str
    at: datetime
    cause: Cause | None = None
    rule: str | None = None
    basis: ConsentBasis | None = None
    scopes: list[ConsentScope] | None = None
    obtained_at: datetime | None = None


def build_events(story: str) -> list[Event]:
    """One event an hour. `w m`: a written consent to marketing; `@-5`: obtained so many hours from the start."""
    bases: dict[str, ConsentBasis] = {
        "w": "express_written", "e": "express", "i": "inquiry", "r": "existing_relationship", "n": "none",
    }  # fmt: skip
    scopes: dict[str, list[ConsentScope]] = {
        "m": ["marketing"], "c": ["conversational"], "b": ["marketing", "conversational"],
    }  # fmt: skip
    events = []
    for hour, words in enumerate(story.split(", ")):
        at = START + timedelta(hours=hour)
        kind, *more = words.split()
        obtained_at = next((START + timedelta(hours=int(word[1:])) for word in more if word.startswith("@")), None)
        about = next((scopes[word] for word in more if word in scopes), None)
        match kind:
            case "STOP":
                events.append(Event("opted_out", at, "lead", "word"))
            case "START":
                events.append(Event("opted_in", at, "lead", "word"))
            case "undo":
                events.append(Event("opt_out_undone", at, "lead", "person"))
            case "block":
                events.append(Event("suppressed", at, "person", "hand"))
            case "revoke":
                events.append(Event("consent_revoked", at, scopes=about))
            case _:
                events.append(Event("consent_given", at, basis=bases[kind], scopes=about, obtained_at=obtained_at))
    return events


@pytest.mark.parametrize(
    ("story", "marketing", "conversational"),
    [
        ("w m", "express_written", None),
        ("w b", "express_written", "express_written"),
        ("w", "express_written", "express_written"),
        ("w m, i c", "express_written", "inquiry"),
        ("w m, e m", "express", None),  # the later entry counts
        ("w m @-1, e m @-5", "express_written", None),  # by its own time
        ("w b, n m", None, "express_written"),
        ("w b, STOP", None, None),
        ("STOP, w m @-3", None, None),  # given before the opt-out, recorded after it
        ("STOP, w m", "express_written", None),
        ("w b, STOP, START", "express", "express"),
        ("w b, START", "express_written", "express_written"),
        ("START", "express", "express"),
        ("w b, STOP, undo", "express_written", "express_written"),
        ("w b, STOP, STOP, undo", "express_written", "express_written"),
        ("w b, STOP, START, STOP, undo", "express", "express"),
        ("w b, STOP, i c, undo", "express_written", "inquiry"),
        ("w b, revoke m", None, "express_written"),
        ("w b, revoke", None, None),
        ("w b, revoke, e c", None, "express"),
        ("w b, block", "express_written", "express_written"),  # a block is no revocation; it blocks all the same
    ],
)  # fmt: skip
def test_the_present_consent_follows_from_all_that_happened(
    story: str, marketing: str | None, conversational: str | None
) -> None:
    standing = find_standing(build_events(story))
    bases = {scope: event.basis or "express" for scope, event in standing.items()}
    assert (bases.get("marketing"), bases.get("conversational")) == (marketing, conversational)


@pytest.mark.parametrize(
    ("story", "purpose", "demanded", "is_enough"),
    [
        ("w m", "marketing", "express_written", True),
        ("e m", "marketing", "express_written", False),
        ("e m", "marketing", "express", True),
        ("e m", "marketing", "inquiry", True),
        ("r m", "marketing", "inquiry", False),
        ("w c", "marketing", "existing_relationship", False),  # consent to talk is none to sell
        ("w m", "conversational", "express", True),
        ("i c", "transactional", "inquiry", True),
        ("n b", "conversational", "existing_relationship", False),
        ("w b, STOP", "transactional", "existing_relationship", False),
    ],
)
def test_a_consent_is_enough_on_its_basis_or_a_weaker_one(
    story: str, purpose: Purpose, demanded: DemandedBasis, is_enough: bool
) -> None:
    assert is_consent_enough(find_standing(build_events(story)), purpose, demanded) is is_enough
