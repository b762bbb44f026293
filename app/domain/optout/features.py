"""The features of a text: what the model counts.

They are the words, the pairs of words, the parts of unknown words, and above all the meanings of the words
in their order: what is asked for, by whom, of what, and whether it is denied."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain as concatenate
from itertools import pairwise
from zlib import crc32

from app.domain.optout.lexicon import find_meanings, find_object, guess_meanings

CLAUSE, QUESTION, COMMA, NUMBER, UNKNOWN = "|", "?", ",", "#", "X"
MARK_MEANINGS = dict.fromkeys(".!\n;", CLAUSE) | dict.fromkeys(":,()-–—", COMMA) | {"?": QUESTION}
PAUSES = frozenset((CLAUSE, QUESTION, COMMA))
TELLING_FACES = frozenset("🛑🖕👎😡🤬😠😤👿💩🙄✋🚫⛔❌❎✅📵🚯🔕🔇🔛😂🤣😆😅😜😉💀")
"""They wish something, or take back what was said. All others are ornaments."""
UNHEARD_WORDS = frozenset("a an the el los un una l o os as d is are am be was were y and so very do does did".split())
"""Words without a meaning that may stand between any two others."""

NEGATIONS = frozenset(("NOT", "NO"))
NEGATABLE = frozenset(
    "BLOCK BOTHER CALL CANCEL CEASE CONSENT CONTACT EMAIL END INTEREST KEEP LOSE OPT PARA REACT REMOVE RESUB REVOKE SAY"
    " SEND START STOPPED TEXT UNSUB WANT".split()
)
REACH_OF_NEGATION = 5
NOT_NEGATED_BY_NO = frozenset("stop quit unsubscribe remove cancel end take delete opt stopping lose".split())
"""English "no" before them is an answer: "no stop texting". Spanish "no" before a verb denies it."""

KEY_MEANINGS = frozenset(
    "ALONE BACK BLOCK BOTHER CALL CANCEL CEASE CONSENT CONTACT CURSE DNC EMAIL END ENOUGH HEAR HELP HOW INFO INTEREST"
    " LEGAL LIST LONGER LOSE MISTAKE NO NOT NUMBER OPT PARA PROMO REMIND REMOVE RESUB REVOKE SCAM SEND START STOPPED"
    " TEXT THING UNSUB WHEN WHO WRONG".split()
)
LIGHT_MEANINGS = frozenset("X , THIS TO BY CONJ PLEASE ALL # FROM YOU I".split())
REACH_OF_PAIRS = 6
PART_SIZES = (3, 4, 5)
MAX_KEYS = 4
LONGEST_COUNTED = 12

WORD, MEANING, PART, GUESS, TWO_WORDS, MEANING_AND_WORD, CHAIN, PAIR, KEYS, LENGTH_WITHOUT_KEYS, LENGTH = range(1, 12)
CLAUSE_KEYS = 12
"""What a feature is made of."""

HASH_MASK = (1 << 24) - 1
OF_KIND, OF_FIRST, OF_SECOND, OF_THIRD, OF_FOURTH = 0x9E3779, 0x85EBCB, 0xC2B2AF, 0x27D4EB, 0x165667
"""What each part of a feature is multiplied with for its hash."""


@lru_cache(maxsize=16384)
def key_of(name: str) -> int:
    return crc32(name.encode(errors="surrogatepass")) & HASH_MASK


def hash_feature(kind: int, *keys: int) -> int:
    """The hash of a feature: its kind, and the keys of up to four words or meanings. Loops that cost much have
    these sums written out."""
    factors = (OF_FIRST, OF_SECOND, OF_THIRD, OF_FOURTH)
    return (kind * OF_KIND + sum(key * factor for key, factor in zip(keys, factors, strict=False))) & HASH_MASK


def _name(kind: int, name: str) -> int:
    return hash_feature(kind, key_of(name))


ALWAYS = hash_feature(0, 1)
"""The feature that each text has."""
START, END, CLAUSE_START, CLAUSE_END = map(key_of, ("^", "$", "<", ">"))
PAUSE_KEYS, LIGHT_KEYS = (frozenset(map(key_of, names)) for names in (PAUSES, LIGHT_MEANINGS))
KEY_KEYS = frozenset(key_of(name) for meaning in KEY_MEANINGS for name in (meaning, f"!{meaning}"))
CLAUSE_KEY, COMMA_KEY, QUESTION_KEY, UNKNOWN_KEY = map(key_of, (CLAUSE, COMMA, QUESTION, UNKNOWN))


@dataclass(frozen=True, slots=True)
class WordReading:
    """A word as the model sees it: its main meaning (the word itself if it has none), the keys of both and of
    the meanings in the chain, and its own features."""

    word: str
    main: str
    key: int
    main_key: int
    chain: tuple[int, ...]
    features: tuple[int, ...]


@lru_cache(maxsize=8192)
def read_word(word: str) -> tuple[WordReading, WordReading]:
    """The word as it stands, and as it is denied."""
    if word in MARK_MEANINGS:
        return _read_twice(word, (MARK_MEANINGS[word],), ())
    if word[0].isdigit():
        return _read_twice(NUMBER, (NUMBER,), ())
    meanings = find_meanings(word)
    if not meanings:
        return _read_unknown_word(word)
    last = find_object(word, meanings[0])
    chain = (meanings[0], last) if last else meanings[:1]
    reading = _read(word, chain, (_name(WORD, word), *(_name(MEANING, meaning) for meaning in meanings)))
    if meanings[0] not in NEGATABLE:
        return reading, reading
    denied_chain = (f"!{chain[0]}", *chain[1:])
    denied_features = (_name(WORD, f"!{word}"), *(_name(MEANING, meaning) for meaning in denied_chain))
    return reading, _read(word, denied_chain, denied_features)


def _read(word: str, chain: tuple[str, ...], features: tuple[int, ...]) -> WordReading:
    main = chain[0] if chain else word
    return WordReading(word, main, key_of(word), key_of(main), tuple(map(key_of, chain)), features)


def _read_twice(word: str, chain: tuple[str, ...], features: tuple[int, ...]) -> tuple[WordReading, WordReading]:
    reading = _read(word, chain, features)
    return reading, reading


def _read_unknown_word(word: str) -> tuple[WordReading, WordReading]:
    features = [_name(WORD, word)]
    if len(word) > PART_SIZES[0]:
        marked_word = f"^{word}$"
        features += [_name(PART, marked_word[i : i + n]) for n in PART_SIZES for i in range(len(marked_word) - n + 1)]
    guesses = guess_meanings(word)
    features += [_name(GUESS, meaning) for meaning in guesses]
    chain = (f"~{guesses[0]}",) if guesses else () if word in UNHEARD_WORDS else (UNKNOWN,)
    return _read_twice(word, chain, tuple(features))


def read_words(words: Sequence[str]) -> list[WordReading]:
    """The words in their context: those that a negation before them denies are read so. Faces that say
    nothing of a wish are left out."""
    words = [word for word in words if word[0].isalnum() or word in MARK_MEANINGS or word in TELLING_FACES]
    readings = []
    reach = 0
    for i, word in enumerate(words):
        reading, denied_reading = read_word(word)
        main = reading.main
        if main in PAUSES or main == "BUT":
            reach = reach if main == COMMA else 0
        elif main in NEGATIONS and not (main == "NO" and _is_answer(words, i)):
            reach = REACH_OF_NEGATION
        elif reach and word not in UNHEARD_WORDS:
            reach -= 1
            reading = denied_reading
        readings.append(reading)
    return readings


def _is_answer(words: Sequence[str], i: int) -> bool:
    """Whether a "no" is an answer and denies nothing that follows."""
    return i + 1 < len(words) and (words[i + 1] in MARK_MEANINGS or words[i + 1] in NOT_NEGATED_BY_NO)


def list_features_between(readings: Sequence[WordReading]) -> Iterator[int]:
    """The features of a text that no word has for itself."""
    heard_readings = list_heard(readings)
    chain = _link_meanings(readings)
    return concatenate(
        _list_word_pairs(heard_readings),
        _list_chains(chain),
        _list_pairs_in_clauses(chain),
        _list_keys(chain, len(heard_readings)),
    )


def list_heard(readings: Sequence[WordReading]) -> list[WordReading]:
    """All but the pauses; a question is heard."""
    return [reading for reading in readings if reading.main not in (CLAUSE, COMMA)]


def _link_meanings(readings: Sequence[WordReading]) -> list[int]:
    """The meanings in their order: unknown words that follow each other are one, pauses too."""
    chain: list[int] = []
    last = CLAUSE_KEY
    for reading in readings:
        for meaning in reading.chain:
            if meaning in PAUSE_KEYS and last in PAUSE_KEYS:
                if meaning == QUESTION_KEY and chain:
                    chain[-1] = last = QUESTION_KEY
            elif not meaning == last == UNKNOWN_KEY:
                chain.append(meaning)
                last = meaning
    while chain and chain[-1] in (CLAUSE_KEY, COMMA_KEY):
        chain.pop()
    return chain


def _list_word_pairs(heard_readings: Sequence[WordReading]) -> list[int]:
    """Neighbours: two words, or a meaning and a word."""
    words = [START, *(reading.key for reading in heard_readings), END]
    meanings = [START, *(reading.main_key for reading in heard_readings)]
    two_words, meaning_and_word = TWO_WORDS * OF_KIND, MEANING_AND_WORD * OF_KIND
    found_features = [(two_words + a * OF_FIRST + b * OF_SECOND) & HASH_MASK for a, b in pairwise(words)]
    found_features += [
        (meaning_and_word + a * OF_FIRST + b * OF_SECOND) & HASH_MASK for a, b in zip(meanings, words[1:], strict=True)
    ]
    return found_features


def _list_chains(chain: Sequence[int]) -> list[int]:
    """Two, three and four meanings that follow each other."""
    ends = [START, *chain, END, 0, 0]
    found_features: list[int] = []
    for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        two = CHAIN * OF_KIND + a * OF_FIRST + b * OF_SECOND
        three = two + c * OF_THIRD
        found_features += (two & HASH_MASK, three & HASH_MASK, (three + d * OF_FOURTH) & HASH_MASK)
    return found_features


def _list_pairs_in_clauses(chain: Sequence[int]) -> list[int]:
    """Two meanings of one clause, with others between them; and which of those that matter it has."""
    found_features: list[int] = []
    clause = [CLAUSE_START]
    for meaning in (*chain, CLAUSE_KEY):
        if meaning not in (CLAUSE_KEY, QUESTION_KEY):
            if meaning not in LIGHT_KEYS:
                clause.append(meaning)
            continue
        clause.append(CLAUSE_END if meaning == CLAUSE_KEY else QUESTION_KEY)
        for i, first in enumerate(clause):
            half = PAIR * OF_KIND + first * OF_FIRST
            found_features += [(half + second * OF_SECOND) & HASH_MASK for second in clause[i + 1 : i + REACH_OF_PAIRS]]
        keys = KEY_KEYS.intersection(clause)
        if 0 < len(keys) <= MAX_KEYS:
            found_features.append(hash_feature(CLAUSE_KEYS, *sorted(keys)))
        clause = [CLAUSE_START]
    return found_features


def _list_keys(chain: Sequence[int], length: int) -> list[int]:
    """Which meanings that matter the text has at all, and how long it is."""
    keys = sorted(KEY_KEYS.intersection(chain))
    found_features = [hash_feature(LENGTH, min(length, LONGEST_COUNTED))]
    if len(keys) <= MAX_KEYS:
        found_features.append(hash_feature(KEYS, *keys))
    if not keys:
        found_features.append(hash_feature(LENGTH_WITHOUT_KEYS, min(length, LONGEST_COUNTED // 2)))
    return found_features
