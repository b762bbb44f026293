"""Which texts may quote one of ours."""

import pytest

from app.domain.carriage import InboundText
from app.domain.quoting import has_quoting_shape


@pytest.mark.parametrize(
    "text",
    [
        "Removed a question mark from “Reply STOP to opt out”",
        "👍 removed from “Hi Jane”",
        "👍 to Hi Jane",
        "Reaccionó con 👍 a «Hola»",
        "> Hi Jane, is now a good time?\nYes please!",
        "Yes please!\n  > Hi Jane",
        '"Hi Jane" - yes, Tuesday works',
        "‘Hi Jane’ yes",
        "you wrote 'Hi Jane' yes",
        "「Hi Jane」 yes",
        "  ❤ that",
    ],
)
def test_marks_quoted_lines_and_reactions_may_quote(text: str) -> None:
    assert has_quoting_shape(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Yes, Tuesday works",
        "don't worry, it's fine",
        "that’s the kids’ room",
        "5 > 3",
        "Yes 👍",
        "(no) + yes",
        "¿Qué?",
    ],
)
def test_plain_texts_do_not(text: str) -> None:
    assert not has_quoting_shape(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Yes, Tuesday works", False), ("STOP", True), ("please stop texting me", True), ("wrong number", True)],
)
def test_what_seems_to_be_a_wish_may_be_a_copy_of_ours(text: str, expected: bool) -> None:
    assert InboundText("id", "+12125550001", "+12125550002", text).may_quote is expected
