"""What an agent's answer means."""

import json
from typing import Any

import httpx
import pytest

from app.agents.webhook import FailedPost, TakenTurn, read_answer
from app.domain.outcomes import GivenAnswer, Outcome
from app.domain.turns import MAX_TEXTS_PER_REPLY

PICTURE = "https://example.com/roof.png"
NO_ADDRESS = "mediaUrls: must be http or https addresses of at most 2048 characters"
MOST = [f"text {n}" for n in range(MAX_TEXTS_PER_REPLY)]
NO_REASON = "no reason given"
NONE_OF = "the answer holds none of reply, replies, handoff, status, summary, answers, leadStatus, note"


def heard(answer: Any) -> Any:
    return read_answer(httpx.Response(200, content=json.dumps(answer)))


@pytest.mark.parametrize(
    ("answer", "meant"),
    [
        ({}, TakenTurn()),
        (None, TakenTurn()),
        ({"reply": None}, TakenTurn()),
        ({"reply": None, "replies": None, "handoff": None, "reason": None}, TakenTurn()),
        ({"reply": None, "status": None, "summary": None, "answers": None}, TakenTurn()),
        ({"handoff": False}, TakenTurn()),
        ({"handoff": False, "reason": None}, TakenTurn()),
        ({"reply": "a"}, TakenTurn(("a",))),
        ({"reply": "a", "replies": None, "handoff": False}, TakenTurn(("a",))),
        ({"reply": "a", "replies": []}, TakenTurn(("a",))),
        ({"reply": "a", "replies": ["b", "c"]}, TakenTurn(("a", "b", "c"))),
        ({"reply": None, "replies": ["a", "b"], "handoff": False}, TakenTurn(("a", "b"))),
        ({"reply": None, "replies": []}, TakenTurn(())),
        ({"replies": []}, TakenTurn(())),
        ({"replies": MOST}, TakenTurn(tuple(MOST))),
        ({"handoff": True}, TakenTurn(handoff=NO_REASON)),
        ({"handoff": True, "reason": "  "}, TakenTurn(handoff=NO_REASON)),
        ({"handoff": True, "reason": "hard"}, TakenTurn(handoff="hard")),
        ({"handoff": True, "reason": "a\x00b\ud83d"}, TakenTurn(handoff="ab?")),
        ({"handoff": True, "reason": "x" * 501}, TakenTurn(handoff="x" * 500)),
        ({"handoff": True, "reply": None, "replies": None}, TakenTurn(handoff=NO_REASON)),
        ({"handoff": True, "reply": "a"}, TakenTurn(("a",), NO_REASON)),
        ({"handoff": True, "replies": ["a", "b"]}, TakenTurn(("a", "b"), NO_REASON)),
        ({"handoff": True, "replies": []}, TakenTurn((), NO_REASON)),
        ({"reply": "a", "mood": "good"}, TakenTurn(("a",))),
        ({"reply": "a", "mediaUrls": [PICTURE]}, TakenTurn(("a",), media=(PICTURE,))),
        ({"replies": ["a", "b"], "mediaUrls": [PICTURE] * 10}, TakenTurn(("a", "b"), media=(PICTURE,) * 10)),
        ({"reply": "a", "mediaUrls": []}, TakenTurn(("a",))),
        ({"reply": "a", "mediaUrls": None}, TakenTurn(("a",))),
    ],
)
def test_an_answer_means(answer: Any, meant: TakenTurn) -> None:
    assert heard(answer) == meant


