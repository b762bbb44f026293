"""An inbound text is judged once, and again only where what is known of its phone can matter."""

from itertools import product

import pytest

from app.domain.carriage import InboundText
from app.domain.optout import ControlWord, judge_text

TEXTS = ("STOP", "stop it now", "START", "Yes", "sí", "YES!", "yes please", "HELP", "wrong number", "Hi", "")
TAKEN_AS: tuple[ControlWord | None, ...] = (None, "stop", "start", "help")


@pytest.mark.parametrize(("text", "taken_as"), list(product(TEXTS, TAKEN_AS)))
def test_a_text_that_was_judged_early_is_judged_as_if_all_had_been_known(
    text: str, taken_as: ControlWord | None
) -> None:
    inbound = InboundText("sim_1", "+12125550101", "+12125550102", text, taken_as=taken_as)
    for is_suppressed, yes_restores in product((False, True), repeat=2):
        assert inbound.judge_known(is_suppressed, yes_restores) == judge_text(
            text, taken_as=taken_as, is_suppressed=is_suppressed, yes_restores=yes_restores
        )


def test_a_text_is_judged_once() -> None:
    inbound = InboundText("sim_1", "+12125550101", "+12125550102", "Please stop")
    assert inbound.judgment is inbound.judgment
    assert inbound.judge_known(is_suppressed=False, yes_restores=True) is inbound.judgment
