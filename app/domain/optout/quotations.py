"""Cuts out of a text what it quotes, so that only the lead's own words are judged.

A quotation of our own text is found by what it quotes, whatever language and marks stand around it.
Without our texts only the shapes are known that phones and mail programs write."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from app.domain.optout.folding import fold_text

OPENING_MARKS = "\"“”„«‹‘'「『"
CLOSING_MARKS = "\"”“»›’'」』"
REACTIONS = (
    r"(?:you\s+)?(?:liked|loved|emphasi[sz]ed|questioned|laughed\s+at)",
    r"reacted\s+(?P<mark_en>\S{1,12})\s+to",
    r"removed\s+an?\s+[\w\s]{1,20}\s+from|removed\s+\S{1,12}\s+from|\S{1,12}\s+removed\s+from",
    r"(?P<mark>[^\w\s]{1,8})\s*(?:to|a|à|au|para|de)",
    r"(?:le\s+)?(?:gust[oó]|encant[oó])|me\s+(?:gusta|encanta)|se\s+ri[oó]\s+de|puso\s+[eé]nfasis\s+en",
    r"reaccion[oó]\s+(?:con\s+)?(?P<mark_es>\S{1,12})\s+a|enfatiz[oó]|destac[oó]|cuestion[oó]",
    r"pregunt[oó]\s+(?:por|sobre)|(?:quit|elimin)[oó]\s+(?:un|una|el|la)\s+[\w\s]{1,30}?\s+(?:de|a)",
    r"a\s+(?:aim[eé]|ador[eé]|ri\s+(?:de|à)|mis\s+en\s+[eé]vidence|demand[eé]\s+des\s+pr[eé]cisions\s+sur)",
    r"a\s+r[eé]agi\s+(?:avec\s+)?(?P<mark_fr>\S{1,12})\s+(?:à|a)|a\s+(?:soulign[eé]|insist[eé]\s+sur|trouv[eé]\s+dr[oô]le)",
    r"a\s+(?:retir|supprim)[eé]\s+[\w\s'’]{1,30}?\s+(?:de|du|sur)",
    r"amou|adorou|curtiu|gostou\s+de|riu\s+de|enfatizou|destacou|questionou|perguntou\s+sobre",
    r"reagiu\s+(?:com\s+)?(?P<mark_pt>\S{1,12})\s+(?:a|à)|deu\s+[eê]nfase\s+(?:a|em)|removeu\s+[\w\s]{1,30}?\s+d[eao]",
    r"(?P<dislike>disliked|no\s+le\s+gust[oó]|n['’]a\s+pas\s+aim[eé]|n[aã]o\s+(?:gostou|curtiu)(?:\s+de)?)",
)
"""What phones write before a quotation when somebody reacts to a text."""
REACTION_PATTERN = re.compile(rf"\s*(?:{'|'.join(REACTIONS)})\s*:?\s*(?=[{OPENING_MARKS}])", re.IGNORECASE)
BARE_REACTION_PATTERN = re.compile(rf"\s*(?:{'|'.join(REACTIONS)})\s*:?\s*\Z", re.IGNORECASE)
"""What is left of a reaction whose quotation was cut."""
DISLIKES = frozenset("👎🖕")
QUOTED_LINE_PATTERN = re.compile(r"^[ \t]*[>┃](?!.*<[ \t]*$).*$", re.MULTILINE)
"""A line as mail programs quote it, but not >stop<."""
REPLY_HEADER_PATTERN = re.compile(
    r"^[ \t]*(?:(?:on|el|le|em|am)\s.{3,80}(?:wrote|escribi[oó]|a\s+[eé]crit|escreveu)\s*:"
    r"|-{2,}\s*(?:original|forwarded|mensaje|message|mensagem)\b.*|_{5,}|from:\s.*|de:\s.*@.*)\s*$",
    re.IGNORECASE | re.MULTILINE,
)
"""The line above the text that is answered: all below is quoted."""

MIN_QUOTED_WORDS = 2
MIN_COPIED_WORDS = 5
"""What is copied without quotation marks, or with nothing beside it, is a quotation from so many words on:
who copies "Reply STOP" wishes it."""
MARKS_AFTER_COPY = f".!?…{CLOSING_MARKS}"
MAX_MARKS = 10
MARK_PATTERN = re.compile(f"[{OPENING_MARKS}{CLOSING_MARKS}]")
LENGTH_OF_BEGINNING = 20
MAX_LENGTH = 2000
WORD_PATTERN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class OwnWords:
    """What is left of a text. `is_dislike`: the lead marked a text of ours as disliked. `precedes_quotation`:
    it stood before a quotation of ours, and nothing after it."""

    text: str
    is_dislike: bool = False
    precedes_quotation: bool = False


def cut_quotations(text: str, our_texts: Sequence[str] = ()) -> OwnWords:
    """The lead's own words in a text. `our_texts`: what the lead may have quoted."""
    if len(text) > MAX_LENGTH:
        text = f"{text[:MAX_LENGTH]}\n{text[-MAX_LENGTH:]}"
    text = _cut_lines(text)
    if reaction := _read_reaction(text):
        return reaction
    own = _cut_ours(text, [folded_text for folded_text in map(fold_text, our_texts) if folded_text])
    if own == text:
        return OwnWords(text)
    if bare_reaction := BARE_REACTION_PATTERN.match(own):
        return OwnWords("", _is_dislike(bare_reaction))
    return _read_reaction(own) or OwnWords(own, precedes_quotation=text.lstrip().startswith(own.strip()))


