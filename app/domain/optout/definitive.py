"""Definitive words: the whole text, or all of it but courtesy, a signature or a copied instruction.

Sources: CTIA Messaging Principles 5.1.3 (standard words, in any case and punctuation; natural language
is encouraged); 47 CFR 64.1200(a)(10): "stop, quit, end, revoke, opt out, cancel, unsubscribe" are
definitive, and any reasonable means counts."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from app.domain.optout.folding import fold_text
from app.domain.optout.lexicon import find_meanings
from app.domain.optout.lists import read_phrases
from app.domain.optout.spelling import split_words

ControlWord = Literal["stop", "start", "help"]

PHRASES = read_phrases("phrases.txt")
BY_WORD: Sequence[tuple[ControlWord, frozenset[str]]] = (
    ("stop", PHRASES["STOP"]),
    ("start", PHRASES["START"]),
    ("help", PHRASES["HELP"]),
)
COURTESY = PHRASES["COURTESY"]
INSTRUCTION = PHRASES["INSTRUCTION"]
YES_WORDS = frozenset({"yes", "si", "oui", "sim"})
ANSWERS = frozenset({"yes", "yeah", "no", "nope", "nah", "and"})
"""Before an English definitive word they say nothing: "no, stop". In Spanish "no pare" means the contrary."""
AFTER_ANSWERS = frozenset({"stop", "unsubscribe", "quit", "opt", "remove", "help", "info", "start"})
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
VOCABULARY = frozenset(
    {NUMBER, *YES_WORDS, *ANSWERS, *COURTESY, *INSTRUCTION}
    | {word for _, phrases in BY_WORD for phrase in phrases for word in phrase.split()}
    | set(re.findall(r"[a-z]+", PURPOSE_PATTERN.pattern))
)
"""A text with any other word is none of the phrases."""

SIGNATURE_START = re.compile(
    r"\s*(?:[-–—~^*_=]|sent (?:from|via)|get outlook|enviado (?:desde|do|via)|envoy[eé] (?:de|depuis)|from:|de:)",
    re.IGNORECASE,
)
CONTACT_PATTERN = re.compile(r"@\w+\.\w|https?://|www\.|\d{3}\W{0,2}\d{4}|\b\w+\.(?:com|net|org)\b", re.IGNORECASE)
SEPARATOR_PATTERN = re.compile(r"\s[-–—~]+\s?|\s?[-–—~]+\s|\s*\(")
NAME_PARTICLES = frozenset("de del la da dos von van le du and y et e of the".split())
MEANINGS_IN_NAMES = frozenset({"WHEN", "THING", "BY", "LOCATION", "THEM", "MY", "OTHERCO"})
MAX_LINES = 8
MAX_LENGTH = 400
MAX_WORDS = 12
MAX_PHRASE_LENGTH = 120
MAX_NAME_WORDS = 5
MAX_WORDS_BESIDE = 3
"""Of a name in the same line."""
MAX_DISTINCT_WORDS = 3

STOP_SIGN = "🛑"
SIGNS_BESIDE = frozenset("🛑📱📵💬📲✉📩❌🙏!.")
SKIN_TONES = frozenset("🏻🏼🏽🏾🏿\ufe0f\u200d")


def find_control_word(text: str, words: Sequence[str], accepts_yes: bool = False) -> tuple[ControlWord, str] | None:
    """The control word that a text consists of, and the rule that found it: `word`, or `first_line` if
    lines of courtesy or a signature stand around it. `words`: what `split_words` reads in the text.
    `accepts_yes`: YES counts as START."""
    if len(text) > MAX_LENGTH:
        return None
    if len(text) <= MAX_PHRASE_LENGTH and (word := _read_phrase(text, words, accepts_yes)):
        return word, "word"
    lines = [line for line in text.split("\n") if line.strip()]
    line = _find_only_line(lines) if 1 < len(lines) <= MAX_LINES else text
    if not line or len(line) > MAX_PHRASE_LENGTH:
        return None
    word = (_read_line(line) if line != text else None) or _read_signed(line)
    return (word, "first_line") if word else None


def _find_only_line(lines: list[str]) -> str | None:
    """The line that is left without lines of courtesy before and a signature after it."""
    while len(lines) > 1 and _is_courtesy(lines[0]):
        del lines[0]
    while len(lines) > 1 and _is_signature(lines[-1]):
        lines.pop()
    return lines[0] if len(lines) == 1 else None


def _read_signed(line: str) -> ControlWord | None:
    """The control word before a name in the same line: STOP - Maria Keller."""
    separator = SEPARATOR_PATTERN.search(line)
    name = line[separator.end() :].rstrip(")") if separator else ""
    if separator and len(name.split()) <= MAX_WORDS_BESIDE and _is_name(name):
        return _read_line(line[: separator.start()])
    return None


def _read_line(line: str) -> ControlWord | None:
    return _read_phrase(line, split_words(line), False)


def _read_phrase(text: str, split: Sequence[str], accepts_yes: bool) -> ControlWord | None:
    words = [_unify(word) for word in split if word[0].isalnum()]
    if not words:
        return "stop" if _is_stop_sign(text) else None
    if len(words) > MAX_WORDS or not VOCABULARY.issuperset(words):
        return None
    if accepts_yes and " ".join(words) in YES_WORDS:
        return "start"
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
    core = _drop_courtesy(PURPOSE_PATTERN.sub("", " ".join(words)).split())
    if len(core) > 1 and core[0] in ANSWERS and core[1] in AFTER_ANSWERS:
        core = core[1:]
    yield " ".join(core)
    while len(core) > 1 and core[0] in INSTRUCTION:
        core = core[1:]
    yield " ".join(core)
    yield " ".join(dict.fromkeys(core))


def _find_only_word(words: Sequence[str]) -> ControlWord | None:
    """The control word, if each of a few words is such: stop unsubscribe cancel."""
    distinct = set(_drop_courtesy(words))
    return next(
        (word for word, phrases in BY_WORD if distinct and distinct <= phrases and len(distinct) <= MAX_DISTINCT_WORDS),
        None,
    )


def _unify(word: str) -> str:
    """All numbers are one, and all misspellings of a long word that begin alike."""
    if word[0].isdigit():
        return NUMBER
    if word.startswith(("unsub", "unsus")) and not word.endswith("ing"):
        return "unsubscribe"
    return "resubscribe" if word.startswith("resub") else word


def _drop_courtesy(words: Sequence[str]) -> list[str]:
    return [word for word in words if word not in COURTESY]


def _is_courtesy(line: str) -> bool:
    return COURTESY.issuperset(word for word in split_words(line) if word[0].isalnum())


def _is_stop_sign(text: str) -> bool:
    signs = [c for c in text if not c.isspace() and c not in SKIN_TONES]
    return bool(signs) and signs[0] == STOP_SIGN and SIGNS_BESIDE.issuperset(signs)


def _is_signature(line: str) -> bool:
    return bool(_is_courtesy(line) or SIGNATURE_START.match(line) or CONTACT_PATTERN.search(line) or _is_name(line))


def _is_name(text: str) -> bool:
    """Whether a text looks like the name of somebody or of a company: few words, all capitalized."""
    if re.search(r"[?!\d]", text):
        return False
    words = [word for word in re.findall(r"[^\W\d_]+", text) if fold_text(word) not in COURTESY]
    return 0 < len(words) <= MAX_NAME_WORDS and all(
        (word[0].isupper() or word.lower() in NAME_PARTICLES)
        and MEANINGS_IN_NAMES.issuperset(find_meanings(fold_text(word)))
        for word in words
        if word.lower() not in NAME_PARTICLES
    )
