"""What is added to a text without a wish of its own changes no judgment.

Left out, since a person would not agree either: texts that quote, react or answer automatically, since they
end where they end; texts of several lines, whose last line may be read as a signature; emoji alone; and
texts that the additions push past the length that is read whole."""

import unicodedata
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.optout import judge_text
from app.domain.optout.judge import MAX_LENGTH
from tests.optout.corpus import Example, read_corpus
from tests.optout.figures import label_of

OURS = (
    "Hi Ana, this is Bright Roofing. Are you still interested in an estimate? Reply STOP to opt out",
    "Recordatorio: su cita es el martes a las 3. Responda ALTO para cancelar los mensajes.",
)
LEFT_OUT_KINDS = frozenset({"quotation", "reaction", "autoresponder", "emoji"})
PLAIN_TEXTS = [
    example
    for example in read_corpus()
    if example.kind not in LEFT_OUT_KINDS
    and not set(example.text) & set("\n>\"“”„«»‘’'")
    and len(example.text) < MAX_LENGTH - 250
]

Dress = Callable[[str], str]
QUOTATIONS: list[Dress] = [
    lambda text: f"> {OURS[0]}\n{text}",
    lambda text: f"“{OURS[1]}” {text}",
    lambda text: f"{text}\n\nOn Mon, Jan 8, Bright Roofing wrote:\n> {OURS[0]}",
    lambda text: f"{OURS[1]}\n{text}",
]
DRESSES: list[Dress] = [
    str.upper,
    str.title,
    lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    lambda text: "\u200b".join(text),
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: f"\u202a {text} \u202c",
]


def judged(text: str) -> str:
    return label_of(judge_text(text, our_texts=OURS))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PLAIN_TEXTS), st.sampled_from(DRESSES))
def test_case_width_and_invisible_characters_change_nothing(example: Example, dress: Dress) -> None:
    assert judged(dress(example.text)) == judged(example.text)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PLAIN_TEXTS), st.sampled_from(QUOTATIONS))
def test_a_quotation_of_ours_changes_nothing(example: Example, quotation: Dress) -> None:
    assert judged(quotation(example.text)) == judged(example.text)


DECIDED = [example for example in PLAIN_TEXTS if judge_text(example.text).rule in ("word", "first_line")]
SIGNATURES = [
    "\nSent from my iPhone",
    "\n- Maria Keller",
    "\nThanks\nJohn",
    "\n--\nPat Lee\n555-0123",
    "\nEnviado desde mi iPhone",
]
FACES = ["😊", "🙏", "👍🏽", "😡😡", "❤️"]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(DECIDED), st.sampled_from([*SIGNATURES, *FACES]))
def test_a_definitive_word_stays_one_with_a_signature_or_a_face(example: Example, added: str) -> None:
    assert judged(f"{example.text} {added}" if added in FACES else f"{example.text}{added}") == judged(example.text)
