"""Which opt-outs a person may undo, and which consent a phone has."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar, get_args

from app.domain.words import ConsentBasis, ConsentScope, DemandedBasis, Purpose

MISTAKABLE_RULES = frozenset({"sentence", "meaning", "person"})
"""The rules that understood an opt-out. A definitive word or a carrier's verdict is no mistake."""
LIFTING_EVENTS = frozenset({"opted_in", "opt_out_undone"})


class RecordedEvent(Protocol):
    """A consent event of a phone."""

    @property
    def event(self) -> str: ...
    @property
    def cause(self) -> str | None: ...
    @property
    def rule(self) -> str | None: ...


E = TypeVar("E", bound=RecordedEvent)


def find_undoable(events: Iterable[E]) -> list[E]:
    """The opt-outs that stand and may be a mistake, of a phone's events from the oldest on. None if one
    of those that stand cannot be a mistake."""
    standing_opt_outs: list[E] = []
    for event in events:
        if event.event in LIFTING_EVENTS:
            standing_opt_outs = []
        elif event.event == "opted_out" and event.cause == "lead":
            standing_opt_outs.append(event)
    return standing_opt_outs if all(event.rule in MISTAKABLE_RULES for event in standing_opt_outs) else []


BASES: tuple[ConsentBasis, ...] = get_args(ConsentBasis)
SCOPES: tuple[ConsentScope, ...] = get_args(ConsentScope)
SCOPES_BY_PURPOSE: dict[Purpose, tuple[ConsentScope, ...]] = {
    "marketing": ("marketing",),
    "conversational": ("conversational", "marketing"),
    "transactional": ("conversational", "marketing"),
}
"""What a consent must be about for such a text."""


class LedgerEvent(RecordedEvent, Protocol):
    """A consent event of a phone, with what was consented to."""

    @property
    def basis(self) -> ConsentBasis | None: ...
    @property
    def scopes(self) -> Sequence[ConsentScope] | None: ...
    @property
    def obtained_at(self) -> datetime | None: ...
    @property
    def at(self) -> datetime: ...


L = TypeVar("L", bound=LedgerEvent)


def find_standing(events: Iterable[L]) -> dict[ConsentScope, L]:
    """The event that gives the present consent, by scope. It is their own times that count: a consent that is recorded
    late does not outlive an opt-out that came after it. An opt-out revokes all; if it was a mistake, nothing was
    revoked. START gives what it may give: an express consent, if there is no better one."""
    consents: dict[ConsentScope, L] = {}
    before_opt_out: dict[ConsentScope, L] = {}
    for event in sorted(events, key=lambda event: event.obtained_at or event.at):
        match event.event:
            case "consent_given":
                for scope in event.scopes or SCOPES:
                    consents[scope] = event
            case "consent_revoked":
                consents = {
                    scope: consent for scope, consent in consents.items() if scope not in (event.scopes or SCOPES)
                }
            case "opted_out" if event.cause == "lead":
                before_opt_out, consents = consents or before_opt_out, {}
            case "opt_out_undone":
                consents = {**before_opt_out, **consents}
            case "opted_in":
                consents = {scope: consents.get(scope, event) for scope in SCOPES}
                before_opt_out = {}
    return {scope: event for scope, event in consents.items() if event.basis != "none"}


def get_basis(event: LedgerEvent) -> ConsentBasis:
    return event.basis or "express"


def is_consent_enough(consents: dict[ConsentScope, L], purpose: Purpose, least_basis: DemandedBasis) -> bool:
    """Whether the consent allows texts of the purpose, on such a basis or a better one."""
    bases = [get_basis(consents[scope]) for scope in SCOPES_BY_PURPOSE[purpose] if scope in consents]
    return any(BASES.index(basis) <= BASES.index(least_basis) for basis in bases)
