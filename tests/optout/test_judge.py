"""What a lead means: rules, quotations, and what people write."""

import timeit
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import optout
from app.domain.optout import Judgment, judge_text
from app.domain.optout.features import ALWAYS
from app.domain.optout.model import Model, pack
from tests.optout.figures import label_of

OURS = "Hi Ana, this is Bright Roofing. Are you still interested in an estimate? Reply STOP to opt out"
DEFINITIVE = ("stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe")
"""47 CFR 64.1200(a)(10)."""


@pytest.mark.parametrize("word", DEFINITIVE)
@pytest.mark.parametrize(
    "shape",
    [
        "{}",
        "{}.",
        "{}!",
        " {} ",
        "{}\n",
        "“{}”",
        "{} please",
        "please {}",
        "{}!!! 🛑",
        "\u200b{}",
        "no, {}",
        "{}, thanks",
    ],
)
def test_the_words_the_rule_names_always_count(word: str, shape: str) -> None:
    for written in (word, word.upper(), word.title(), word.replace(" ", "-"), word.swapcase()):
        assert judge_text(shape.format(written)).word == "stop", written


@pytest.mark.parametrize(
    "text",
    [
        "Stop\nThank you\nJohn",
        "STOP\n- Maria Keller",
        "stop\nSent from my iPhone",
        "Stop.\n\nMaria Keller\nKeller Dental Group",
        "ALTO\nGracias\nRosa Díaz",
        "STOP\n\nOn Mon, Jan 8, Bright Roofing wrote:\n> Hi Al, ready for a quote?",
        "Hi\nSTOP\nthanks\n--\nPat Lee\n555-0123",
    ],
)
def test_a_word_above_a_signature_counts(text: str) -> None:
    assert judge_text(text).word == "stop"


@pytest.mark.parametrize(
    "text",
    [
        "Reply STOP",
        "Text STOP",
        "text stop to opt out",
        "Responda ALTO",
        "Enviar ALTO al 555-0100",
        "Send STOP to 72345",
    ],
)
def test_a_copied_instruction_is_a_wish(text: str) -> None:
    assert judge_text(text, our_texts=[OURS]).word == "stop"


@pytest.mark.parametrize(
    "text",
    [
        "s t o p", "S.T.O.P.", "a-l-t-o", "stooop", "STOPSTOP", "st0p", "sotp", "removeme", "un subscribe", "opt ou",
        "unsubcribe me pls", "nomastextos", "ＳＴＯＰ", "ѕtор", "st\u200bop", "opt oit",
        "salri", "desuscrbirme", "me exlcuam da lsita", "tria meu numreo", "yanomanden",
        "ess tee oh pee", "ese te o pe", "Esse tê o pê!",
        "un - subscribe", "un- subscribe", "un (subscribe", "opt - out", "sto - p", "unsub – scribe me",
    ],
)  # fmt: skip
def test_a_word_in_any_dress_counts(text: str) -> None:
    assert judge_text(text).word == "stop"


@pytest.mark.parametrize("text", ["shop", "step", "stop by at 5?", "Texas", "starts when?", "top floor"])
def test_a_word_of_conversation_that_looks_alike_is_none(text: str) -> None:
    assert judge_text(text).word is None


@pytest.mark.parametrize(
    "text",
    [
        "Removed a question mark from “{}”",
        "👍 removed from “{}”",
        "Reaccionó con 👍 a “{}”",
        "Tykkäsi: ”{}”",
        "> {}\nYes please!",
        "“{}” – yes, Tuesday works",
        "« {} » oui, mardi",
        "you wrote '{}' and yes I am",
        "{}\n\nyes please",
    ],
)
@pytest.mark.parametrize("shortened", [False, True])
def test_a_quotation_of_ours_is_nobody_s_wish(text: str, shortened: bool) -> None:
    quoted = f"{OURS[:90]}…" if shortened and "{}\n\n" not in text else OURS
    judged = judge_text(text.format(quoted), our_texts=[OURS])
    assert (judged.word, judged.is_possible) == (None, False)


