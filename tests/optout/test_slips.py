"""Definitive words by a careless hand: a key beside the right one, a name in small letters."""

import pytest

from app.domain.optout import judge_text
from tests.optout.figures import label_of

OURS = ("Hi Ana, this is Lakeside Roofing. Are you still interested in an estimate? Reply STOP to opt out",)


@pytest.mark.parametrize("name", ["john", "maria lopez", "bob k", "mrs. helen", "tony & family", "maria del carmen"])
@pytest.mark.parametrize(
    "form", ["stop\n{}", "Unsubscribe - {}", "opt out\nthanks\n{}", "stop, {}", "please stop\n-{}"]
)
def test_a_name_in_small_letters_signs_too(form: str, name: str) -> None:
    assert label_of(judge_text(form.format(name))) == "stop"


@pytest.mark.parametrize(
    "text",
    [
        *("stop - the leak", "stop, mark it down", "cancel, maria", "stop\nby at five, john", "stop - rose bush"),
        *("cancel - emma has covid", "cancel (emma has fever)", "cancel\nmike broke leg", "cancel\n- mike broke leg"),
        *(
            "Cancel - Emma has covid",
            "CANCEL - EMMA HAS COVID",
            "cancel\n-the leak got fixed",
            "Cancel\nMike Broke Leg",
        ),
        *(
            "help - mike fell",
            "help\ntom got hurt",
            "help\n- the dog ate it",
            "remove - mercedes benz",
            "cancel - rosa",
        ),
        *("cancelar - maria enferma", "cancelar (juan tiene fiebre)", "ayuda - luis herido", "ayuda\n- juan se cayó"),
        *("annuler - marie malade", "annuler\npaul est malade", "aide - paul blessé", "arret - j'aime pas"),
        *("cancelar - joão doente", "cancela\nana quebrou perna", "ajuda - pedro caiu", "cancelar\n- ana tem febre"),
    ],
)
def test_other_words_in_small_letters_are_no_name(text: str) -> None:
    assert judge_text(text, our_texts=OURS).rule not in ("word", "first_line")


@pytest.mark.parametrize(
    "text",
    [
        *("help - mike fell", "HELP - MIKE FELL", "help - my dad fell again", "help, grandpa hit his head"),
        *("help\ntom got hurt", "ayuda - luis herido", "aide - paul blessé", "ajuda - pedro caiu"),
        *("cancel - emma has covid", "cancelar - joão doente", "annuler - marie malade", "cancel - Tuesday"),
        *(
            "remove - mercedes benz",
            "Remove - Honda Civic",
            "delete - old shed",
            "start - Monday",
            "cancel (flat tire)",
        ),
    ],
)
def test_a_note_behind_a_keyword_that_tells_of_something_else_is_no_wish(text: str) -> None:
    assert judge_text(text, our_texts=OURS).word is None


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("help - Walter", "help"),
        ("help - from Gus", "help"),
        ("HELP: what is this", "help"),
        ("HELP - my mom doesn't know what these texts are", "help"),
        ("stop (I am not Marcus)", "stop"),
        ("stop - not interested", "stop"),
        ("STOP - Lakeside Roofing", "stop"),
        ("remove - my number", "stop"),
        ("START - Gina", "start"),
    ],
)
def test_a_name_or_a_wish_behind_a_keyword_leaves_it_one(text: str, meaning: str) -> None:
    assert label_of(judge_text(text)) == meaning


@pytest.mark.parametrize(
    "text",
    [
        *("END - Bill", "QUIT - Billy Ray", "CANCELAR - Luis Cárdenas", "END - Jean Price", "quit - April Jones"),
        *("REVOKE - John Ford", "opt out - June Carter", "OPT OUT - Lakeside Roofing", "opt-out - Mercedes Lopez"),
        *("take me off - Heather Banks", "CANCEL - May Lee", "END - John Smith (555) 123-4567"),
        *("STOP\nJohn Hurt", "STOP - Dr. Fell", "stop, John Hurt", "Opt out - John Fell"),
    ],
)
def test_a_name_that_is_a_thing_a_month_or_a_verb_signs_too(text: str) -> None:
    judgment = judge_text(text)
    assert (judgment.word, judgment.rule) == ("stop", "first_line")


@pytest.mark.parametrize(
    "text",
    [
        *("cancel - bill", "CANCEL - BILL", "cancel - April", "Cancel - May", "Cancel - Bill Payment", "cancel - 3"),
        *("cancel - June Class", "Cancel - Mike's House", "Cancel - John Tuesday", "quit - coffee", "start - Monday"),
        *("STOP - EMMA HAS COVID", "STOP\nEMMA FELL", "CANCEL - MIKE FELL", "cancel - a friend got me another one"),
        *("cancel - maria 10 - 11.30", "cancel - 5551234567"),
    ],
)
def test_a_thing_or_a_month_alone_is_no_name(text: str) -> None:
    assert judge_text(text).rule not in ("word", "first_line")


@pytest.mark.parametrize(
    "text",
    [
        *("help - mike jones", "help, bob here", "Help - John Smith, 555-1234", "help - john smith", "Help, Maria"),
        *("ayuda - maria lopez", "help - mike price", "help - luis de la cruz", "help - john smith 555-1234"),
    ],
)
def test_who_signs_a_call_for_help_is_answered(text: str) -> None:
    assert judge_text(text).word == "help"


MISTYPED = "removwr remvoer suprrimer descadstro supender terminr unsusbcribe cancell desabbonner eliminarr"


@pytest.mark.parametrize("text", MISTYPED.split())
def test_a_long_word_alone_is_known_though_one_key_was_missed(text: str) -> None:
    assert label_of(judge_text(text)) == label_of(judge_text(f"{text} please")) == "stop"


@pytest.mark.parametrize("text", ["shopper", "remote", "removed", "deleted", "cancer", "guitar", "delta"])
def test_a_word_of_conversation_is_no_mistyped_one(text: str) -> None:
    assert judge_text(text).rule != "word"


@pytest.mark.parametrize(
    "text",
    [
        "no, not interested in that today",
        "not interested in the warranty, just the tires",
        "no thanks, not this week",
        "we'll pass on the tour for now",
        "no me interesa ese, ¿tiene otro?",
        "non merci pour le dessert",
        "não, isso não me interessa hoje",
    ],
)
def test_a_soft_decline_is_no_opt_out(text: str) -> None:
    assert judge_text(text, our_texts=OURS).word is None
