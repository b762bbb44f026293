"""Checks of an answer, and the difference of two texts in words."""

import time
from typing import Any

import pytest

from app.domain.checks import AgentAnswer, CheckResult, Piece, compare_words, parse_checks, run_checks


def failed(checks: dict[str, Any], answer: AgentAnswer, recorded: AgentAnswer | None = None) -> list[str]:
    return [result.check for result in run_checks(parse_checks(checks), answer, recorded) if not result.passed]


@pytest.mark.parametrize(
    ("checks", "texts", "names"),
    [
        ({}, ("anything",), []),
        ({"mustContain": ["JANE", "roof"]}, ("Hi Jane, your roof?",), []),
        ({"mustContain": ["ﬁne"]}, ("All fine",), []),  # a ligature
        ({"mustContain": ["Jane", "roof"]}, ("Hi Jane",), ["mustContain"]),
        ({"mustNotContain": "$"}, ("It is $9",), ["mustNotContain"]),
        ({"maxSegments": 1}, ("a" * 160,), []),
        ({"maxSegments": 1}, ("a" * 161,), ["maxSegments"]),
        ({"maxSegments": "1"}, ("a", "b"), ["maxSegments"]),
        ({"asksOneQuestion": True}, ("Do you own it??",), []),
        ({"asksOneQuestion": True}, ("See https://a.example/?q=1. Do you own it?",), []),
        ({"asksOneQuestion": True}, ("Thanks.",), ["asksOneQuestion"]),
        ({"asksOneQuestion": "true"}, ("Own it?", "Since when?"), ["asksOneQuestion"]),
        ({"asksOneQuestion": False}, ("Own it? When?",), []),
        ({"outcomeIs": "answered"}, ("Hi",), []),
        ({"outcomeIs": "qualified"}, ("Hi",), ["outcomeIs"]),
        ({"outcomeIs": "recorded"}, ("Hi",), []),
    ],
)
def test_a_check_says_whether_an_answer_is_as_it_must_be(
    checks: dict[str, Any], texts: tuple[str, ...], names: list[str]
) -> None:
    assert failed(checks, AgentAnswer("answered", texts)) == names


def test_an_outcome_as_it_was_is_kind_and_status() -> None:
    qualified = AgentAnswer("answered", ("Thanks",), {"status": "qualified"})
    assert (
        failed({"outcomeIs": "recorded"}, qualified, AgentAnswer("answered", ("Bye",), {"status": "qualified"})) == []
    )
    [result] = run_checks(parse_checks({"outcomeIs": "recorded"}), qualified, AgentAnswer("handed_off"))
    assert result == CheckResult("outcomeIs", False, "is answered with status qualified, and was handed_off")


@pytest.mark.parametrize("kind", ["failed", "too_slow"])
def test_an_answer_that_cannot_be_used_fails_once(kind: Any) -> None:
    checks = parse_checks({"mustContain": ["a"], "maxSegments": 1})
    assert run_checks(checks, AgentAnswer(kind, reason="HTTP 500")) == [CheckResult("answer", False, "HTTP 500")]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"mustSay": ["a"]}, "mustSay: is not known"),
        ({"mustContain": [""]}, "mustContain: must be at most 50 texts"),
        ({"mustContain": [1]}, "mustContain: must be at most 50 texts"),
        ({"maxSegments": 0}, "maxSegments: must be a number"),
        ({"maxSegments": "x"}, "maxSegments: must be a number"),
        ({"maxSegments": True}, "maxSegments: must be a number"),
        ({"asksOneQuestion": 1}, "asksOneQuestion: must be true or false"),
        ({"outcomeIs": "nice"}, "outcomeIs: must be one of answered"),
    ],
)
def test_a_check_that_is_none_is_refused_by_its_name(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_checks(fields)


@pytest.mark.parametrize(
    ("before", "after", "pieces"),
    [
        ("", "", []),
        ("Hi Jane", "Hi  Jane", [Piece("same", "Hi  Jane")]),
        ("Hi Jane", "Hi Omar", [Piece("same", "Hi"), Piece("removed", " Jane"), Piece("added", " Omar")]),
        ("", "Hi", [Piece("added", "Hi")]),
        ("Bye now", "", [Piece("removed", "Bye now")]),
    ],
)
def test_a_difference_is_told_in_words(before: str, after: str, pieces: list[Piece]) -> None:
    assert compare_words(before, after) == pieces


def test_texts_that_are_long_are_compared_at_once() -> None:
    """Each answer of a trial is compared while others wait."""
    before, after = "a b " * 3000, "b a " * 3000
    began_at = time.process_time()
    pieces = compare_words(f"Hi Jane {before}. Bye now", f"Hi Jane {after}! Bye now")
    assert time.process_time() - began_at < 0.5
    assert [piece.kind for piece in pieces] == ["same", "removed", "added", "same"]
    assert (pieces[0].text, pieces[-1].text) == ("Hi Jane", " Bye now")
    [same] = compare_words(before, before)
    assert same == Piece("same", before.rstrip())


def test_a_word_that_came_twice_is_taken_out_once() -> None:
    assert compare_words("Hi Hi Jane", "Hi Jane") == [
        Piece("same", "Hi"), Piece("removed", " Hi"), Piece("same", " Jane"),
    ]  # fmt: skip


def test_the_same_is_said_with_the_same_texts_status_and_answers() -> None:
    facts = {"status": "qualified", "answers": [{"key": "owner", "answer": "yes", "messageId": "msg_1"}], "at": "now"}
    answer = AgentAnswer("answered", ("Thanks",), facts)
    later = AgentAnswer("answered", ("Thanks",), {**facts, "at": "later"})
    assert answer.says_same(later)
    assert not answer.says_same(AgentAnswer("answered", ("Thanks",), {**facts, "status": "disqualified"}))
    assert not answer.says_same(AgentAnswer("answered", ("Thanks!",), facts))
