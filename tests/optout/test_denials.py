"""A wish that is denied is none, and a wish beside a denial is one."""

import pytest

from app.domain.optout import judge_text

DENIED = """don't take me off your list
please don't take me off the list
dont remove me from your list
do not remove my number
never take me off
no, don't cancel my alerts
don't end the texts
pls dont delete me
hey don't drop me from the list
I don't want to be taken off
we don't want to be removed
I do not want to unsubscribe
no me quiten de su lista
no borren mi número
no quiero que me quiten de la lista
no quiero darme de baja
no me quiero dar de baja, solo preguntar
ne me retirez pas de la liste
não me tire da lista
the last roofer never contacted me again
you never contacted me again after the visit
my old dentist never texted me back
don't ever take me off this list
no don't remove me
do not opt me out
I don't want off
I don't want out of this
you don't need to remove me
I never texted STOP
I did not send stop"""
WISHED = """no, remove me
don't text me
do not contact me, remove me
don't make me ask again, take me off
plz no more take me off
no more 🙏 take me off ur list
don't get in touch with me again
I don't want to get texts
I don't want to keep getting these
I never texted you. take me off
never contacted you so stop
please do not text. remove me
you didn't remove me, stop
do not keep my number
don't leave me on the list
won't you please stop texting me
not a patient anymore, take me off
no longer a student there, unsubscribe my phone
I will not be contacted
no me escriban
no soy de aquí, bórrenme
no quiero nada, denme de baja
não sou sócio, removam meu número
I didn't text you, stop
I don't want your texts
I never said you could text me. stop"""


@pytest.mark.parametrize("text", DENIED.splitlines())
def test_a_denied_wish_is_no_opt_out(text: str) -> None:
    for written in (text, text.upper(), f"{text} 😊", f"{text}\n- Ana Ruiz"):
        judged = judge_text(written)
        assert (judged.word, judged.is_possible) == (None, False), written


@pytest.mark.parametrize("text", WISHED.splitlines())
def test_a_wish_beside_a_denial_is_an_opt_out(text: str) -> None:
    assert judge_text(text).word == "stop"


@pytest.mark.parametrize("text", ["don't delete me, I want off", "don't remove me, I want out"])
def test_who_denies_a_wish_and_wants_out_does_not_start_our_texts(text: str) -> None:
    assert judge_text(text).word != "start"
