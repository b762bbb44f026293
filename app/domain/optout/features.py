"""The features of a text: what the model counts.

They are the words, the pairs of words, the parts of unknown words, and above all the meanings of the words
in their order: what is asked for, by whom, of what, and whether it is denied."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

from app.domain.optout.lexicon import find_meanings, find_object, guess_meanings

CLAUSE, QUESTION, COMMA, NUMBER, UNKNOWN = "|", "?", ",", "#", "X"
MARK_MEANINGS = {".": CLAUSE, "!": CLAUSE, "\n": CLAUSE, ";": CLAUSE, ":": COMMA, ",": COMMA, "?": QUESTION}
PAUSES = frozenset((CLAUSE, QUESTION, COMMA))
UNHEARD_WORDS = frozenset("a an the el los un una l o os as d is are am be was were y and so very do does did".split())
"""Words without a meaning that may stand between any two others."""

NEGATIONS = frozenset(("NOT", "NO"))
NEGATABLE = frozenset(
    "BLOCK BOTHER CALL CANCEL CEASE CONSENT CONTACT EMAIL END INTEREST KEEP LOSE OPT PARA REMOVE RESUB REVOKE SAY SEND"
    " START STOPPED TEXT UNSUB WANT".split()
)
REACH_OF_NEGATION = 5
NOT_NEGATED_BY_NO = frozenset("stop quit unsubscribe remove cancel end take delete opt stopping lose".split())
"""English "no" before them is an answer: "no stop texting". Spanish "no" before a verb denies it."""

KEY_MEANINGS = frozenset(
    "ALONE BACK BLOCK BOTHER CALL CANCEL CEASE CONSENT CONTACT CURSE DNC EMAIL END ENOUGH HELP HOW INFO INTEREST LEGAL"
    " LIST LONGER LOSE MISTAKE NO NOT NUMBER OPT PARA PROMO REMIND REMOVE RESUB REVOKE SCAM SEND START STOPPED TEXT"
    " THING UNSUB WHEN WHO WRONG".split()
)
LIGHT_MEANINGS = frozenset("X , THIS TO BY CONJ PLEASE ALL # FROM YOU I".split())
REACH_OF_PAIRS = 6
PART_SIZES = (3, 4, 5)
MAX_KEYS = 4
LONGEST_COUNTED = 12


WORD, MEANING, PART, GUESS, TWO_WORDS, MEANING_AND_WORD, CHAIN, PAIR, KEYS, LENGTH_WITHOUT_KEYS, LENGTH = range(1, 12)
"""What a feature is made of."""

Feature = tuple[int, int, int, int, int]
"""A kind, and the keys of up to four words or meanings; 0 for none."""
HASH_MASK = (1 << 24) - 1


@lru_cache(maxsize=16384)
def key_of(name: str) -> int:
    return crc32(name.encode(errors="surrogatepass")) & HASH_MASK


def hash_features(features: Iterable[Feature]) -> list[int]:
    """The hashes of features, in their order."""
    return [
        (kind * 0x9E3779 + a * 0x85EBCB + b * 0xC2B2AF + c * 0x27D4EB + d * 0x165667) & HASH_MASK
        for kind, a, b, c, d in features
    ]


START, END, CLAUSE_START, CLAUSE_END = map(key_of, ("^", "$", "<", ">"))


@dataclass(frozen=True, slots=True)
class WordReading:
    """A word as the model sees it: its key, its meanings in the chain, and its own features."""

    key: int
    meanings: tuple[str, ...]
    features: tuple[Feature, ...]
    denied_meanings: tuple[str, ...]
    denied_features: tuple[Feature, ...]


@lru_cache(maxsize=8192)
def read_word(word: str) -> WordReading:
    if word in MARK_MEANINGS:
        return _read_plainly(word, (MARK_MEANINGS[word],), ())
    if word[0].isdigit():
        return _read_plainly(NUMBER, (NUMBER,), ())
    meanings = find_meanings(word)
    if not meanings:
        return _read_unknown_word(word)
    last = find_object(word, meanings[0])
    chain = (meanings[0], last) if last else meanings[:1]
    features = (_name(WORD, word), *(_name(MEANING, meaning) for meaning in meanings))
    if meanings[0] not in NEGATABLE:
        return _read_plainly(word, chain, features)
    denied_meanings = (f"!{chain[0]}", *chain[1:])
    denied_features = (_name(WORD, f"!{word}"), *(_name(MEANING, meaning) for meaning in denied_meanings))
    return WordReading(key_of(word), chain, features, denied_meanings, denied_features)


def _read_plainly(word: str, meanings: tuple[str, ...], features: tuple[Feature, ...]) -> WordReading:
    return WordReading(key_of(word), meanings, features, meanings, features)


def _read_unknown_word(word: str) -> WordReading:
    features = [_name(WORD, word)]
    if len(word) > PART_SIZES[0]:
        marked_word = f"^{word}$"
        features += [_name(PART, marked_word[i : i + n]) for n in PART_SIZES for i in range(len(marked_word) - n + 1)]
    guesses = guess_meanings(word)
    features += [_name(GUESS, meaning) for meaning in guesses]
    chain = (f"~{guesses[0]}",) if guesses else () if word in UNHEARD_WORDS else (UNKNOWN,)
    return _read_plainly(word, chain, tuple(features))


def _name(kind: int, name: str) -> Feature:
    return (kind, key_of(name), 0, 0, 0)


def list_features(words: Sequence[str]) -> set[Feature]:
    """The features of a text, from the words that `spelling.split_words` reads in it."""
    found_features: set[Feature] = set()
    heard_words: list[tuple[int, int]] = []
    chain: list[str] = []
    reach = 0
    for i, word in enumerate(words):
        word_reading = read_word(word)
        meanings, features = word_reading.meanings, word_reading.features
        main = meanings[0] if meanings else word
        if main in PAUSES or main == "BUT":
            reach = reach if main == COMMA else 0
        elif main in NEGATIONS and not (main == "NO" and _is_answer(words, i)):
            reach = REACH_OF_NEGATION
        elif reach and word not in UNHEARD_WORDS:
            reach -= 1
            meanings, features = word_reading.denied_meanings, word_reading.denied_features
        found_features.update(features)
        if word not in MARK_MEANINGS or word == QUESTION:
            heard_words.append((word_reading.key, key_of(meanings[0] if meanings else word)))
        _add_meanings(chain, meanings)
    while chain and chain[-1] in (CLAUSE, COMMA):
        chain.pop()
    found_features.update(_list_word_pairs(heard_words))
    found_features.update(_list_chains(list(map(key_of, chain))))
    found_features.update(_list_pairs_in_clauses(chain))
    found_features.update(_list_keys(chain, len(heard_words)))
    return found_features


def _is_answer(words: Sequence[str], i: int) -> bool:
    """Whether a "no" is an answer and denies nothing that follows."""
    return i + 1 < len(words) and (words[i + 1] in MARK_MEANINGS or words[i + 1] in NOT_NEGATED_BY_NO)


def _add_meanings(chain: list[str], meanings: Sequence[str]) -> None:
    """Adds to the chain: unknown words that follow each other are one, pauses too."""
    for meaning in meanings:
        last = chain[-1] if chain else CLAUSE
        if meaning in PAUSES and last in PAUSES:
            if meaning == QUESTION and chain:
                chain[-1] = QUESTION
        elif not meaning == last == UNKNOWN:
            chain.append(meaning)


def _list_word_pairs(heard_words: Sequence[tuple[int, int]]) -> Iterator[Feature]:
    """Neighbours: two words, or a meaning and a word."""
    word = meaning = START
    for next_word, next_meaning in (*heard_words, (END, END)):
        yield (TWO_WORDS, word, next_word, 0, 0)
        yield (MEANING_AND_WORD, meaning, next_word, 0, 0)
        word, meaning = next_word, next_meaning


def _list_chains(chain: Sequence[int]) -> Iterator[Feature]:
    """Two, three and four meanings that follow each other."""
    ends = [START, *chain, END, 0, 0]
    for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        yield (CHAIN, a, b, 0, 0)
        yield (CHAIN, a, b, c, 0)
        yield (CHAIN, a, b, c, d)


def _list_pairs_in_clauses(chain: Sequence[str]) -> Iterator[Feature]:
    """Two meanings of one clause, with others between them."""
    clause = [CLAUSE_START]
    for meaning in (*chain, CLAUSE):
        if meaning not in (CLAUSE, QUESTION):
            if meaning not in LIGHT_MEANINGS:
                clause.append(key_of(meaning))
            continue
        clause.append(CLAUSE_END if meaning == CLAUSE else key_of(QUESTION))
        for i, first in enumerate(clause):
            for second in clause[i + 1 : i + REACH_OF_PAIRS]:
                yield (PAIR, first, second, 0, 0)
        clause = [CLAUSE_START]


def _list_keys(chain: Sequence[str], length: int) -> Iterator[Feature]:
    """Which meanings that matter the text has at all, and how long it is."""
    keys = sorted({meaning for meaning in chain if meaning.lstrip("!") in KEY_MEANINGS})
    if len(keys) <= MAX_KEYS:
        a, b, c, d = [*map(key_of, keys), 0, 0, 0, 0][:4]
        yield (KEYS, a, b, c, d)
    if not keys:
        yield (LENGTH_WITHOUT_KEYS, min(length, LONGEST_COUNTED // 2), 0, 0, 0)
    yield (LENGTH, min(length, LONGEST_COUNTED), 0, 0, 0)
