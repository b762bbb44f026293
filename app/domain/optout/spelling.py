"""Reads a text as words: spelled, doubled, joined and mistyped words as the words that they stand for."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from app.domain.optout.folding import APOSTROPHES, fold_letters
from app.domain.optout.lexicon import FOUND_WHEN_MISTYPED, WORDS, find_meanings, shorten
from app.domain.optout.lists import read_lists

LISTS = dict(read_lists("spellings.txt"))
ALIASES: Mapping[str, tuple[str, ...]] = {
    written_word: tuple(meant_words.split("_"))
    for written_word, meant_words in (entry.split("=") for entry in LISTS["ALIAS"])
}
TYPED_WORDS = frozenset(LISTS["TYPED"])
SLIPPED_WORDS = frozenset(LISTS["SLIPPED"]).union(
    word for word, meanings in WORDS.items() if not FOUND_WHEN_MISTYPED.isdisjoint(meanings)
)
PLAIN = frozenset(LISTS["PLAIN"])
JOINED_WORDS = frozenset(LISTS["JOINED"])
PAIRS: Mapping[tuple[str, str], tuple[str, ...]] = {
    (first, second): tuple(meant_words.split("_"))
    for first, second, meant_words in (re.split("[+=]", entry) for entry in LISTS["PAIR"])
}

CLITIC_PATTERN = re.compile(rf"(?<=\w)[{APOSTROPHES}](?=(?:t|s|re|ll|ve|d|m|em|all)\b)", re.IGNORECASE)
"""The apostrophe before an English ending (don't). Others stand between words (m'écrire)."""
APOSTROPHE_PATTERN = re.compile(f"[{APOSTROPHES}]")
TOKEN_PATTERN = re.compile(r"[^\W_]+|[?!.,;:\n()]|[-–—](?=\s)|[^\w\s\"()\-/@#&*+=<>\[\]{}|~`^$%\\“”„«»‹›…‘’'¿¡–—•]")
"""Words, marks and signs. A dash before a blank is a mark: cancel - Tuesday."""
MARKS = frozenset("?!.,;:\n()-–—")
TEARS = frozenset("-–—(")
"""Marks that may stand between the two parts of a word: un - subscribe."""
KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
LETTER_OF_DIGIT = str.maketrans("013457$", "oieasts")
DOLLAR_IN_WORD = re.compile(r"\$(?=[^\W\d_])")
REPEATED_LETTER = re.compile(r"(.)\1+")
LETTER_THREE_TIMES = re.compile(r"(.)\1\1+")
REPEATED_WORD = re.compile(r"(\w{3,}?)\1+")
MIN_TYPED_LENGTH = 4
MIN_SLIPPED_LENGTH = 5
MAX_TYPED_LENGTH = 16
JOINED_LENGTHS = range(6, 41)
MIN_SPELLED_LETTERS = 3
INSTRUCTION_PATTERN = re.compile(r"([a-z]+)([24])([a-z]+)")
"""An instruction as carriers write it: stop2end, help4info."""
NEIGHBOURS = frozenset(
    pair
    for row, next_row in pairwise((*KEYBOARD, ""))
    for a, b in (*pairwise(row), *zip(row, next_row, strict=False), *zip(row[1:], next_row, strict=False))
    for pair in ((a, b), (b, a))
)
"""Letters whose keys touch."""
WORD_OF_DIGIT = {"2": "to", "4": "for"}


def split_words(text: str) -> list[str]:
    """The folded words, punctuation marks and emoji of a text, in their order."""
    if not text.isascii() or "'" in text or "`" in text:
        text = APOSTROPHE_PATTERN.sub(" ", CLITIC_PATTERN.sub("", text))
    folded_text = fold_letters(text)
    if "$" in folded_text:
        folded_text = DOLLAR_IN_WORD.sub("s", folded_text)
    return list(_join_fragments(_join_letters(TOKEN_PATTERN.findall(folded_text))))


def _join_letters(tokens: Iterable[str]) -> Iterator[str]:
    """Joins words that are spelled letter by letter, with any marks between or each on its line: s t o p, s.t.o.p."""
    spelled: list[str] = []
    for token in tokens:
        if (len(token) == 1 and token.isalpha()) or (spelled and not token.isalnum()):
            spelled.append(token)
            continue
        if spelled:
            yield from _read_spelled(spelled)
            spelled = []
        yield token
    yield from _read_spelled(spelled)


def _read_spelled(spelled: Sequence[str]) -> Iterable[str]:
    """The word of these letters, and the marks after its last one; what was given, if they are no word."""
    letters = [token for token in spelled if token.isalpha()]
    word = "".join(letters)
    if len(letters) < MIN_SPELLED_LETTERS or not find_meanings(mend_word(word)[0]):
        return spelled
    size = max(i for i, token in enumerate(spelled) if token.isalpha()) + 1
    return (word, *spelled[size:])


def _join_fragments(tokens: Iterable[str]) -> Iterator[str]:
    """Mends each word, and joins two that are one word: un subscribe, sto p, un - subscribe."""
    before = tear = ""
    for token in tokens:
        if before and not tear and token in TEARS:
            tear = token
            continue
        joined_words = PAIRS.get((before, token)) or ((before + token,) if _is_torn(before, tear, token) else None)
        if joined_words:
            yield from joined_words[:-1]
            before, tear = joined_words[-1], ""
            continue
        yield from (*mend_word(before), *mend_word(tear))
        before, tear = token, ""
    yield from (*mend_word(before), *mend_word(tear))


def _is_torn(before: str, tear: str, token: str) -> bool:
    """Behind a mark a word that means something stands for itself: cancel - a friend did it."""
    return (
        before + token in TYPED_WORDS
        and not (find_meanings(before) and (tear or find_meanings(token)))
        and before not in PLAIN
    )


@lru_cache(maxsize=8192)
def mend_word(word: str) -> tuple[str, ...]:
    """The words that a written word stands for: itself, if it is known or nothing is near."""
    if not word or word in MARKS:
        return (word,) if word else ()
    if word in ALIASES:
        return ALIASES[word]
    if len(word) in JOINED_LENGTHS and word.isalpha() and len(parts := _split_joined(word)) > 1:
        return parts
    if len(word) < MIN_SPELLED_LETTERS or word in PLAIN or word in WORDS:
        return (word,)
    if find_meanings(word):
        return _correct(word, is_slip, NEAR_TYPED) or (word,)
    if not word.isalpha():
        return _read_digits(word)
    mended_word = _unrepeat(word) or _correct(word, is_one_edit_away, NEAR_TYPED)
    return mended_word or _correct(word, is_slip, NEAR_SLIPPED) or (word,)


def _read_digits(word: str) -> tuple[str, ...]:
    """A word in which digits stand for letters or for words: st0p, stop2end."""
    if (instruction := INSTRUCTION_PATTERN.fullmatch(word)) and find_meanings(mend_word(instruction[1])[0]):
        return (*mend_word(instruction[1]), WORD_OF_DIGIT[instruction[2]], *mend_word(instruction[3]))
    letters = word.translate(LETTER_OF_DIGIT)
    return (letters,) if letters in TYPED_WORDS and not word.isdigit() else (word,)


def _unrepeat(word: str) -> tuple[str, ...]:
    """A word with repeated letters (stooop), or that is written several times (stopstop)."""
    for pattern in (LETTER_THREE_TIMES, REPEATED_LETTER):
        short = pattern.sub(r"\1", word)
        if short != word and (short in TYPED_WORDS or find_meanings(short)):
            return (short,)
    repeated_word = REPEATED_WORD.fullmatch(word)
    return (repeated_word[1], repeated_word[1]) if repeated_word and find_meanings(repeated_word[1]) else ()


def _split_joined(word: str) -> tuple[str, ...]:
    """The fewest words that a joined word consists of; nothing if a part is no word."""
    best: dict[int, tuple[str, ...]] = {0: ()}
    for start in range(len(word)):
        if start not in best:
            continue
        for end in range(start + 2, min(len(word), start + 12) + 1):
            parts = (*best[start], word[start:end])
            if word[start:end] in JOINED_WORDS and (end not in best or len(best[end]) > len(parts)):
                best[end] = parts
    return best.get(len(word), ())


def find_near(words: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """The words by what they share with words that are one letter away, short ones first."""
    near: dict[str, tuple[str, ...]] = {}
    for word in sorted(words, key=lambda word: (len(word), word)):
        if len(word) >= MIN_TYPED_LENGTH:
            for short in shorten(word):
                near[short] = (*near.get(short, ()), word)
    return near


NEAR_TYPED = find_near(TYPED_WORDS)
NEAR_SLIPPED = find_near(SLIPPED_WORDS)


def _correct(
    word: str, is_near: Callable[[str, str], bool], near_words: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """The listed word that is so near."""
    if len(word) > MAX_TYPED_LENGTH or not word.isalpha():
        return ()
    found_words = (near_word for short in shorten(word) for near_word in near_words.get(short, ()))
    return next(((near_word,) for near_word in found_words if is_near(word, near_word)), ())


def is_one_edit_away(first_word: str, second_word: str) -> bool:
    """Whether one letter more, less or other, or two swapped neighbours make the words equal."""
    if abs(len(first_word) - len(second_word)) > 1:
        return False
    start = next(
        (i for i, (a, b) in enumerate(zip(first_word, second_word, strict=False)) if a != b),
        min(len(first_word), len(second_word)),
    )
    a, b = first_word[start:], second_word[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (len(a) > 1 and a[:2] == b[1::-1] and a[2:] == b[2:])


def is_slip(word: str, near_word: str) -> bool:
    """Whether a finger slipped inside a word that begins as a known one: two letters swapped, one left out or twice.
    Its last letters may be another form of the word (cancels, cancelan) and are no slip."""
    if len(word) < MIN_SLIPPED_LENGTH or word[0] != near_word[0]:
        return False
    if len(word) == len(near_word):
        return sorted(word) == sorted(near_word) and is_one_edit_away(word, near_word)
    is_shorter = len(word) + 1 == len(near_word)
    is_doubled = len(word) == len(near_word) + 1 and REPEATED_LETTER.search(word[:-1]) is not None
    return word[-1] == near_word[-1] and (is_shorter or is_doubled) and is_one_edit_away(word, near_word)


def is_key_missed(word: str, near_word: str) -> bool:
    """Whether one key inside a word was missed, hit twice or swapped, or its neighbour was hit."""
    if word[0] != near_word[0] or word[-1] != near_word[-1] or not is_one_edit_away(word, near_word):
        return False
    differences = [(a, b) for a, b in zip(word, near_word, strict=False) if a != b]
    return len(word) != len(near_word) or len(differences) == 2 or NEIGHBOURS.issuperset(differences)
