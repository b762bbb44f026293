"""Variables of canned replies."""

import pytest

from app.domain.problems import Invalid
from app.domain.reply_variables import fill_variables, render_reply, require_filled, require_known_variables

VALUES = {"firstName": "Ann", "lastName": " ", "campaign": "Solar\nNorth", "customFields.plan": "gold"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("Hi {{firstName}}!", "Hi Ann!"),
        ("{{ firstName }}, {{firstName}}", "Ann, Ann"),
        ("{{campaign}}", "Solar North"),
        ("Your {{customFields.plan}} plan", "Your gold plan"),
        ("No variable {firstName} {{}} {{ }} {{1}}", "No variable {firstName} {{}} {{ }} {{1}}"),
    ],
)
def test_variables_are_filled_with_what_is_known(text: str, filled: str) -> None:
    assert render_reply(text, VALUES) == filled


def test_what_nothing_fills_is_named_and_each_once() -> None:
    with pytest.raises(Invalid) as refused:
        render_reply("{{lastName}} {{nickname}} {{lastName}} {{customFields.bill}} {{agentName}}", VALUES)
    assert refused.value.details == [
        "lastName: the lead has no last name",
        "nickname: is not a variable",
        "customFields.bill: the lead has no such custom field",
        "agentName: no agent serves the lead",
    ]


def test_a_gap_stays_where_a_person_sees_it_and_is_not_sent() -> None:
    text = fill_variables("Hi {{firstName}} {{lastName}}", VALUES)
    assert text == "Hi Ann {{lastName}}"
    with pytest.raises(Invalid, match="not valid") as refused:
        require_filled(text)
    assert refused.value.details == ["message: still has {{lastName}}, and nothing fills it: write the words yourself"]


@pytest.mark.parametrize("name", ["nickname", "firstname", "customFields.", "customFields.two.words", "lead.name"])
def test_an_unknown_variable_is_refused_before_it_is_stored(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        require_known_variables(f"Hi {{{{{name}}}}}")
    assert refused.value.details == [f"text: {{{{{name}}}}} is not a variable"]


def test_a_value_that_looks_like_a_variable_is_not_filled_again() -> None:
    assert render_reply("{{firstName}}", {"firstName": "{{email}}", "email": "x"}) == "{{email}}"


def test_a_text_that_gets_too_long_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        render_reply("{{firstName}}" * 20, {"firstName": "x" * 100})
    assert refused.value.details == ["text: is longer than 1600 characters"]
