"""What is added to a text without a wish of its own changes no judgment, whatever kind of text it is."""

import unicodedata
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.optout import judge_text
from tests.optout.corpus import Example, read_corpus
from tests.optout.figures import label_of

OURS = (
    "Hi Ana, this is Bright Roofing. Are you still interested in an estimate? Reply STOP to opt out",
    "Recordatorio: su cita es el martes a las 3. Responda ALTO para cancelar los mensajes.",
)
CORPUS = read_corpus()
SEVERAL_LINES = [example for example in CORPUS if "\n" in example.text]
QUOTATIONS = [example for example in CORPUS if example.kind in ("quotation", "reaction")]
"""Kinds that a choice among all texts would seldom meet."""

Dress = Callable[[str], str]
CASES: list[Dress] = [str.upper, str.title]
CHARACTERS: list[Dress] = [
    lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    lambda text: "\u200b".join(text),
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: f"\u202a {text} \u202c",
]
QUOTATIONS_BEFORE: list[Dress] = [
    lambda text: f"> {OURS[0]}\n{text}",
    lambda text: f"“{OURS[1]}”" + ("\n" if text.startswith(">") else " ") + text,  # a quoted line begins a line
    lambda text: f"{OURS[1]}\n{text}",
]
QUOTATIONS_AFTER: list[Dress] = [lambda text: f"{text}\n\nOn Mon, Jan 8, Bright Roofing wrote:\n> {OURS[0]}"]
SIGNATURES: list[Dress] = [
    lambda text: f"{text}\nSent from my iPhone",
    lambda text: f"{text} - sent from my Galaxy S23",
    lambda text: f"{text}\n- Maria Keller",
    lambda text: f"{text}\nThanks\nJohn",
    lambda text: f"{text}\n--\nPat Lee\n555-0123",
    lambda text: f"{text}\nEnviado desde mi iPhone",
]
FACES: list[Dress] = [lambda text, face=face: f"{text} {face}" for face in ("😊", "🙏", "❤️", "🌞", "🏠")]  # type: ignore[misc]
"""Faces that wish nothing. Others do, or take back what was said: 🖕, 😡, 👎, "stop it 😂"."""


def judged(text: str) -> str:
    return label_of(judge_text(text, our_texts=OURS))


def judged_alike(example: Example, dress: Dress) -> bool:
    return judged(dress(example.text)) == judged(example.text)


many = settings(max_examples=600, deadline=None)


@many
@given(st.sampled_from(CORPUS) | st.sampled_from(SEVERAL_LINES), st.sampled_from(CASES))
def test_case_changes_nothing(example: Example, dress: Dress) -> None:
    assert judged_alike(example, dress)


@many
@given(st.sampled_from(CORPUS), st.sampled_from(CHARACTERS))
def test_width_and_invisible_characters_change_nothing(example: Example, dress: Dress) -> None:
    assert judged_alike(example, dress)


@many
@given(st.sampled_from(CORPUS), st.sampled_from(QUOTATIONS_BEFORE))
def test_a_quotation_of_ours_before_a_text_changes_nothing(example: Example, dress: Dress) -> None:
    assert judged_alike(example, dress)


@many
@given(st.sampled_from(CORPUS) | st.sampled_from(QUOTATIONS), st.sampled_from([*QUOTATIONS_AFTER, *SIGNATURES]))
def test_a_quotation_or_a_signature_below_a_text_changes_nothing(example: Example, dress: Dress) -> None:
    assert judged_alike(example, dress)


@many
@given(st.sampled_from(CORPUS), st.sampled_from(FACES))
def test_a_friendly_face_changes_nothing(example: Example, dress: Dress) -> None:
    assert judged_alike(example, dress)


def test_a_stop_sign_is_heard() -> None:
    assert judged("🛑 🙏") == "stop"
