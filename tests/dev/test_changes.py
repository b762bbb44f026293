"""What is printed of a conversation."""

from typing import Any

import pytest

from app.dev.changes import describe_changes
from app.dev.conversation import Snapshot

TURN = {
    "turnId": "turn_1",
    "state": "collecting",
    "reason": None,
    "messages": [{"messageId": "msg_1", "seq": 1}],
    "openedAt": "2026-02-15T10:30:00Z",
    "handedOverAt": None,
    "attempts": [],
    "refused": [],
    "outcome": None,
    "held": None,
}
ATTEMPT = {
    "httpStatus": 200,
    "durationMs": 1034,
    "outcome": "accepted",
    "answer": '{"reply": "Hi"}',
    "requestBody": "{}",
}


def seen(state: str = "idle", reason: str | None = None, *received: str, **turn: Any) -> Snapshot:
    thread = {
        "status": "in_progress",
        "sms": {"agentMode": True},
        "agentState": {"state": state, "reason": reason},
        "awaitsDecision": state == "held",
        "transcript": [{"message": "You are unsubscribed.", "source": "system", "status": "sent"}],
    }
    return Snapshot(thread, [TURN | turn], received)


@pytest.mark.parametrize(
    ("after", "line"),
    [
        (seen(handedOverAt="2026-02-15T10:30:01.012Z"), "turn: 1 text handed over after 1,012 ms"),
        (seen(attempts=[ATTEMPT]), "agent: HTTP 200 in 1,034 ms: reply"),
        (
            seen(attempts=[ATTEMPT | {"httpStatus": None, "answer": "the connection was refused"}]),
            "agent: no answer after 1,034 ms: the connection was refused",
        ),
        (
            seen(attempts=[ATTEMPT | {"answer": ""}]),
            "agent: HTTP 200 in 1,034 ms: nothing yet; the reply may follow through the API",
        ),
        (seen(attempts=[ATTEMPT | {"answer": '["what"]'}]), "agent: HTTP 200 in 1,034 ms"),
        (
            seen(attempts=[ATTEMPT | {"answer": '{"reply": "Hi", "status": "completed", "note": null}'}]),
            "agent: HTTP 200 in 1,034 ms: reply, status",
        ),
        (seen(attempts=[ATTEMPT | {"httpStatus": 500, "answer": ""}]), "agent: HTTP 500 in 1,034 ms: not taken"),
        (
            seen(attempts=[ATTEMPT | {"httpStatus": 503, "answer": "busy" * 99}]),
            f"agent: HTTP 503 in 1,034 ms: not taken: {'busy' * 50}",
        ),
        (
            seen(attempts=[ATTEMPT | {"httpStatus": 401}]),
            "agent: HTTP 401 in 1,034 ms: it does not know us; does it have the AGENT_SECRET above?",
        ),
        (
            seen(refused=[{"texts": ["Late"], "code": "STALE_TURN", "by": "api"}]),
            "refused: STALE_TURN: 'Late'",
        ),
        (
            seen(refused=[{"texts": [], "code": "VALIDATION_ERROR", "detail": "the answer is not JSON"}]),
            "refused: VALIDATION_ERROR (the answer is not JSON)",
        ),
        (
            seen(refused=[{"texts": [], "code": "TURN_CANCELLED", "handoff": "asked"}]),
            "refused: TURN_CANCELLED: hand-off 'asked'",
        ),
        (
            seen(refused=[{"texts": [], "code": "VALIDATION_ERROR", "outcome": {"status": "won"}}]),
            "refused: VALIDATION_ERROR: outcome {'status': 'won'}",
        ),
        (
            seen(outcome={"status": "qualified", "summary": None, "answers": [{"key": "bill", "answer": "120"}]}),
            "outcome: status 'qualified', bill = '120'",
        ),
        (
            seen(held={"texts": ["Late"]}),
            "held: the reply came after the lead had written again, and waits for a person",
        ),
    ],
)
def test_each_thing_that_happens_has_a_line(after: Snapshot, line: str) -> None:
    assert list(describe_changes(seen(), after)) == [line]


@pytest.mark.parametrize(
    ("state", "reason", "line"),
    [
        ("declined", "declined", "turn ended: the agent has nothing to say"),
        ("handed_off", "the agent handed off: asked", "turn ended: the agent handed off: asked"),
        ("failed", "HTTP 500", "turn ended: HTTP 500"),
        ("cancelled", "a person wrote", "turn ended: a person wrote"),
    ],
)
def test_a_turn_that_ends_without_a_reply_says_how(state: str, reason: str, line: str) -> None:
    ended = Snapshot(seen().interaction, [TURN | {"state": state, "reason": reason}])
    assert list(describe_changes(seen(), ended)) == [line]


def test_an_attempt_that_still_runs_is_told_when_it_is_over() -> None:
    running = seen(attempts=[ATTEMPT | {"httpStatus": None, "outcome": None}])
    assert list(describe_changes(seen(), running)) == []
    assert list(describe_changes(running, seen(attempts=[ATTEMPT]))) == ["agent: HTTP 200 in 1,034 ms: reply"]


def test_texts_are_told_with_their_writer() -> None:
    after = seen("idle", None, "Hi Jane!", "You are unsubscribed.")
    assert list(describe_changes(seen(), after)) == ["agent> Hi Jane!", "service> You are unsubscribed."]


def test_a_text_that_waits_for_a_person_says_why_the_agent_is_silent() -> None:
    reason = "a person decides whether the lead has opted out"
    assert list(describe_changes(seen(), seen("held", reason))) == [
        f"agent held: {reason}; :release lets the agent go on"
    ]


def test_a_field_that_means_nothing_is_named_with_those_that_do() -> None:
    after = seen(attempts=[ATTEMPT | {"answer": '{"reply": "Hi", "statuss": "qualified"}'}])
    understood, unknown = describe_changes(seen(), after)
    assert understood == "agent: HTTP 200 in 1,034 ms: reply"
    assert unknown.startswith("not understood: statuss; an answer may hold reply, replies, handoff, reason, status")
