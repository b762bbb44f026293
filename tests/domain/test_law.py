"""The law's rules, compared with a table that was made by hand from the statutes."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from time import process_time
from zoneinfo import ZoneInfo

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.commands.consents import find_demand
from app.domain.consent import SCOPES_BY_PURPOSE, find_standing, is_consent_enough
from app.domain.law import gates
from app.domain.law.caps import Cap, CountedText, find_free_time, is_counted, is_free
from app.domain.law.disclosing import asks_whether_human
from app.domain.law.gates import GateFacts
from app.domain.law.places import STATES, find_place, read_state, read_zip
from app.domain.law.rules import RULES, LawRule
from app.domain.words import Purpose, Relation
from tests.domain.test_consent import build_events

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOURS = """
# Marketing, to somebody whom we text first. By state and weekday: a local time, and whether a text may leave.
CA mon-sun  00:00- 07:59- 08:00+ 12:00+ 20:59+ 21:00- 23:59-
NY mon-sun  00:00- 07:59- 08:00+ 12:00+ 20:59+ 21:00- 23:59-
AL mon-sat  00:00- 07:59- 08:00+ 12:00+ 19:59+ 20:00- 20:59-
AL sun      00:00- 07:59- 08:00- 12:00- 19:59- 20:00- 20:59-
CT mon-sun  00:00- 08:00- 08:59- 09:00+ 19:59+ 20:00- 20:59-
FL mon-sun  00:00- 07:59- 08:00+ 12:00+ 19:59+ 20:00- 20:59-
KY mon-sun  00:00- 08:00- 09:59- 10:00+ 20:59+ 21:00- 23:59-
LA mon-sat  00:00- 07:59- 08:00+ 12:00+ 19:59+ 20:00- 20:59-
LA sun      00:00- 07:59- 08:00- 12:00- 19:59- 20:00- 20:59-
MA mon-sun  00:00- 07:59- 08:00+ 12:00+ 19:59+ 20:00- 20:59-
MD mon-sun  00:00- 07:59- 08:00+ 12:00+ 19:59+ 20:00- 20:59-
MI mon-sun  00:00- 08:00- 08:59- 09:00+ 20:59+ 21:00- 23:59-
MN mon-sun  00:00- 08:00- 08:59- 09:00+ 20:59+ 21:00- 23:59-
MS mon-sat  00:00- 07:59- 08:00+ 12:00+ 19:59+ 20:00- 20:59-
MS sun      00:00- 07:59- 08:00- 12:00- 19:59- 20:00- 20:59-
NM mon-sun  00:00- 08:00- 08:59- 09:00+ 20:59+ 21:00- 23:59-
NV mon-sun  00:00- 08:00- 08:59- 09:00+ 19:59+ 20:00- 20:59-
OK mon-sun  00:00- 07:59- 08:00+ 12:00+ 19:59+ 20:00- 20:59-
OR mon-sun  00:00- 07:59- 08:00+ 12:00+ 19:59+ 20:00- 20:59-
PA mon-sat  00:00- 08:00- 08:59- 09:00+ 18:59+ 19:00- 20:59-
PA sun      00:00- 08:59- 09:00- 12:00- 18:59- 19:00- 20:59-
RI mon-fri  00:00- 08:00- 08:59- 09:00+ 17:59+ 18:00- 20:59-
RI sat      00:00- 09:00- 09:59- 10:00+ 16:59+ 17:00- 20:59-
RI sun      00:00- 09:59- 10:00- 12:00- 16:59- 17:00- 20:59-
SD mon-sat  00:00- 08:00- 08:59- 09:00+ 20:59+ 21:00- 23:59-
SD sun      00:00- 08:59- 09:00- 12:00- 20:59- 21:00- 23:59-
TX mon-sat  00:00- 08:00- 08:59- 09:00+ 20:59+ 21:00- 23:59-
TX sun      00:00- 09:00- 11:59- 12:00+ 20:59+ 21:00- 23:59-
UT mon-sat  00:00- 07:59- 08:00+ 12:00+ 20:59+ 21:00- 23:59-
UT sun      00:00- 07:59- 08:00- 12:00- 20:59- 21:00- 23:59-
VA mon-sun  00:00- 07:59- 08:00+ 12:00+ 20:59+ 21:00- 23:59-
WA mon-sun  00:00- 07:59- 08:00+ 12:00+ 19:59+ 20:00- 20:59-
WY mon-sun  00:00- 07:59- 08:00+ 12:00+ 19:59+ 20:00- 20:59-
"""
ZONES = {
    "CA": "America/Los_Angeles",
    "NY": "America/New_York",
    "AL": "America/Chicago",
    "CT": "America/New_York",
    "FL": "America/New_York",
    "KY": "America/New_York",
    "LA": "America/Chicago",
    "MA": "America/New_York",
    "MD": "America/New_York",
    "MI": "America/Detroit",
    "MN": "America/Chicago",
    "MS": "America/Chicago",
    "NM": "America/Denver",
    "NV": "America/Los_Angeles",
    "OK": "America/Chicago",
    "OR": "America/Los_Angeles",
    "PA": "America/New_York",
    "RI": "America/New_York",
    "SD": "America/Chicago",
    "TX": "America/Chicago",
    "UT": "America/Denver",
    "VA": "America/New_York",
    "WA": "America/Los_Angeles",
    "WY": "America/Denver",
}
WEEKS = {
    "winter": date(2027, 1, 11),
    "summer": date(2027, 7, 12),
    "clocks forward": date(2027, 3, 8),  # on its Sunday
    "clocks back": date(2026, 10, 26),
}
"""Their Mondays."""
SPLIT_STATES = """
# States with two zones, of a lead whose zone nobody knows: a text may leave only when it may in both.
FL 08:30 America/New_York -
FL 09:00 America/New_York +
FL 19:59 America/New_York +
FL 20:00 America/New_York -
TX 09:30 America/Chicago -
TX 10:00 America/Chicago +
TX 20:59 America/Chicago +
TX 21:00 America/Chicago -
KY 10:30 America/New_York -
KY 11:00 America/New_York +
KY 20:59 America/New_York +
KY 21:00 America/New_York -
TN 08:30 America/New_York -
TN 09:00 America/New_York +
OR 07:30 America/Los_Angeles -
OR 08:00 America/Los_Angeles +
OR 18:59 America/Los_Angeles +
OR 19:30 America/Los_Angeles -
SD 09:30 America/Chicago -
SD 10:00 America/Chicago +
SD 20:59 America/Chicago +
SD 21:30 America/Chicago -
NV 08:59 America/Los_Angeles -
NV 09:00 America/Los_Angeles +
NV 18:59 America/Los_Angeles +
NV 19:30 America/Los_Angeles -
"""
DISAGREEING_ZONES = """
# The lead's state and phone say one thing, its own zone another: the clock is the lead's, the rules the state's.
FL America/Los_Angeles 2026-01-12 19:59 +
FL America/Los_Angeles 2026-01-12 20:00 -
FL America/Los_Angeles 2026-01-12 07:59 -
FL Pacific/Honolulu    2026-07-13 08:00 +
TX America/New_York    2026-07-19 11:59 -
TX America/New_York    2026-07-19 12:00 +
AZ America/Phoenix     2026-03-08 07:59 -
AZ America/Phoenix     2026-03-08 08:00 +
NY Europe/London       2026-03-29 07:59 -
NY Europe/London       2026-03-29 08:00 +
"""
HOLIDAYS = """
# At noon on the federal holidays of a year in which some are kept on another day, and on days beside them.
2026-12-25 AL- LA- PA- RI- UT- CA+ FL+ TX+
2027-01-01 AL- LA- PA- RI- UT- CA+ FL+ TX+
2027-01-18 AL- LA- PA- RI- UT- CA+ FL+ TX+
2027-01-19 AL+ LA+ PA+ RI+ UT+ CA+ FL+ TX+
2027-02-15 AL- LA- PA- RI- UT- CA+ FL+ TX+
2027-05-24 AL+ LA+ PA+ RI+ UT+ CA+ FL+ TX+
2027-05-31 AL- LA- PA- RI- UT- CA+ FL+ TX+
2027-06-18 AL- LA- PA- RI- UT- CA+ FL+ TX+
2027-06-19 AL- LA- PA- RI- UT- CA+ FL+ TX+
2027-07-05 AL- LA- PA- RI- UT- CA+ FL+ TX+
2027-07-06 AL+ LA+ PA+ RI+ UT+ CA+ FL+ TX+
2027-09-06 AL- LA- PA- RI- UT- CA+ FL+ TX+
2027-10-11 AL- LA- PA- RI- UT- CA+ FL+ TX+
2027-11-11 AL- LA- PA- RI- UT- CA+ FL+ TX+
2027-11-25 AL- LA- PA- RI- UT- CA+ FL+ TX+
2027-11-26 AL+ LA+ PA+ RI+ UT+ CA+ FL+ TX+
2027-12-24 AL- LA- PA- RI- UT- CA+ FL+ TX+
2027-12-31 AL- LA- PA- RI- UT- CA+ FL+ TX+
"""
OTHER_TEXTS = """
# State, weekday, local time, purpose, relation, and whether a text may leave.
FL mon 22:00 marketing      first_contact -
FL mon 22:00 marketing      known         -
FL mon 22:00 marketing      reply         +
FL mon 22:00 conversational known         +
FL mon 22:00 conversational reply         +
FL mon 22:00 conversational first_contact -
FL mon 22:00 transactional  first_contact +
FL mon 22:00 transactional  known         +
FL mon 22:00 none           first_contact -
FL mon 22:00 none           known         -
FL mon 22:00 none           reply         +
TX sun 10:00 marketing      first_contact -
TX sun 10:00 marketing      known         -
TX sun 10:00 marketing      reply         +
TX sun 10:00 conversational known         +
TX sun 10:00 conversational first_contact -
TX sun 10:00 transactional  first_contact +
TX sun 10:00 none           known         -
TX sun 10:00 none           reply         +
LA sun 15:00 marketing      known         -
LA sun 15:00 transactional  known         +
LA sun 15:00 none           reply         +
CA tue 06:00 marketing      known         -
CA tue 06:00 conversational reply         +
CA tue 06:00 transactional  first_contact +
"""


CONSENTS = """
# State, weekday, local time, purpose, relation, what its campaign asks for, the phone's record, and what a text may.
CA tue 12:00 marketing      first_contact -                     -            may
CA tue 12:00 marketing      first_contact express_written       -            no
CA tue 12:00 marketing      first_contact express_written       w_m          may
CA tue 12:00 marketing      first_contact express_written       w_c          no
CA tue 12:00 marketing      first_contact express_written       e_m          no
CA tue 12:00 marketing      first_contact express_written       i_m          no
CA tue 12:00 marketing      first_contact express               w_m          may
CA tue 12:00 marketing      first_contact express               e_m          may
CA tue 12:00 marketing      first_contact inquiry               i_m          may
CA tue 12:00 marketing      first_contact inquiry               r_m          no
CA tue 12:00 marketing      first_contact existing_relationship r_m          may
CA tue 12:00 marketing      first_contact existing_relationship n_m          no
CA tue 12:00 marketing      known         express_written       -            no
CA tue 12:00 marketing      known         express_written       w_m          may
CA tue 12:00 marketing      reply         express_written       -            may
CA tue 12:00 conversational known         express               -            no
CA tue 12:00 conversational known         express               w_m          may
CA tue 12:00 conversational known         express               e_c          may
CA tue 12:00 conversational known         express               i_c          no
CA tue 12:00 conversational reply         express               -            may
CA tue 12:00 conversational first_contact express               e_c          no
CA tue 12:00 conversational first_contact express               e_m          may
CA tue 12:00 transactional  first_contact inquiry               -            no
CA tue 12:00 transactional  first_contact inquiry               i_c          may
CA tue 12:00 transactional  known         inquiry               w_m          may
CA tue 12:00 marketing      known         express_written       w_m,STOP     no
CA tue 12:00 marketing      known         express_written       w_m,revoke   no
CA tue 12:00 marketing      known         express_written       w_m,revoke_c may
CA tue 12:00 marketing      known         express_written       w_m,STOP,START no
CA tue 12:00 marketing      known         express               w_m,STOP,START may
CA tue 12:00 marketing      known         express_written       w_m,STOP,undo may
FL tue 20:00 marketing      first_contact express_written       w_m          later
FL tue 19:59 marketing      first_contact express_written       w_m          may
FL tue 20:00 marketing      first_contact express_written       -            no
FL tue 20:00 marketing      reply         express_written       -            may
FL tue 20:00 transactional  known         inquiry               i_c          may
FL tue 20:00 conversational known         inquiry               i_c          may
TX sun 11:59 marketing      known         express_written       w_m          later
TX sun 12:00 marketing      known         express_written       w_m          may
TX sun 11:59 marketing      known         express_written       e_m          no
LA sun 12:00 marketing      known         express               e_m          later
LA sun 12:00 marketing      known         express               -            no
LA sun 12:00 marketing      reply         express               -            may
PA sun 12:00 marketing      first_contact -                     -            later
PA mon 19:00 marketing      first_contact express_written       w_m          later
RI sat 17:00 marketing      known         express_written       w_m          later
RI sat 16:59 marketing      known         express_written       w_m          may
KY wed 09:59 marketing      known         express_written       w_m          later
KY wed 10:00 marketing      known         express_written       w_m          may
CT thu 20:00 marketing      first_contact express_written       w_m          later
"""


def parse_hours() -> list[tuple[str, str, str, bool]]:
    """State, weekday, time, and whether a text may leave."""
    cases = []
    for line in HOURS.splitlines():
        if not line or line.startswith("#"):
            continue
        state, days, *times = line.split()
        first, _, last = days.partition("-")
        for day in DAYS[DAYS.index(first) : DAYS.index(last or first) + 1]:
            cases += [(state, day, entry[:-1], entry.endswith("+")) for entry in times]
    return cases


def ask(
    relation: Relation = "first_contact", purpose: Purpose | None = None, state: str | None = None, **more: object
) -> GateFacts:
    facts: dict[str, object] = {
        "is_law_on": True,
        "exceptions": [],
        "relation": relation,
        "is_talking": relation == "reply",
        "campaign_purpose": purpose,
        "require_consent": None,
        "max_first_contacts": None,
        "max_without_reply": None,
        "state": state,
        "postal_code": None,
    }
    return GateFacts(**{**facts, **more})  # type: ignore[arg-type]


def held_until(
    at: datetime, facts: GateFacts, zone: str | None = None, purpose: Purpose | None = None, phone: str = "+12125550123"
) -> datetime | None:
    place = find_place(phone, facts.state, facts.postal_code, zone)
    gate = gates.build_gate(facts, place, purpose, None, at.date())
    assert gate is not None
    return gates.hold(gate, at)[1]


def local_time(week: str, day: str, clock: str, zone: str) -> datetime:
    on = WEEKS[week] + timedelta(days=DAYS.index(day))
    return datetime.combine(on, time.fromisoformat(clock), ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize("week", WEEKS)
@pytest.mark.parametrize("state", sorted(ZONES))
def test_marketing_keeps_the_hours_of_the_state(state: str, week: str) -> None:
    wrong = [
        (day, clock)
        for table_state, day, clock, may in parse_hours()
        if table_state == state
        and (held_until(local_time(week, day, clock, ZONES[state]), ask(state=state), ZONES[state]) is None) != may
    ]
    assert wrong == []


def parse_lines(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("week", WEEKS)
def test_in_a_state_with_two_zones_both_must_allow_the_text(week: str) -> None:
    wrong = [
        (state, clock)
        for state, clock, zone, may in parse_lines(SPLIT_STATES)
        if (held_until(local_time(week, "tue", clock, zone), ask(state=state)) is None) != (may == "+")
    ]
    assert wrong == []


def test_the_leads_own_zone_is_its_clock_whatever_its_state() -> None:
    wrong = [
        (state, zone, day, clock)
        for state, zone, day, clock, may in parse_lines(DISAGREEING_ZONES)
        if (
            held_until(datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=ZoneInfo(zone)), ask(state=state), zone)
            is None
        )
        != (may == "+")
    ]
    assert wrong == []


def test_the_table_has_hundreds_of_cases() -> None:
    assert len(set(parse_hours())) > 1000  # and each is asked in all of the weeks
    assert {state for state, *_ in parse_hours()} == set(ZONES)
    hours_states = {rule.jurisdiction[3:] for rule in RULES if rule.kind == "hours" and rule.jurisdiction != "US"}
    assert hours_states < set(ZONES)


@pytest.mark.parametrize("line", [line for line in OTHER_TEXTS.splitlines() if line and not line.startswith("#")])
def test_purpose_and_relation_decide_whether_hours_count(line: str) -> None:
    state, day, clock, purpose, relation, may = line.split()
    given: Purpose | None = None if purpose == "none" else purpose  # type: ignore[assignment]
    at = local_time("winter", day, clock, ZONES[state])
    assert (held_until(at, ask(relation, state=state), ZONES[state], given) is None) == (may == "+")  # type: ignore[arg-type]


@pytest.mark.parametrize("line", parse_lines(CONSENTS), ids=" ".join)
def test_consent_is_asked_for_besides_the_hours(line: list[str]) -> None:
    state, day, clock, given, relation, demanded, story, expected = line
    purpose: Purpose = given  # type: ignore[assignment]
    facts, at = ask(relation, state=state), local_time("winter", day, clock, ZONES[state])  # type: ignore[arg-type]
    gate = gates.build_gate(facts, find_place("+12125550123", state, None, ZONES[state]), purpose, None, at.date())
    assert gate is not None
    demand = find_demand(gate, {scope: demanded for scope in SCOPES_BY_PURPOSE} if demanded != "-" else None)  # type: ignore[misc]
    events = build_events(story.replace("_", " ").replace(",", ", ")) if story != "-" else []
    is_refused = demand and not is_consent_enough(find_standing(events), demand.purpose, demand.least_basis)
    assert ("no" if is_refused else "later" if gates.hold(gate, at)[1] else "may") == expected


@pytest.mark.parametrize("line", parse_lines(HOLIDAYS), ids=lambda line: line[0])
def test_some_states_want_no_texts_on_holidays(line: list[str]) -> None:
    day, *states = line
    wrong = [
        entry
        for entry in states
        if (
            held_until(
                datetime.fromisoformat(f"{day} 12:00").replace(tzinfo=ZoneInfo(ZONES[entry[:2]])),
                ask(state=entry[:2]),
                ZONES[entry[:2]],
            )
            is None
        )
        != entry.endswith("+")
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("state", "zone", "at", "until"),
    [  # what waits leaves when the hours begin next, by the clock there
        ("TX", "America/Chicago", "2026-01-17 21:00", "2026-01-18 12:00"),  # Saturday night, Sunday noon
        ("LA", "America/Chicago", "2026-01-10 20:00", "2026-01-12 08:00"),  # no Sunday
        ("LA", "America/Chicago", "2026-01-17 20:00", "2026-01-20 08:00"),  # and that Monday is a holiday
        ("FL", "America/New_York", "2026-03-07 20:30", "2026-03-08 08:00"),  # clocks go forward in the night
        ("FL", "America/New_York", "2026-10-31 20:30", "2026-11-01 08:00"),  # and back
        ("CA", "America/Los_Angeles", "2026-03-08 01:30", "2026-03-08 08:00"),
        ("AZ", "America/Phoenix", "2026-07-01 05:00", "2026-07-01 08:00"),
        ("FL", None, "2026-01-12 08:30", "2026-01-12 09:00"),  # Pensacola is an hour behind Miami
        ("TX", None, "2026-01-12 09:30", "2026-01-12 10:00"),  # so is El Paso
        ("TX", None, "2026-01-12 20:59", None),
    ],
)
def test_a_text_waits_until_the_hours_begin(state: str, zone: str | None, at: str, until: str | None) -> None:
    clock = ZoneInfo(zone or ZONES[state])
    asked = datetime.fromisoformat(at).replace(tzinfo=clock).astimezone(UTC)
    expected = until and datetime.fromisoformat(until).replace(tzinfo=clock)
    assert held_until(asked, ask(state=state), zone) == expected


@pytest.mark.parametrize(
    ("state", "at", "may"),
    [
        ("TX", "2025-08-31 10:00", True),
        ("TX", "2025-09-07 10:00", False),
        ("WA", "2022-06-08 20:30", True),
        ("WA", "2022-06-09 20:30", False),
        ("CT", "2023-09-30 08:30", True),
        ("CT", "2023-10-01 08:30", False),
        ("MD", "2023-12-31 20:30", True),
        ("MD", "2024-01-01 20:30", False),
        ("OR", "2025-12-31 20:30", True),
        ("OR", "2026-01-01 20:30", False),
        ("PA", "2026-10-17 08:30", True),  # a Saturday
        ("PA", "2026-10-18 10:00", False),
        ("PA", "2026-10-19 08:30", False),
    ],
)
def test_a_rule_counts_from_its_first_day_on(state: str, at: str, may: bool) -> None:
    asked = datetime.fromisoformat(at).replace(tzinfo=ZoneInfo(ZONES[state])).astimezone(UTC)
    assert (held_until(asked, ask(state=state), ZONES[state]) is None) == may


def test_where_the_place_is_unknown_the_strictest_of_all_counts() -> None:
    at = datetime(2026, 1, 11, 18, 0, tzinfo=UTC)  # a Sunday, at noon in the middle of the country
    place = find_place("+18335550145", None, None, "America/Chicago")
    assert (place.source, len(place.states)) == ("unknown", 51)
    until = held_until(at, ask(), "America/Chicago", phone="+18335550145")
    assert until == datetime(2026, 1, 12, 10, 0, tzinfo=ZoneInfo("America/Chicago"))


def test_no_rule_of_the_united_states_counts_abroad() -> None:
    at = datetime(2026, 1, 12, 3, 0, tzinfo=UTC)
    assert held_until(at, ask(), phone="+442071838750") is None
    assert held_until(at, ask(state="Florida"), phone="+442071838750") is not None  # but who lives there is there


def test_an_exception_takes_one_rule_away_and_the_others_stay() -> None:
    nine = local_time("winter", "mon", "20:30", "America/New_York")
    excepted = [{"rule": "us-fl-hours", "reason": "Our counsel says so"}]
    assert held_until(nine, ask(state="FL"), "America/New_York")
    assert held_until(nine, ask(state="FL", exceptions=excepted), "America/New_York") is None
    late = local_time("winter", "mon", "21:00", "America/New_York")
    assert held_until(late, ask(state="FL", exceptions=excepted), "America/New_York")


moments = st.datetimes(datetime(2024, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
rule_ids = st.sets(st.sampled_from([rule.id for rule in RULES]))


@given(at=moments, state=st.sampled_from([None, *STATES]), excepted=rule_ids, more=rule_ids)
def test_a_rule_never_makes_a_text_earlier(at: datetime, state: str | None, excepted: set[str], more: set[str]) -> None:
    def earliest(exceptions: set[str]) -> datetime:
        facts = ask(state=state, exceptions=[{"rule": rule, "reason": "x"} for rule in exceptions])
        return held_until(at, facts) or at

    assert at <= earliest(excepted | more) <= earliest(excepted)


@given(at=moments, state=st.sampled_from(list(STATES)))
def test_a_held_text_may_leave_when_its_time_has_come(at: datetime, state: str) -> None:
    until = held_until(at, ask(state=state))
    assert until is None or held_until(until, ask(state=state)) is None


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("FL", "FL"),
        ("fl", "FL"),
        ("Florida", "FL"),
        (" new  york ", "NY"),
        ("US-TX", "TX"),
        ("D.C.", "DC"),
        ("Washington, D.C.", "DC"),
        ("Washington", "WA"),
        ("District of Columbia", "DC"),
        ("ON", None),
        ("", None),
        (None, None),
        ("Bavaria", None),
    ],
)
def test_a_state_is_read_in_many_forms(words: str | None, state: str | None) -> None:
    assert read_state(words) == state


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("33101", "FL"),
        ("10001", "NY"),
        ("10001-1234", "NY"),
        ("90210", "CA"),
        ("02139", "MA"),
        ("20001", "DC"),
        ("20101", "VA"),
        ("88510", "TX"),
        ("96701", "HI"),
        ("96910", None),
        ("09001", None),
        ("1000", None),
        ("SW1A 1AA", None),
        ("00501", "NY"),
        (None, None),
    ],
)
def test_a_postal_code_names_its_state(code: str | None, state: str | None) -> None:
    assert read_zip(code) == state


def test_a_state_and_a_postal_code_that_disagree_are_both_possible() -> None:
    assert find_place("+12125550123", "TX", "33101", None).jurisdictions == ["US", "US-FL", "US-TX"]


def test_area_codes_are_those_that_phonenumbers_knows() -> None:
    from phonenumbers import geocoder

    wrong = {}
    for code, state in STATES.items():
        for area in state["areas"].split():
            described = geocoder.description_for_number(phonenumbers.parse(f"+1{area}2345678"), "en")
            if not (described.endswith(f", {code}") or state["name"] in described or "D.C." in described):
                wrong[area] = described
    assert wrong == {}


@pytest.mark.parametrize(
    ("asks", "texts"),
    [
        (
            True,
            "Are you a bot? | r u human | u a bot? | You're a bot aren't you | Is this AI?? | is this a real person"
            " | am I talking to a robot | Are we chatting with an actual human being here | are you even real?"
            " | R U real | are you chatgpt | Bot? | a human? | Real person? | human or machine"
            " | Is this a bot or a person | did a robot write this | is a human texting me | this is a bot isnt it"
            " | Is this an automated message? | is this an auto reply | can I talk to a real person please"
            " | are you guys bots | ARE YOU AN AI | are you artificial intelligence | is it a virtual assistant"
            " | ¿Eres un robot? | es usted una persona | Eres real? | ¿Hablo con una persona o con una máquina?"
            " | estoy chateando con un bot | quiero hablar con una persona real | ¿Persona o robot? | eres ia",
        ),
        (
            False,
            "Are you a solar company? | Is this the Smith residence | who is this | is it a heat pump"
            " | Are you open on Sunday | I have a robot vacuum | is it an automatic transmission | are you there"
            " | It's a machine shop on Main St | Is there parking | can somebody call me | I am a person of few words"
            " | the computer is broken | is it a virtual appointment | ¿Es usted el dueño? | hablo con mi esposa",
        ),
    ],
)
def test_a_lead_asks_in_many_words_whether_a_machine_answers(asks: bool, texts: str) -> None:
    assert [text for text in texts.split(" | ") if asks_whether_human(text) is not asks] == []


@pytest.mark.parametrize("word", ["real ", "actual "])
def test_a_question_is_found_in_a_long_text_too_and_costs_little(word: str) -> None:
    filler, began_at = word * 24_000, process_time()
    assert not asks_whether_human(filler)
    assert asks_whether_human(f"are you a bot? {filler}")
    assert asks_whether_human(f"{filler}. are you a bot?")
    assert process_time() - began_at < 2


DAY = datetime(2026, 1, 12, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "limit", "free"),
    [
        ([], 3, 0),
        ([-1, -2], 3, 0),
        ([-1, -2, -3], 3, 21),
        ([-24, -2, -3], 3, 0),
        ([1, 2, 3], 3, 25),
        ([-20, -1, 2], 3, 4),
        ([-23, -22, 22], 3, 0),
        ([], 0, None),
        ([-1], 1, 23),
        ([-23, 1], 1, 25),
    ],
)
def test_a_cap_counts_each_span_of_24_hours(hours: list[int], limit: int, free: int | None) -> None:
    times = [DAY + timedelta(hours=hour) for hour in hours]
    expected = None if free is None else DAY + timedelta(hours=free)
    assert find_free_time(DAY, times, limit) == expected


def test_after_a_cap_hours_still_count() -> None:
    saturday = local_time("summer", "sat", "10:00", "America/Chicago")
    facts = ask(state="LA", max_first_contacts=1)
    gate = gates.build_gate(facts, find_place("+12125550123", "LA", None, "America/Chicago"), None, None, DAY.date())
    assert gate is not None
    capped = gates.Reason("max_first_contacts_per_day", "one is enough", until=saturday + timedelta(days=1))
    on_monday = local_time("summer", "sat", "08:00", "America/Chicago") + timedelta(days=2)
    assert gates.find_earliest(gate, [capped]) == on_monday  # Louisiana is closed on Sundays
    assert gates.find_earliest(gate, [capped, gates.Reason("never", "not by waiting")]) is None


@given(st.lists(st.integers(-48, 48), max_size=8), st.integers(1, 4))
def test_what_a_cap_lets_go_never_breaks_it(hours: list[int], limit: int) -> None:
    sent: list[datetime] = []
    for hour in hours:
        at = DAY + timedelta(hours=hour)
        if is_free(at, sent, limit):
            sent.append(at)
    for start in sent:
        assert sum(start <= at < start + timedelta(hours=24) for at in sent) <= limit


def test_each_cap_counts_what_it_is_about() -> None:
    text = CountedText(DAY, "marketing", "solar", is_first_contact=False)
    assert is_counted(text, Cap("r", "w", 3, "matter"), "solar", None)
    assert not is_counted(text, Cap("r", "w", 3, "matter"), "roofs", None)
    assert is_counted(text, Cap("r", "w", 3, "marketing"), "roofs", None)
    assert not is_counted(replace(text, purpose="transactional"), Cap("r", "w", 3, "marketing"), "solar", None)
    assert not is_counted(text, Cap("r", "w", 3, "first_contact"), "solar", None)
    assert not is_counted(text, Cap("r", "w", 3, "without_reply"), "solar", DAY + timedelta(hours=1))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_is_dated_and_cited(rule: LawRule) -> None:
    assert rule.citation
    assert rule.words
    assert rule.checked is None or rule.starts <= rule.checked
    assert rule.jurisdiction == "US" or rule.jurisdiction[3:] in STATES
    assert (rule.week is not None, rule.texts is not None) == (rule.kind == "hours", rule.kind == "cap")