def _cut_lines(text: str) -> str:
    """Cuts the lines that a mail program quotes. A short line is none if it is all that there is: > stop."""
    own = text
    if ">" in text or "┃" in text:
        own = QUOTED_LINE_PATTERN.sub("\n", text)
        if not own.strip() and len(WORD_PATTERN.findall(text)) < MIN_COPIED_WORDS:
            return text
    if "\n" in own and (header := REPLY_HEADER_PATTERN.search(own, own.index("\n"))):
        return own[: header.start()]
    return own


def _read_reaction(text: str) -> OwnWords | None:
    """What stands beside a reaction, if the text is one."""
    reaction = REACTION_PATTERN.match(text)
    if not reaction:
        return None
    return OwnWords(text[_find_end(text, reaction.end()) :], _is_dislike(reaction))


def _is_dislike(reaction: re.Match[str]) -> bool:
    marks = [mark for name, mark in reaction.groupdict().items() if mark and name != "dislike"]
    return bool(reaction["dislike"]) or any(not DISLIKES.isdisjoint(mark) for mark in marks)


def _find_end(text: str, start: int) -> int:
    """Where a quotation ends that begins at `start`: after the last closing mark."""
    for i in range(len(text) - 1, start, -1):
        if _is_end(text, i):
            return i + 1
    return len(text)


def _cut_ours(text: str, our_texts: Sequence[str]) -> str:
    """Cuts quotations of our texts (folded), the longest first."""
    if not our_texts:
        return text
    for start, end in sorted(_find_quotations(text, our_texts), key=lambda span: span[0] - span[1]):
        quoted_text, remaining_text = fold_text(text[start:end]), f"{text[:start]} \n {text[end:]}"
        if any(our_text.startswith(quoted_text) or f" {quoted_text} " in f" {our_text} " for our_text in our_texts):
            min_words = MIN_QUOTED_WORDS if fold_text(remaining_text) else MIN_COPIED_WORDS
            if quoted_text.count(" ") + 1 >= min_words:
                return _cut_ours(remaining_text, our_texts)
    return _cut_copies(text, our_texts)


def _find_quotations(text: str, our_texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """What stands between two marks. Of the longer ones only those that begin as something in our texts does."""
    marks = [found.start() for found in islice(MARK_PATTERN.finditer(text), MAX_MARKS)]
    for i, start in enumerate(marks):
        beginning = fold_text(text[start : start + LENGTH_OF_BEGINNING])
        is_ours = any(beginning in our_text for our_text in our_texts)
        for end in marks[i + 1 :]:
            if (is_ours or end < start + LENGTH_OF_BEGINNING) and _is_end(text, end):
                yield start, end + 1


def _is_end(text: str, i: int) -> bool:
    """Whether a quotation may end here: after a closing mark, which no letter follows."""
    return text[i] in CLOSING_MARKS and not text[i + 1 : i + 2].isalnum()


def _cut_copies(text: str, our_texts: Sequence[str]) -> str:
    """Cuts whole texts of ours that stand without quotation marks."""
    for our_text in our_texts:
        size = our_text.count(" ") + 1
        if size < MIN_COPIED_WORDS or our_text[:10] not in fold_text(text):
            continue
        found_words = list(WORD_PATTERN.finditer(text))
        for first, last in zip(found_words, found_words[size - 1 :], strict=False):
            if fold_text(text[first.start() : last.end()]) == our_text:
                return f"{text[: first.start()]}\n{text[last.end() :].lstrip(MARKS_AFTER_COPY)}"
    return text