@pytest.mark.parametrize("text", ["Liked “{}”\nSTOP", "“{}” no, remove me", "> {}\nunsubscribe", "STOP\n\n> {}"])
def test_what_stands_beside_a_quotation_is_judged(text: str) -> None:
    assert judge_text(text.format(OURS), our_texts=[OURS]).word == "stop"


@pytest.mark.parametrize("text", ["Disliked “{}”", "👎 to “{}”", "Reaccionó con 👎 a “{}”", "No le gustó “{}”"])
def test_a_dislike_may_be_a_wish(text: str) -> None:
    judged = judge_text(text.format(OURS), our_texts=[OURS])
    assert (judged.word, judged.is_possible) == (None, True)


@pytest.mark.parametrize(
    "text",
    [
        "Can you take me off the Tuesday slot and put me on Friday?",
        "stop sending the crew before 9am please",
        "can I opt out of the financing and pay cash?",
        "they never contacted me again about the quote",
        "I unsubscribed from Netflix to pay for this roof",
        "please remove me from the waitlist, we found a spot",
        "stop charging my card",
        "my old gym never stopped texting me, you are better",
        "cancel my 3pm",
        "can you stop by at 5?",
        "quíteme de la cita del martes",
        "annulez mon rendez-vous de mardi",
        "cancela minha consulta de terça",
        "don't unsubscribe me",
        "please don't take me off the list",
        "no me quiten de la lista",
    ],
)
def test_a_wish_about_another_thing_is_none_of_ours(text: str) -> None:
    assert judge_text(text).word is None


@pytest.mark.parametrize(
    "text",
    [
        "please stop texting me", "take me off your list", "kindly discontinue these messages", "lose my number",
        "do not contact me again", "we sold the house, remove us", "I revoke my consent to be texted",
        "wrong number, please don't text me again", "no me manden más mensajes", "quítenme de su lista por favor",
        "ne m'écrivez plus", "retirez-moi de votre liste", "para de me mandar mensagem", "me tira da lista",
        "Thanks for everything, the roof looks great. But please stop texting me.",
    ],
)  # fmt: skip
def test_a_wish_in_ordinary_words_is_obeyed_and_explained(text: str) -> None:
    judged = judge_text(text)
    assert judged.word == "stop"
    assert judged.rule == "word" or (judged.rule == "meaning" and judged.find_reasons())


@pytest.mark.parametrize(
    "text",
    ["wrong number", "leave me alone", "not interested", "how do I unsubscribe?", "stop calling me", "is this spam?"],
)
def test_what_may_be_a_wish_is_flagged_and_not_obeyed(text: str) -> None:
    assert label_of(judge_text(text)) == "possible"


@pytest.mark.parametrize(
    "text",
    ["who is this", "Sorry, who is this?", "Who's this?", "¿Quién es?", "How did you get my number?", "c'est qui?"],
)
def test_who_writes_is_a_question_that_the_agent_can_answer(text: str) -> None:
    assert label_of(judge_text(text)) == "none"


@pytest.mark.parametrize(
    "text",
    [
        "no service in the hills",
        "it isn't fixed",
        "the gate isn't locked",
        "I don't have one here",
        "never got it",
        "can't get there today",
    ],
)
def test_a_plain_denial_is_conversation(text: str) -> None:
    assert label_of(judge_text(text)) == "none"


@pytest.mark.parametrize(
    "text",
    [
        "aún no llega", "todavía no llegan", "a qué hora llega el técnico", "ainda não chegou",
        "no one contacted me", "Why didn't you text me?", "nadie me contactó", "personne ne m'a rappelé",
        "got all 3 of your messages", "put that on the list", "stop emailing and text instead",
        "new number, delete the old one", "nouveau numéro, effacez l'ancien",
        "omg stop it, you're too funny 😂",
    ],
)  # fmt: skip
def test_who_waits_for_us_or_likes_our_texts_wishes_nothing(text: str) -> None:
    assert label_of(judge_text(text)) == "none"


