"""Definitive words: the whole text, or all of it but courtesy, a signature or a copied instruction.

Sources: CTIA Messaging Principles 5.1.3 (standard words, in any case and punctuation; natural language
is encouraged); 47 CFR 64.1200(a)(10): "stop, quit, end, revoke, opt out, cancel, unsubscribe" are
definitive, and any reasonable means counts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import dropwhile
from typing import Literal

from app.domain.optout.folding import fold_text
from app.domain.optout.lexicon import WORDS, find_meanings, shorten
from app.domain.optout.lists import read_phrases
from app.domain.optout.signatures import (
    COURTESY,
    FAREWELL_PATTERN,
    PHONE_PATTERN,
    SEPARATOR_PATTERN,
    STOP_SIGN,
    THEM,
    find_only_line,
    is_courtesy,
    is_loud,
    is_name,
    is_person,
)
from app.domain.optout.spelling import PLAIN, find_near, is_key_missed, split_words

ControlWord = Literal["stop", "start", "help"]

PHRASES = read_phrases("phrases.txt")
BY_WORD: Sequence[tuple[ControlWord, frozenset[str]]] = (
    ("stop", PHRASES["STOP"]),
    ("start", PHRASES["START"]),
    ("help", PHRASES["HELP"]),
)
INSTRUCTION = PHRASES["INSTRUCTION"]
YES_WORDS = frozenset({"yes", "si", "oui", "sim"})
ANSWERS = frozenset({"yes", "yeah", "no", "nope", "nah", "and"})
"""Before an English definitive word they say nothing: "no, stop". In Spanish "no pare" means the contrary."""
AFTER_ANSWERS = frozenset("stop unstop unsubscribe quit opt remove delete help info start".split())
NUMBER = "#"
PURPOSE_PATTERN = re.compile(
    r" (?:to|for|2|para|pour|afin de|por) (?:opt out|unsubscribe|end|cancel|stop|quit|be removed|help|info|more info"
    r"|start|resubscribe|subscribe|stop receiving|parar|cancelar|salir|no recibir mas|darse de baja|dejar de recibir"
    r"|ayuda|informacion|obtener ayuda|mas informacion|volver|reanudar|vous (?:des|re)abonner|se desabonner|arreter"
    r"|ne plus recevoir|de l aide|aide|sair|ajuda|descadastrar|nao receber mais)"
    r"(?: (?:messages?|texts?|sms|all|alerts?|mensajes|textos|mensagens|them|it))?$"
    r"| (?:to|al?|au|ao|para|del?|for) #(?: #)*$| #(?: #)+$"
)
"""What a copied instruction is for, and where it is sent: "STOP to opt out", "ALTO al 555-0100"."""
REASONS = "|".join(sorted(PHRASES["REASON"], key=len, reverse=True))
REASON_PATTERN = re.compile(rf"^(?:(?:{REASONS}) )+|(?: (?:{REASONS}))+$")
"""Why, before or after a word: "not interested, stop"."""
ENUMERATORS = frozenset({NUMBER, *"a b c first second third one two three step".split()})
BACK_REFERENCES = frozenset("see same as read refer to again repeat ditto above number and".split())
"""What the items of a list are called: 1) stop 2) see 1."""
MIN_MISTYPED_LENGTH = 6
LONG_WORDS: Mapping[str, ControlWord] = {
    phrase: word
    for word, phrases in BY_WORD
    for phrase in phrases
    if phrase.isalpha() and len(phrase) >= MIN_MISTYPED_LENGTH
}
NEAR_LONG_WORDS = find_near(LONG_WORDS)
"""As a whole text a long word is known although one key was missed."""
VOCABULARY = frozenset(
    {NUMBER, *YES_WORDS, *ANSWERS, *COURTESY, *INSTRUCTION, *ENUMERATORS, *BACK_REFERENCES}
    | {word for _, phrases in BY_WORD for phrase in phrases for word in phrase.split()}
    | set(re.findall(r"[a-z]+", f"{PURPOSE_PATTERN.pattern} {REASONS}"))
)
"""A text with any other word is none of the phrases."""
TELLING_WORDS = frozenset(
    max(phrase.split(), key=lambda word: (word in phrases, len(word))) for _, phrases in BY_WORD for phrase in phrases
)
"""One word of each phrase: a text without any of them is none of the phrases."""

MAX_LENGTH = 400
MAX_WORDS = 12
MAX_PHRASE_LENGTH = 120
MAX_WORDS_BESIDE = 3
"""Of a name in the same line."""
MAX_WORDS_AFTER_COMMA = 2
MAX_DISTINCT_WORDS = 3
MAX_WORDS_ADDRESSED = 8
MAX_WORDS_OF_WISH = 3
WORDS_BESIDE_OUR_NAME = frozenset("from to of the all text texts message messages sms alerts please thanks now".split())
NAME_PATTERN = re.compile(r"[A-ZÀ-Ý][\w'’&-]*(?:[ ](?:&|and|of|the|de|del|y|et|e)?[ ]?[A-ZÀ-Ý0-9][\w'’&-]*)*")

SIGNS_BESIDE = frozenset("🛑📱📵💬📲✉📩❌🙏😊❤🌞🏠🙂!.")
WORD_OF_SIGN = {STOP_SIGN: "stop", "🚫": "no", "❌": "no", "⛔": "no"}
"""Signs that people draw before a word: 🛑 texts."""
SKIN_TONES = frozenset("🏻🏼🏽🏾🏿\ufe0f\u200d")


def find_control_word(
    text: str, words: Sequence[str], accepts_yes: bool = False, our_texts: Sequence[str] = ()
) -> tuple[ControlWord, str] | None:
    """The control word that a text consists of, and the rule that found it: `word`, or `first_line` if
    lines of courtesy or a signature stand around it. `words`: what `split_words` reads in the text.
    `accepts_yes`: YES counts as START. `our_texts`: they tell how we call ourselves."""
    if len(text) > MAX_LENGTH:
        return None
    if len(text) <= MAX_PHRASE_LENGTH and (word := _read_phrase(text, words, accepts_yes)):
        return word, "word"
    line = find_only_line(text)
    if not line or len(line) > MAX_PHRASE_LENGTH:
        return None
    line_words = words if line == text else split_words(line)
    word = (
        (_read_phrase(line, line_words, False) if line != text else None)
        or _read_signed(line)
        or _read_addressed(line, line_words, our_texts)
    )
    return (word, "first_line") if word else None


def _read_signed(line: str) -> ControlWord | None:
    """The control word before a name in the same line: STOP - Maria Keller. Behind a comma a name signs
    a few words only: "Cancel, Dr. Shah" and "Help, Maria" are conversation."""
    separator = SEPARATOR_PATTERN.search(line)
    name = PHONE_PATTERN.sub("", line[separator.end() :].rstrip(")").strip()) if separator else ""
    if separator and len(name.split()) <= MAX_WORDS_BESIDE:
        wish = line[: separator.start()]
        if is_courtesy(name) or (is_name(name, loud=True) if is_loud(wish) else is_person(name)):
            return _read_line(wish)
    wish, _, name = line.rpartition(", ")
    may_be_signed = len(name.split()) <= MAX_WORDS_AFTER_COMMA
    is_signed = may_be_signed and is_loud(wish) and is_name(name.rstrip(". "), THEM, loud=True)
    return "stop" if is_signed and _read_line(wish) == "stop" else None


def _read_addressed(line: str, split: Sequence[str], our_texts: Sequence[str]) -> ControlWord | None:
    """The control word before or after our own name: STOP Lakeside Roofing. Without texts of ours only a
    stop word in capitals tells it from other wishes: STOP Acme Windows."""
    for word, name in _list_addressed(split):
        if _names_us(name, our_texts):
            return word
    wish, *rest = line.split()
    is_addressed = wish.isupper() and is_loud(_unify(fold_text(wish))) and bool(rest) and not rest[0].isupper()
    return "stop" if is_addressed and is_name(" ".join(rest), frozenset({"THING"})) else None


def may_address_us(text: str) -> bool:
    """Whether a text is a control word if its other words are our name."""
    return len(text) <= MAX_PHRASE_LENGTH and any(True for _ in _list_addressed(split_words(text)))


def _list_addressed(split: Sequence[str]) -> Iterator[tuple[ControlWord, Sequence[str]]]:
    """Control words at the start or the end of a text, each with the words that are left."""
    words = [word for word in split if word[0].isalnum()]
    if not 1 < len(words) <= MAX_WORDS_ADDRESSED or "?" in split or TELLING_WORDS.isdisjoint(map(_unify, words)):
        return
    for size in range(1, min(len(words), MAX_WORDS_OF_WISH + 1)):
        for wish, name in ((words[:size], words[size:]), (words[-size:], words[:-size])):
            if word := _read_phrase("", wish, False):
                yield word, name


def _names_us(name: Sequence[str], our_texts: Sequence[str]) -> bool:
    """Whether these words are a part of a capitalized name in our texts, and one of them is no ordinary word."""
    folded_name = " ".join(word for word in name if word not in WORDS_BESIDE_OUR_NAME)
    return any(not find_meanings(word) for word in folded_name.split()) and any(
        f" {folded_name} " in f" {fold_text(found)} " for text in our_texts for found in NAME_PATTERN.findall(text)
    )


def _read_line(line: str) -> ControlWord | None:
    return _read_phrase(line, split_words(line), False)


def _read_phrase(text: str, split: Sequence[str], accepts_yes: bool) -> ControlWord | None:
    words = [_unify(word) for word in split if word[0].isalnum()]
    if _is_stop_sign(text) and COURTESY.issuperset(words):
        return "stop"
    if not words:
        return None
    if split[0] in WORD_OF_SIGN:
        words = [WORD_OF_SIGN[split[0]], *words]
    if accepts_yes and " ".join(words) in YES_WORDS:
        return "start"
    if len(words) > MAX_WORDS:
        return None
    if TELLING_WORDS.isdisjoint(words):
        return None if "?" in split else _find_mistyped(words)
    words = FAREWELL_PATTERN.sub("", " ".join(words)).split()
    if not words or not VOCABULARY.issuperset(words):
        return None
    is_question = "?" in split
    return next(
        (
            word
            for phrase in _list_phrases(words)
            for word, phrases in BY_WORD
            if phrase in phrases and not (is_question and word != "help")
        ),
        None if is_question else _find_only_word(words),
    )


def _list_phrases(words: Sequence[str]) -> Iterator[str]:
    """The phrases that a text may stand for, the longest first."""
    yield " ".join(words)
    core = _drop_answers(_drop_courtesy(PURPOSE_PATTERN.sub("", " ".join(words)).split()))
    yield " ".join(core)
    if reasoned := REASON_PATTERN.sub("", " ".join(core)):
        yield reasoned
    while len(core) > 1 and core[0] in INSTRUCTION:
        core = core[1:]
    yield " ".join(core)
    yield " ".join(dict.fromkeys(core))
    if words[0] in ENUMERATORS and sum(word in ENUMERATORS for word in words) > 1:
        yield " ".join(dict.fromkeys(word for word in words if word not in ENUMERATORS and word not in BACK_REFERENCES))


def _find_only_word(words: Sequence[str]) -> ControlWord | None:
    """The control word, if each of a few words is such: stop unsubscribe cancel."""
    distinct = set(_drop_courtesy(words))
    return next(
        (word for word, phrases in BY_WORD if distinct and distinct <= phrases and len(distinct) <= MAX_DISTINCT_WORDS),
        None,
    )


def _find_mistyped(words: Sequence[str]) -> ControlWord | None:
    """The control word that the only word of a text is, but for one key."""
    word, *other_words = _drop_courtesy(words) or [""]
    if other_words or len(word) < MIN_MISTYPED_LENGTH - 1 or word in PLAIN or word in WORDS:
        return None
    near_words = (near_word for short in shorten(word) for near_word in NEAR_LONG_WORDS.get(short, ()))
    return next((LONG_WORDS[near_word] for near_word in near_words if is_key_missed(word, near_word)), None)


def _unify(word: str) -> str:
    """All numbers are one, and all misspellings of a long word that begin alike."""
    if word[0].isdigit():
        return NUMBER
    if word.startswith(("unsub", "unsus")) and not word.endswith("ing"):
        return "unsubscribe"
    return "resubscribe" if word.startswith("resub") else word


def _drop_courtesy(words: Sequence[str]) -> list[str]:
    return [word for word in words if word not in COURTESY]


def _drop_answers(words: Sequence[str]) -> Sequence[str]:
    """The words after "no" and "yes", if an English definitive word is next."""
    rest = list(dropwhile(ANSWERS.__contains__, words))
    return rest if rest and rest[0] in AFTER_ANSWERS else words


def _is_stop_sign(text: str) -> bool:
    if STOP_SIGN not in text:
        return False
    signs = [c for c in text if not c.isspace() and not c.isalnum() and c not in SKIN_TONES]
    return bool(signs) and signs[0] == STOP_SIGN and SIGNS_BESIDE.issuperset(signs)
