"""What an agent's answer means."""

import json
from typing import Any

import httpx
import pytest

from app.agents.webhook import Failed, Taken, read_answer
from app.domain.turns import MAX_TEXTS_PER_REPLY

MOST = [f"text {n}" for n in range(MAX_TEXTS_PER_REPLY)]
NO_REASON = "no reason given"


def heard(answer: Any) -> Any:
    return read_answer(httpx.Response(200, content=json.dumps(answer)))


@pytest.mark.parametrize(
    ("answer", "meant"),
    [
        ({}, Taken()),
        (None, Taken()),
        ({"reply": None}, Taken()),
        ({"reply": None, "replies": None, "handoff": None, "reason": None}, Taken()),
        ({"reply": None, "status": None, "summary": None, "answers": None}, Taken()),
        ({"handoff": False}, Taken()),
        ({"handoff": False, "reason": None}, Taken()),
        ({"reply": "a"}, Taken(("a",))),
        ({"reply": "a", "replies": None, "handoff": False}, Taken(("a",))),
        ({"reply": "a", "replies": []}, Taken(("a",))),
        ({"reply": "a", "replies": ["b", "c"]}, Taken(("a", "b", "c"))),
        ({"reply": None, "replies": ["a", "b"], "handoff": False}, Taken(("a", "b"))),
        ({"reply": None, "replies": []}, Taken(())),
        ({"replies": []}, Taken(())),
        ({"replies": MOST}, Taken(tuple(MOST))),
        ({"handoff": True}, Taken(handoff=NO_REASON)),
        ({"handoff": True, "reason": "  "}, Taken(handoff=NO_REASON)),
        ({"handoff": True, "reason": "hard"}, Taken(handoff="hard")),
        ({"handoff": True, "reason": "a\x00b\ud83d"}, Taken(handoff="ab?")),
        ({"handoff": True, "reason": "x" * 501}, Taken(handoff="x" * 500)),
        ({"handoff": True, "reply": None, "replies": None}, Taken(handoff=NO_REASON)),
        ({"handoff": True, "reply": "a"}, Taken(("a",), NO_REASON)),
        ({"handoff": True, "replies": ["a", "b"]}, Taken(("a", "b"), NO_REASON)),
        ({"handoff": True, "replies": []}, Taken((), NO_REASON)),
        ({"reply": "a", "mood": "good"}, Taken(("a",))),
    ],
)
def test_an_answer_means(answer: Any, meant: Taken) -> None:
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
    ],
)  # fmt: skip
@pytest.mark.parametrize("handoff", [None, True])
def test_texts_that_may_not_go_are_told_beside_what_is_wrong(
    answer: Any, texts: tuple[str, ...], why: str, handoff: bool | None
) -> None:
    wish = NO_REASON if handoff else None
    assert heard(answer | {"handoff": handoff}) == Taken(None, wish, texts, why)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([{"reply": "x"}], "the answer is a list, and must be an object"),
        ([], "the answer is a list, and must be an object"),
        ("x", "the answer is text, and must be an object"),
        (5, "the answer is a number, and must be an object"),
        (True, "the answer is true or false, and must be an object"),
        ({"Reply": "x"}, "the answer holds none of reply, replies, handoff, but Reply"),
        ({"reason": "x"}, "the answer holds none of reply, replies, handoff, but reason"),
        ({"b" * 99: 1, "a\x00": 2},
         f"the answer holds none of reply, replies, handoff, but a, {'b' * 40}"),
        ({"handoff": "true"}, "handoff: must be true or false"),
        ({"handoff": 1}, "handoff: must be true or false"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_told(answer: Any, why: str) -> None:
    assert heard(answer) == Taken(why=why)


def test_a_wish_in_other_words_keeps_no_reply_back() -> None:
    answer = {"reply": "a", "handoff": "yes"}
    assert heard(answer) == Taken(("a",), why="handoff: must be true or false")


@pytest.mark.parametrize("body", [b"OK", b"<html>", b"\x1f\x8b\x08", b"[" * 60_000, b"{", b"\xff"])
def test_what_is_no_json_is_told(body: bytes) -> None:
    assert read_answer(httpx.Response(200, content=body)) == Taken(why="the answer is not JSON")


@pytest.mark.parametrize("body", [b"", b" \n", b"null"])
def test_nothing_at_all_is_an_empty_answer(body: bytes) -> None:
    assert read_answer(httpx.Response(202, content=body)) == Taken()


def test_anything_but_a_2xx_has_failed_whatever_it_says() -> None:
    answer = httpx.Response(500, content=json.dumps({"handoff": True}))
    assert read_answer(answer) == Failed("HTTP 500")
