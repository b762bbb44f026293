"""What the law and the tenant's own rules say about one text: its purpose, when it may leave, and how many may."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from app.domain import quiet
from app.domain.contact_checks import CHECK_RULE, CHECK_WORDS, REFUSAL_WORDS, ContactCheck
from app.domain.law.caps import Cap
from app.domain.law.holidays import is_holiday
from app.domain.law.places import Place, find_place
from app.domain.law.rules import RULES, RULES_BY_ID, LawRule
from app.domain.quiet import Hours
from app.domain.transcripts import format_time
from app.domain.words import Purpose, Relation

QUIET_HOURS_RULE = "quiet_hours"
QUIET_HOURS_REASON = "quiet hours"
LIFTED_BY_ANSWER = "the lead writes: an answer may leave at any time"
LIFTED_BY_WEBHOOK = "your webhook answers that the phone may be contacted"
LIFTED_BY_EXCEPTION = "an exception from this rule, with a reason (settings: lawExceptions)"


@dataclass(frozen=True, slots=True)
class Reason:
    """A rule that holds or refuses a text. `until`: from when on this rule lets it go; None: not by waiting."""

    rule: str
    words: str
    citation: str | None = None
    until: datetime | None = None
    lifted_by: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        return f"{self.words} ({self.citation})" if self.citation else self.words


@dataclass(frozen=True, slots=True)
class RuledHours:
    """Hours in one zone, and the rule that wants them."""

    reason: Reason
    hours: Hours


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFacts:
    """What a tenant's rules ask about a text, as it is stored. None of it is known where no rule asks."""

    is_law_on: bool
    exceptions: Sequence[Mapping[str, str]]
    relation: Relation
    is_talking: bool
    """The lead wrote within a day."""
    campaign_purpose: Purpose | None
    require_consent: Mapping[str, str] | None
    max_first_contacts: int | None
    max_without_reply: int | None
    state: str | None
    postal_code: str | None
    contact_check: ContactCheck | None = None
    """What the tenant's webhook said of the phone; None: it asks nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What the rules say about one text."""

    purpose: Purpose | None = None
    """None: no rule asks for it."""
    relation: Relation | None = None
    place: Place | None = None
    hours: tuple[RuledHours, ...] = ()
    caps: tuple[Cap, ...] = ()
    check: ContactCheck | None = None
    """For a first contact: what the tenant's webhook said of the phone."""
    reasons: tuple[Reason, ...] = field(default=())
    """Why the text waits."""

    @property
    def is_counted(self) -> bool:
        """Whether the text counts against caps: an answer never does."""
        return self.relation in ("first_contact", "known")


def find_purpose(facts: GateFacts, given_purpose: Purpose | None, is_by_hand: bool = False) -> Purpose:
    """Why the text is sent. An answer is conversational if nothing else is said, and so is what a person writes to
    somebody who wrote within a day; any other text is what its campaign is for. Without anybody who wrote there is no
    conversation."""
    is_conversational = facts.relation == "reply" or (is_by_hand and facts.is_talking)
    purpose = given_purpose or ("conversational" if is_conversational else facts.campaign_purpose or "marketing")
    return "marketing" if purpose == "conversational" and facts.relation == "first_contact" else purpose


def find_gate_place(facts: GateFacts | None, phone: str, timezone: str | None) -> Place:
    """Where the recipient may be, as far as the rules ask: without the law's only the zones count."""
    if facts and facts.is_law_on:
        return find_place(phone, facts.state, facts.postal_code, timezone)
    return Place("unknown", (), quiet.find_zones(phone, timezone))


def list_rules(
    kind: str, purpose: Purpose, relation: Relation, place: Place, excepted_ids: Iterable[str]
) -> list[LawRule]:
    """The rules of the place that concern such a text, but for those that the tenant excepts."""
    jurisdictions, excepted_rules = place.jurisdictions, set(excepted_ids)
    return [
        rule
        for rule in RULES
        if rule.kind == kind
        and rule.jurisdiction in jurisdictions
        and rule.id not in excepted_rules
        and rule.concerns(purpose, relation)
    ]