@pytest.mark.parametrize(
    "text",
    [
        "I changed my mind, keep them coming", "nm don't take me off", "ok you can text me again", "turn them back on",
        "that stop wasn't for you, keep texting", "ya me pueden escribir otra vez", "prendan los mensajes otra vez",
        "j'ai changé d'idée, remettez-moi", "mudei de ideia, me coloca de volta",
    ],
)  # fmt: skip
def test_who_takes_it_back_starts_again(text: str) -> None:
    assert label_of(judge_text(text)) == "start"


@pytest.mark.parametrize(
    "text",
    [
        "how often will you text me", "how much do these texts cost", "do message rates apply", "what's this text list",
        "what can I text to this number", "para qué son estos mensajes?", "combien coûtent ces messages",
        "pra que serve esse número",
    ],
)  # fmt: skip
def test_who_asks_about_the_texts_asks_for_help(text: str) -> None:
    assert label_of(judge_text(text)) == "help"


def test_a_wish_at_the_end_of_a_long_text_is_read() -> None:
    story = "We had the crew here on Wednesday and the gutters look great, thank you for that. " * 12
    assert judge_text(f"{story} Please stop texting me.").word == "stop"
    assert judge_text(story).word is None


def test_yes_is_start_only_from_a_suppressed_phone_whose_carrier_says_so() -> None:
    assert judge_text("Yes!", yes_restores=True, is_suppressed=True).word == "start"
    assert judge_text("Yes!", yes_restores=True).word is None
    assert judge_text("Yes!", is_suppressed=True).word is None


def test_of_a_word_and_a_carrier_s_verdict_the_stricter_one_wins() -> None:
    assert judge_text("PAUSE PLAN", taken_as="stop") == Judgment("stop", "carrier")
    assert judge_text("STOP", taken_as="start").word == "stop"
    assert judge_text("hello", taken_as="help") == Judgment("help", "carrier")
    assert judge_text("Basta ya de esto", taken_as="stop") == Judgment("stop", "carrier")


@pytest.mark.parametrize(
    "text",
    ["Jane", "Bob Ross", "campaign", "blue", "Rosa", "azul", "7", "roof", "Xqzt", "texts", "Hi again", "Back again"],
)
def test_a_name_or_another_word_alone_is_no_wish(text: str) -> None:
    assert judge_text(text).word is None


def test_half_an_emoji_is_judged() -> None:
    assert judge_text("yes \ud83d").word is None


@given(st.text(max_size=2000))
def test_whatever_is_written_is_judged(text: str) -> None:
    judged = judge_text(text)
    assert judged.word in ("stop", "start", "help", None)
    assert (judged.rule is None) == (judged.word is None)


@given(st.text(max_size=300), st.lists(st.text(max_size=80), max_size=3))
def test_whatever_was_quoted_is_judged(text: str, ours: list[str]) -> None:
    assert judge_text(text, our_texts=ours).word in ("stop", "start", "help", None)


@given(st.text(max_size=200))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert optout.fold_text(optout.fold_text(text)) == optout.fold_text(text)


@pytest.mark.parametrize(
    "unit", ["stop ", "a", "\u0301", "dont ", "no me ", "take me my ", "quit a b ", "\n> ", "“", "on \n"]
)
def test_a_long_text_costs_no_more_than_its_ends(unit: str) -> None:
    """Only the ends of a text are folded and judged: 64 KiB cost what 8 KiB cost."""
    texts = [(unit * 65_536)[:size] for size in (8192, 65_536)]
    costs = [
        min(timeit.repeat(lambda: judge_text(text, our_texts=[OURS]), timer=process_time, number=1, repeat=7))  # noqa: B023
        for text in texts
    ]
    assert costs[1] < 5 * costs[0] + 0.001


@pytest.mark.parametrize("text", ["we went with someone else", "my house is not for sale", "This isn't Mike"])
def test_what_is_surely_a_doubt_needs_no_word_about_texting(text: str) -> None:
    assert label_of(judge_text(text)) == "possible"


def test_a_person_decides_where_texts_may_end_or_go_on() -> None:
    speaks_for_both = Model({ALWAYS: pack((24, 24, 0, 0, 0))})
    assert label_of(judge_text("that opt out", model=speaks_for_both)) == "possible"