@pytest.mark.parametrize(
    ("answer", "texts", "why"),
    [
        ({"reply": "  "}, ("  ",), "reply: must not be blank"),
        ({"reply": "x" * 1601}, ("x" * 1601,), "reply: is longer than 1600 characters"),
        ({"reply": 5}, (), "reply: must be text"),
        ({"reply": ["a"]}, (), "reply: must be text"),
        ({"replies": "a"}, (), "replies: must be a list of texts"),
        ({"replies": {"0": "a"}}, (), "replies: must be a list of texts"),
        ({"replies": ["a", 5]}, ("a",), "replies[1]: must be text"),
        ({"replies": ["a", None]}, ("a",), "replies[1]: must be text"),
        ({"replies": ["a", "\x00 "]}, ("a", " "), "replies[1]: must not be blank"),
        ({"reply": "a", "replies": "b"}, ("a",), "replies: must be a list of texts"),
        ({"replies": [*MOST, "b"]}, (*MOST, "b"), "replies: more than 10 texts"),
        ({"reply": "a", "replies": MOST}, ("a", *MOST), "replies: more than 10 texts"),
        ({"reply": "a", "mediaUrls": PICTURE}, ("a",), "mediaUrls: must be a list of addresses"),
        ({"reply": "a", "mediaUrls": [PICTURE] * 11}, ("a",), "mediaUrls: more than 10"),
        ({"reply": "a", "mediaUrls": [5]}, ("a",), NO_ADDRESS),
        ({"reply": "a", "mediaUrls": [PICTURE, "file:///etc/passwd"]}, ("a",), NO_ADDRESS),
        ({"reply": "a", "mediaUrls": ["https://example.com/" + "x" * 2048]}, ("a",), NO_ADDRESS),
        ({"replies": [], "mediaUrls": [PICTURE]}, (), "mediaUrls: need a reply that they go with"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("handoff", [None, True])
def test_texts_that_may_not_go_are_told_beside_what_is_wrong(
    answer: Any, texts: tuple[str, ...], why: str, handoff: bool | None
) -> None:
    wish = NO_REASON if handoff else None
    assert heard(answer | {"handoff": handoff}) == TakenTurn(None, wish, texts, why)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([{"reply": "x"}], "the answer is a list, and must be an object"),
        ([], "the answer is a list, and must be an object"),
        ("x", "the answer is text, and must be an object"),
        (5, "the answer is a number, and must be an object"),
        (True, "the answer is true or false, and must be an object"),
        ({"Reply": "x"}, f"{NONE_OF}, but Reply"),
        ({"reason": "x"}, f"{NONE_OF}, but reason"),
        ({"b" * 99: 1, "a\x00": 2},
         f"{NONE_OF}, but a, {'b' * 40}"),
        ({"mediaUrls": [PICTURE]}, f"mediaUrls: need a reply that they go with; {NONE_OF}, but mediaUrls"),
        ({"handoff": "true"}, "handoff: must be true or false"),
        ({"handoff": 1}, "handoff: must be true or false"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_told(answer: Any, why: str) -> None:
    assert heard(answer) == TakenTurn(why=why)


def test_a_wish_in_other_words_keeps_no_reply_back() -> None:
    answer = {"reply": "a", "handoff": "yes"}
    assert heard(answer) == TakenTurn(("a",), why="handoff: must be true or false")


@pytest.mark.parametrize("body", [b"OK", b"<html>", b"\x1f\x8b\x08", b"[" * 60_000, b"{", b"\xff"])
def test_what_is_no_json_is_told(body: bytes) -> None:
    assert read_answer(httpx.Response(200, content=body)) == TakenTurn(why="the answer is not JSON")


@pytest.mark.parametrize("body", [b"", b" \n", b"null"])
def test_nothing_at_all_is_an_empty_answer(body: bytes) -> None:
    assert read_answer(httpx.Response(202, content=body)) == TakenTurn()


def test_anything_but_a_2xx_has_failed_whatever_it_says() -> None:
    answer = httpx.Response(500, content=json.dumps({"handoff": True}))
    assert read_answer(answer) == FailedPost("HTTP 500")


@pytest.mark.parametrize(
    ("extensions", "why"),
    [
        ({"unread_encoding": "br"}, "the answer is compressed as br, which cannot be read"),
        ({"truncated": True, "unread_encoding": None}, "the answer is longer than 64 KiB"),
    ],
)
def test_an_answer_that_cannot_be_read_whole_is_told(extensions: dict[str, Any], why: str) -> None:
    assert read_answer(httpx.Response(200, content=b"x", extensions=extensions)) == TakenTurn(why=why)


OUTCOME = {"status": "qualified", "summary": "s", "leadStatus": "won", "note": "n",
           "answers": [{"key": "k", "answer": "a", "messageId": None}]}  # fmt: skip


def test_an_outcome_stands_beside_a_reply_or_alone() -> None:
    meant = Outcome("qualified", "s", (GivenAnswer("k", "a"),), "won", "n")
    assert heard(OUTCOME) == TakenTurn(outcome=meant)
    assert heard(OUTCOME | {"reply": "Hi", "handoff": True}) == TakenTurn(("Hi",), NO_REASON, outcome=meant)
    assert [heard(answer).gives_reply for answer in (OUTCOME, OUTCOME | {"reply": " "})] == [False, True]


def test_a_faulty_outcome_is_told_whole_and_keeps_no_reply_back() -> None:
    faulty = heard({"reply": "Hi", "status": "done", "summary": "a\x00b\ud83d", "note": 5})
    assert (faulty.texts, faulty.outcome) == (("Hi",), None)
    given, why = faulty.wrong_outcome
    assert given == {"status": "done", "summary": "ab?", "note": 5}
    assert why.startswith("status: must be one of in_progress, ")
    assert why.endswith("; note: must be text")


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        ({"status": True}, "status: must be one of "),
        ({"summary": "x" * 1001}, "summary: must have at most 1000 characters"),
        ({"summary": ["x"]}, "summary: must be text"),
        ({"note": " "}, "note: must not be blank"),
        ({"leadStatus": "x" * 65}, "leadStatus: must have at most 64 characters"),
        ({"answers": {"bill": "120"}}, "answers: must be a list"),
        ({"answers": [{"key": "k", "answer": "a"}] * 201}, "answers: must be at most 200"),
        ({"answers": ["120"]}, "answers[0]: must be an object"),
        ({"answers": [{"key": "bill", "answer": 120}]}, "answers[0].answer: must be text"),
        ({"answers": [{"key": "bill", "answer": None}]}, "answers[0].answer: must be text"),
        ({"answers": [{"key": "b", "answer": "1", "text": "x"}]}, "answers[0].text: is not a known field"),
        ({"answers": [{"key": "b", "answer": "1", "messageId": 7}]}, "answers[0].messageId: must be text"),
    ],
)
def test_what_is_wrong_with_an_outcome_is_told_by_field(outcome: Any, why: str) -> None:
    faulty = heard(outcome)
    assert faulty.outcome is None
    assert faulty.wrong_outcome[1].startswith(why)


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        (b"NaN", None),
        (b"-Infinity", None),
        (b"1e999", None),
        (b'["\\u0000\\ud800", {"a": null, "b": 1}]', ["?", {"b": 1}]),
        (b"[" * 400 + b"]" * 400, [[[[["…"]]]]]),
    ],
)
def test_what_a_database_cannot_store_is_recorded_in_other_words(given: bytes, recorded: Any) -> None:
    faulty = read_answer(httpx.Response(200, content=b'{"note": %b}' % given))
    assert isinstance(faulty, TakenTurn)
    assert faulty.wrong_outcome == ({"note": recorded}, "note: must be text")
