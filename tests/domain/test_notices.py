"""The words of notices: one line for each thread, agent and account."""

from datetime import UTC, datetime

import pytest

from app.domain.notices import NotedEvent, build_notices, get_retry, list_lines

AT = datetime(2026, 11, 29, tzinfo=UTC)


def note(
    place: int, name: str, subject_id: str, subject_name: str | None = None, reason: str | None = None
) -> NotedEvent:
    return NotedEvent(7, place, name, subject_id, subject_name, reason, AT, True)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (note(1, "interaction.needs_person", "int_1", "Ann", "held_reply"),
         "Ann needs a person: a reply of the agent is held. https://x.example/conversations/int_1"),
        (note(1, "interaction.needs_person", "int_1", " ", "possible_optout"),
         "A lead needs a person: a text may be an opt-out. https://x.example/conversations/int_1"),
        (note(1, "interaction.needs_person", "int_1", "Ann\r\nBob", "a_later_reason"),
         "Ann Bob needs a person: a_later_reason. https://x.example/conversations/int_1"),
        (note(1, "turn.failed", "smsagent_1", "Solar", "HTTP 500"),
         "The agent “Solar” could not be reached. https://x.example/settings/agents/smsagent_1"),
        (note(1, "turn.failed", "smsagent_1"),
         "The agent smsagent_1 could not be reached. https://x.example/settings/agents/smsagent_1"),
        (note(1, "experiment.stopped", "smsagent_1", "Solar"),
         "The A/B test of the agent “Solar” has stopped. https://x.example/settings/agents/smsagent_1"),
        (note(1, "account.failing", "acct_1", "{name}"),
         "The carrier refuses the account “{name}”; its texts wait. https://x.example/settings/accounts/acct_1"),
    ],
)  # fmt: skip
def test_a_line_says_who_why_and_where(event: NotedEvent, line: str) -> None:
    assert list_lines(build_notices([event], "admin"), "https://x.example") == [line]


def test_a_member_gets_no_links_to_settings() -> None:
    events = [note(1, "account.failing", "acct_1", "Main"), note(2, "agent.paused", "smsagent_1", "Solar")]
    assert list_lines(build_notices(events, "member"), "https://x.example") == [
        "The agent “Solar” is paused.",
        "The carrier refuses the account “Main”; its texts wait.",
    ]


def test_the_newest_event_of_a_subject_speaks_for_it_in_whatever_order_they_come() -> None:
    events = [
        note(4, "agent.resumed", "smsagent_1", "Solar"),
        note(1, "turn.failed", "smsagent_1", "Solar"),
        note(3, "account.recovered", "acct_1", "Main"),
        note(2, "account.failing", "acct_1", "Main"),
        note(0, "experiment.stopped", "smsagent_1", "Solar"),
    ]
    assert [notice.words for notice in build_notices(events, "member")] == [
        "The agent “Solar” goes on",
        "The carrier takes texts of the account “Main” again",
        "The A/B test of the agent “Solar” has stopped",
    ]


def test_retries_come_later_and_later_up_to_an_hour() -> None:
    minutes = [get_retry(attempt).total_seconds() / 60 for attempt in range(1, 7)]
    assert minutes == [1, 5, 15, 60, 60, 60]
