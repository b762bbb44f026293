"""Definitive words, however they are written: they decide without the model."""

import pytest

from app.domain.optout import judge_text
from tests.optout.figures import label_of

OURS = (
    "Hi Ana, this is Lakeside Roofing. Are you still interested in an estimate? Reply STOP to opt out",
    "Your Bright Dental visit is Tuesday at 3. Text STOP to end.",
)
WORDS = {"stop": ("stop", "unsubscribe", "QUIT", "alto"), "start": ("start", "Unstop"), "help": ("HELP", "info")}
EVERY_WORD = [(meaning, word) for meaning, words in WORDS.items() for word in words]
MARKS = (
    "›{}‹",
    ">{}<",
    ">>{}<<",
    "<{}>",
    "[{}]",
    "{{{}}}",
    "({})",
    "*{}*",
    "***{}***",
    "_{}_",
    "~{}~",
    "`{}`",
    "|{}|",
    "/{}/",
    "--{}--",
    "=={}==",
    "…{}…",
    "#{}",
    "!{}!",
    "«{}»",
    "„{}“",
    "『{}』",
    "【{}】",
    "“{}”",
    "'{}'.",
    "• {}",
    "→ {} ←",
    "> {}",
    "★{}★",
    "❌ {} ❌",
    "🔴{}🔴",
    "{} 😊",
    "🙏🏽 {} 🙏🏽",
    "{}\n{}",
    "{}\r\n",
)


def judged(text: str, *our_texts: str) -> str:
    return label_of(judge_text(text, our_texts=our_texts))


@pytest.mark.parametrize("marks", MARKS)
@pytest.mark.parametrize(("meaning", "word"), EVERY_WORD)
def test_marks_around_a_word_change_nothing(meaning: str, word: str, marks: str) -> None:
    assert judged(marks.format(word, word), *OURS) == meaning


@pytest.mark.parametrize(
    "between", ["\n", "\n\n", "\r\n", " ", ".", ". ", "-", "/", "|", "*", "~", "→", "·", " - ", "…"]
)
@pytest.mark.parametrize(("meaning", "word"), EVERY_WORD)
def test_a_word_may_be_spelled_letter_by_letter(meaning: str, word: str, between: str) -> None:
    assert judged(between.join(word.upper())) == meaning
    assert judged(f"{between.join(word)}\nthanks") == meaning


@pytest.mark.parametrize("text", ["A\nB\nC", "1\n2\n3", "T\nH\nX", "Y\nN\nY", "x\no\nx\no", "O\nK"])
def test_letters_on_lines_that_are_no_word_are_conversation(text: str) -> None:
    assert judged(text) == "none"


@pytest.mark.parametrize(
    "form",
    [
        "1) {} 2) see 1",
        "1. {} 2. see 1",
        "1) {} 2) {}",
        "1. {}\n2. see 1",
        "1) {} 2) same as 1",
        "#1 {} #2 see #1",
        "1: {}, 2: refer to 1",
        "1) {}. 2) Read 1) again",
        "a) {} b) see a",
        "First {}, second see first",
        "step 1: {}. step 2: see step 1",
        "1 {} 2 {} 3 {}",
        "one: {} two: see one",
    ],
)
@pytest.mark.parametrize(
    ("meaning", "word"), [("stop", "stop"), ("stop", "remove me"), ("start", "start"), ("help", "help")]
)
def test_a_list_of_one_wish_is_that_wish(form: str, meaning: str, word: str) -> None:
    assert judged(form.format(word, word, word)) == meaning


@pytest.mark.parametrize(
    "text", ["1) yes 2) see 1", "1. Tuesday 2. 3pm", "1) 3 bed 2) see 1", "first stop on the tour?"]
)
def test_a_list_of_something_else_is_conversation(text: str) -> None:
    assert judged(text) == "none"


