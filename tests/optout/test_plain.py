"""Plain conversation is never taken for a wish: it would be held from the agent, or suppress the phone."""

import pytest

from app.domain.optout import judge_text
from tests.optout.corpus import FOLDER, read_corpus
from tests.optout.figures import label_of

PLAIN_TEXTS = (FOLDER / "plain.txt").read_text(encoding="utf-8").splitlines()
"""Short texts that train and tune nothing, except for those that anybody would write."""
OURS = "Hi Ana, this is Bright Roofing. Are you still interested in an estimate? Reply STOP to opt out"


def test_there_are_plain_texts_enough() -> None:
    assert len(set(PLAIN_TEXTS)) >= 400


@pytest.mark.parametrize("write", [str, str.upper, str.lower, "{}!".format, "{} 😊".format, "{}\n- Ana Ruiz".format])
def test_plain_texts_are_conversation(write: type[str]) -> None:
    judged = {text: label_of(judge_text(write(text), our_texts=[OURS])) for text in PLAIN_TEXTS}
    assert {text: label for text, label in judged.items() if label != "none"} == {}


@pytest.mark.parametrize(
    "text", [example.text for example in read_corpus() if example.family.startswith("plain-")][::5]
)
def test_plain_texts_of_the_corpus_are_conversation(text: str) -> None:
    assert label_of(judge_text(text)) == "none"


@pytest.mark.parametrize(
    "word", ["Detached", "Unhooked", "Uninstalled", "Unsigned", "Untagged", "Rebranché", "Détaché"]
)
@pytest.mark.parametrize("write", ["{}", "{}!", "{} please", "{}, thanks", "is it {}?"])
def test_an_answer_that_begins_like_a_wish_is_conversation(write: str, word: str) -> None:
    assert label_of(judge_text(write.format(word))) == "none"


@pytest.mark.parametrize(
    "text", ["Re opt out", "RE - opt out", "re-opt out", "re opt me out", "reopt out", "re-opt-out"]
)
def test_who_opts_out_again_does_not_start(text: str) -> None:
    assert label_of(judge_text(text)) == "stop"


@pytest.mark.parametrize("text", ["Contéstenme", "Respóndanme", "Díganme", "Contésteme!", "why", "how?", "this", "say"])
def test_one_word_that_only_asks_is_conversation(text: str) -> None:
    assert label_of(judge_text(text)) == "none"