def build_gate(
    facts: GateFacts | None,
    place: Place,
    given_purpose: Purpose | None,
    quiet_hours: Mapping[str, Any] | None,
    day: date,
    is_by_hand: bool = False,
) -> Gate | None:
    """The rules for a text; None: there are none. `quiet_hours`: the tenant's, if they count for this text. `day`: when
    it should leave, for the rules about how many may."""
    own_hours = _rule_quiet_hours(place, quiet_hours) if quiet_hours else []
    if facts is None:
        return Gate(hours=tuple(own_hours)) if own_hours else None
    purpose = find_purpose(facts, given_purpose, is_by_hand)
    law_hours: list[RuledHours] = []
    law_caps: list[Cap] = []
    if facts.is_law_on:
        excepted_rules = [exception["rule"] for exception in facts.exceptions]
        law_hours = [
            ruled_hours
            for rule in list_rules("hours", purpose, facts.relation, place, excepted_rules)
            for ruled_hours in _rule_hours(rule, place)
        ]
        law_caps = [
            Cap(rule.id, rule.words, rule.texts, rule.counts, rule.citation)
            for rule in list_rules("cap", purpose, facts.relation, place, excepted_rules)
            if rule.texts is not None and rule.is_in_force(day)
        ]
    return Gate(
        purpose=purpose,
        relation=facts.relation,
        place=place if facts.is_law_on else None,
        hours=(*law_hours, *own_hours),
        caps=(*law_caps, *_build_own_caps(facts)),
        check=facts.contact_check if facts.relation == "first_contact" else None,
    )


def _rule_hours(rule: LawRule, place: Place) -> list[RuledHours]:
    assert rule.week is not None
    reason = Reason(rule.id, rule.words, rule.citation, None, (LIFTED_BY_ANSWER, LIFTED_BY_EXCEPTION))
    ends, is_closed = rule.ends or date.max, is_holiday if rule.keeps_holidays else None
    return [RuledHours(reason, Hours(zone, rule.week, rule.starts, ends, is_closed)) for zone in place.zones]


def _rule_quiet_hours(place: Place, settings: Mapping[str, Any]) -> list[RuledHours]:
    reason = Reason(
        QUIET_HOURS_RULE, QUIET_HOURS_REASON, None, None, (LIFTED_BY_ANSWER, "other quiet hours (settings)")
    )
    return [RuledHours(reason, hours) for hours in quiet.build_daily_hours(place.zones, settings)]


def _build_own_caps(facts: GateFacts) -> list[Cap]:
    """The tenant's own caps that concern the text. An answer is free of them."""
    caps = []
    if facts.relation == "first_contact" and facts.max_first_contacts is not None:
        words = f"at most {facts.max_first_contacts} first contacts with a phone in 24 hours"
        caps.append(Cap("max_first_contacts_per_day", words, facts.max_first_contacts, "first_contact"))
    if facts.relation != "reply" and facts.max_without_reply is not None:
        words = f"at most {facts.max_without_reply} texts to a phone in 24 hours without a reply"
        caps.append(Cap("max_texts_per_day_without_reply", words, facts.max_without_reply, "without_reply"))
    return caps


def hold(gate: Gate, at: datetime) -> tuple[Gate, datetime | None]:
    """The gate with the reasons why a text waits that should leave at this time, and until when; None: it need not."""
    gate, until = hold_by_hours(gate, at)
    check_until = gate.check.until if gate.check and gate.check.is_open else None
    if check_until and check_until > at:
        check_reason = Reason(CHECK_RULE, CHECK_WORDS, None, check_until, (LIFTED_BY_WEBHOOK, LIFTED_BY_ANSWER))
        gate = replace(gate, reasons=(*gate.reasons, check_reason))
        until = max(until, check_until) if until else check_until
    return gate, until