@pytest.mark.parametrize(
    "line",
    [
        " - sent from my Galaxy",
        "\nSent from my iPhone",
        " Sent via BlackBerry",
        " (sent from my Pixel)",
        " - Get Outlook for Android",
        ". Sent from Yahoo Mail for iPhone",
        " -- sent from my Verizon LG Smartphone",
        " Enviado desde mi iPhone",
        "\nEnvoyé de mon iPhone",
        " | Enviado do meu celular",
        "\n\nSent from AOL on Android",
    ],
)
@pytest.mark.parametrize(("meaning", "word"), EVERY_WORD)
def test_what_a_device_writes_below_a_word_says_nothing(meaning: str, word: str, line: str) -> None:
    assert judged(f"{word}{line}") == meaning
    assert judged(line.strip()) == "none"


@pytest.mark.parametrize(
    "text",
    [
        "STOP2END",
        "STOP2QUIT",
        "stop2end",
        "STOP2STOP",
        "Txt STOP2END",
        "reply STOP2unsub",
        "STOP2OptOut",
        "STOP4END",
        "STOP to end",
        "STOP to quit",
        "Stop 2 end",
        "STOPtoEND",
        "END2STOP",
        "STOP = END",
        "STOP to end msgs",
        "QUIT2END",
        "Text STOP to end",
        "To opt out reply STOP",
        "STOP to opt-out of messages",
        "Envie ALTO para cancelar",
    ],
)
def test_an_instruction_that_is_copied_is_obeyed(text: str) -> None:
    assert judged(text, *OURS) == "stop"


@pytest.mark.parametrize("text", ["HELP4INFO", "help4help", "Reply HELP for help", "HELP 4 info"])
def test_the_instruction_for_help_is_help(text: str) -> None:
    assert judged(text, *OURS) == "help"


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("STOP Lakeside Roofing", "stop"),
        ("Lakeside Roofing STOP", "stop"),
        ("stop lakeside roofing", "stop"),
        ("Unsubscribe from Lakeside Roofing", "stop"),
        ("Lakeside Roofing - STOP", "stop"),
        ("Stop, Lakeside", "stop"),
        ("STOP to Lakeside Roofing please", "stop"),
        ("opt out of Lakeside Roofing texts", "stop"),
        ("cancel Lakeside Roofing", "stop"),
        ("end bright dental", "stop"),
        ("Quit Bright Dental!", "stop"),
        ("ALTO Bright Dental", "stop"),
        ("START Lakeside Roofing", "start"),
        ("HELP Bright Dental", "help"),
    ],
)
def test_our_own_name_beside_a_word_says_whom_it_is_for(text: str, meaning: str) -> None:
    assert judged(text, *OURS) == meaning


@pytest.mark.parametrize("text", ["STOP Acme Windows", "UNSUBSCRIBE Verde Solar", "STOP Keller"])
def test_a_loud_stop_before_a_name_is_one_without_our_texts_too(text: str) -> None:
    assert judged(text) == "stop"


@pytest.mark.parametrize(
    "text",
    [
        "stop by Lakeside Roofing?",
        "Lakeside Roofing",
        "Is this Lakeside Roofing?",
        "Can Lakeside Roofing stop the leak",
        "cancel Tuesday",
        "end of Tuesday",
        "start roofing Tuesday?",
        "Stop Shop",
        "stop at Bright Dental",
    ],
)
def test_our_name_in_conversation_is_conversation(text: str) -> None:
    assert judged(text, *OURS) == "none"


@pytest.mark.parametrize(
    "text",
    [
        "ＳＴＯＰ",
        "s\u200bt\u200co\u200dp",
        "STÓP",
        "śtöp",
        "𝐒𝐓𝐎𝐏",
        "𝓼𝓽𝓸𝓹",
        "🅂🅃🄾🄿",
        "Ⓢⓣⓞⓟ",
        "🆂🆃🅾🅿",
        "ꜱᴛᴏᴘ",
        "ѕтор",
        "S⁠T⁠O⁠P",
        "\u2066STOP\u2069",
        "S\u00a0T\u00a0O\u00a0P",
        "\u3000STOP\u3000",
        "STOP\ufe0f",
        "5top",
        "$top",
        "🛑STOP🛑",
        "✋🏽 stop",
    ],
)
def test_letters_of_any_dress_are_read(text: str) -> None:
    assert judged(text) == "stop"