def hold_by_hours(gate: Gate, at: datetime) -> tuple[Gate, datetime | None]:
    """As `hold`, of the hours alone."""
    until = quiet.find_earliest(at, [ruled_hours.hours for ruled_hours in gate.hours])
    return (replace(gate, reasons=tuple(_list_reasons(gate, at, until))), until) if until else (gate, None)


def find_refusal(gate: Gate | None) -> Reason | None:
    """Why the tenant's webhook wants no first contact; None: it does not say so."""
    check = gate.check if gate else None
    if check is None or check.state != "refused" or check.reason is None:
        return None
    words = REFUSAL_WORDS[check.reason] + (f": {check.words}" if check.words else "")
    return Reason(check.reason, words, None, check.until, ("the lead writes", "another answer of your webhook"))


def find_time_after(reasons: Sequence[Reason]) -> datetime | None:
    """When all of the reasons have passed; None: never by waiting."""
    times = [reason.until for reason in reasons]
    return max(time for time in times if time) if times and all(times) else None


def find_earliest(gate: Gate, reasons: Sequence[Reason]) -> datetime | None:
    """When all of the reasons have passed and hours let the text go; None: never by waiting."""
    free_at = find_time_after(reasons)
    return (hold(gate, free_at)[1] or free_at) if free_at else None


def _list_reasons(gate: Gate, at: datetime, until: datetime) -> list[Reason]:
    """Each rule once that forbids the text at some time before `until`."""
    reasons: dict[str, Reason] = {}
    for _ in range(quiet.MAX_MORNINGS):
        openings = [
            (ruled_hours.reason, opens_at)
            for ruled_hours in gate.hours
            if (opens_at := quiet.find_opening(at, ruled_hours.hours))
        ]
        for reason, opens_at in sorted(openings, key=lambda pair: pair[1], reverse=True):
            reasons.setdefault(reason.rule, replace(reason, until=opens_at))
        at = max((opens_at for _, opens_at in openings), default=until)
        if at >= until:
            break
    return list(reasons.values())


def explain_hold(rule: str, words: str | None, until: datetime | None) -> Reason:
    """Why a stored text is held by this rule, or last was. `words`: as they were stored."""
    law = RULES_BY_ID.get(rule)
    if rule == CHECK_RULE:
        return Reason(rule, CHECK_WORDS, None, until, (LIFTED_BY_WEBHOOK, LIFTED_BY_ANSWER))
    if law is None:
        return Reason(rule, words or rule.replace("_", " "), None, until, (LIFTED_BY_ANSWER, "other settings"))
    return Reason(rule, law.words, law.citation, until, (LIFTED_BY_ANSWER, LIFTED_BY_EXCEPTION))


def describe_hold(gate: Gate) -> tuple[str, str]:
    """The rule that holds a text longest, and why it is held, in words."""
    last_reason = max(gate.reasons, key=lambda reason: reason.until or datetime.min.replace(tzinfo=UTC))
    return last_reason.rule, "; ".join(reason.sentence for reason in gate.reasons)


def build_verdict(gate: Gate | None, earliest_at: datetime | None, refusals: Sequence[Reason] = ()) -> dict[str, Any]:
    """The verdict as the API shows it. `refusals`: why the text may not be sent at all."""
    gate = gate or Gate()
    reasons = [*refusals, *gate.reasons]
    words = "no" if refusals else "later" if gate.reasons else "may"
    return {
        "verdict": words,
        "purpose": gate.purpose,
        "relation": gate.relation,
        "jurisdictions": gate.place.jurisdictions if gate.place else [],
        "placeFrom": gate.place.source if gate.place else None,
        "earliestAt": format_time(earliest_at) if earliest_at else None,
        "reasons": [
            {
                "rule": reason.rule,
                "words": reason.words,
                "citation": reason.citation,
                "until": format_time(reason.until) if reason.until else None,
                "liftedBy": list(reason.lifted_by),
            }
            for reason in reasons
        ],
    }