@pytest.mark.parametrize(
    "text",
    [
        "My kid hit stop. I still want the messages!",
        "I didn't mean to text stop, keep them coming",
        "my toddler texted stop, please keep sending",
        "That STOP was my son, ignore it",
        "the stop was sent by accident, put me back",
        "oops wrong button, I never wanted to unsubscribe",
        "sorry, stop was for someone else",
        "Our cat stood on the phone and sent stop. Keep me on the list",
        "Mi hijo mandó ALTO sin querer, sigan mandando",
        "mon fils a envoyé STOP par erreur, continuez",
        "meu filho mandou SAIR sem querer, continuem mandando",
    ],
)
def test_who_tells_that_a_stop_was_a_mistake_wants_our_texts(text: str) -> None:
    assert judged(text) == "start"


@pytest.mark.parametrize(
    "text",
    [
        "stop, wrong number",
        "Not interested. Stop",
        "unsubscribe not interested",
        "baja, no me interesa",
        "PARAR, número errado",
        "no no no stop",
        "stop ma'am",
        "ALTO por favor, Luis",
        "Stop - Marcus",
        "unsubscribe\nSue",
        "stop. have a great one",
        "opt out\n\nThank you and have a blessed day!",
        "Baja\nQue tenga buen día",
        "🛑🛑 please",
        "🛑 texts",
        "🚫 mensajes",
        "Removal",
        "delete",
        "retirer svp",
        "EFFACEZ",
        "me exclua",
        "Apagar meu número",
        "bórrenme",
    ],
)
def test_a_reason_a_farewell_or_a_name_beside_a_word_changes_nothing(text: str) -> None:
    assert judge_text(text).word == "stop"
    assert judge_text(text).rule in ("word", "first_line")


@pytest.mark.parametrize(
    "text",
    ["Cancel, Dr. Shah", "🛑 at the blue gate", "🚫 nuts", "have a great day", "Marcus", "not me, ask Sue", "no, Will"],
)
def test_what_stands_beside_a_word_is_none(text: str) -> None:
    assert judge_text(text).word is None


@pytest.mark.parametrize(
    "signature",
    [
        "HAROLD BECKER\n1140 MAPLE",
        "Harold Becker, 1140 Maple Street, Dayton OH 45402",
        "Maria Gomez\nApt 4",
        "1140 N Maple Ave",
        "acct 55512",
        "Member #4471",
        "José Pérez\nCalle 8 #12",
        "Marie Roy\n12 rue Principale, app. 3",
    ],
)
@pytest.mark.parametrize("word", ["STOP", "Unsubscribe", "alto"])
def test_below_a_loud_word_an_address_signs(word: str, signature: str) -> None:
    assert judged(f"{word}\n{signature}") == "stop"


@pytest.mark.parametrize("text", ["Cancel\n1140 Maple St", "End\n12 Oak", "Help\n1140 Maple St", "stop\nat 1140 Maple"])
def test_an_address_below_another_word_may_be_what_it_is_about(text: str) -> None:
    assert judged(text) == "none"


@pytest.mark.parametrize(
    "told",
    ["MY HUSBAND FELL 1140 MAPLE", "PUMP 3 BROKE", "Order 55", "Contract 55", "Póliza 123", "Tuesday 4pm", "Route 9"],
)
@pytest.mark.parametrize("word", ["STOP", "Revoke", "Baja"])
def test_a_thing_or_an_event_with_a_number_does_not_sign(word: str, told: str) -> None:
    assert judge_text(f"{word}\n{told}").rule != "first_line"
