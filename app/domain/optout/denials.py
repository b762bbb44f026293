"""Texts that deny a wish: don't take me off the list. The model counts what it sees, and a denied wish holds much
of a wish; here the order decides."""

from collections.abc import Sequence
from itertools import dropwhile

from app.domain.optout.features import COMMA, WordReading, read_words

NEGATIONS = frozenset({"NOT", "NO"})
BEFORE_DENIAL = frozenset({"PLEASE", "HI", "THANKS", "BUT", COMMA})
BETWEEN = frozenset({"ME", "YOU", "TO", "PLEASE", "LONGER", "FROM", "be"})
"""What may stand between "don't" and the verb that it denies."""
DENYING_WORDS = frozenset("dont dnt not never no ne n nao nunca jamas".split())
"""Not "can't you remove me": that is a wish."""
SMALL_WORDS = frozenset("do does did the".split())
ENDINGS = frozenset({"UNSUB", "OPT", "CEASE", "END", "CANCEL", "REMOVE", "LOSE", "REVOKE", "BLOCK", "REACT"})
"""Meanings of verbs that end our texting."""
ENDINGS_WITH_OFF = frozenset("get gets getting take takes taking taken took".split())
"""They end it only with a word such as "off"."""
DENIED_WISHES = (
    *(["I", "NOT", verb] for verb in ("!WANT", "!SAY", "!TEXT", "!SEND")),
    ["NO", "!WANT"],
    ["YOU", "NOT", "!WANT"],
)
"""How a denial begins: I don't want off, I never said stop, you don't need to remove me."""
WAYS_OUT = (["off"], ["off", "this"], ["off", "your"], ["out"], ["out", "of"])
TAKES_BACK = frozenset({"MISTAKE", "IGNORE", "START", "RESUB", "BACK", "KEEP", "WRONG"})
"""Meanings that make more of a denial: don't remove me, that was a mistake."""
PAST_CONTACTS = frozenset(
    "contacted texted messaged called wrote emailed reached replied answered responded followed sent".split()
)


def denies_wish(words: Sequence[str]) -> bool:
    """Whether a text is surely no opt-out: its only wish is denied (don't remove me, I don't want to be removed), or
    it tells that somebody did not write (they never contacted me again)."""
    readings = list(dropwhile(_is_opening, (r for r in read_words(words) if r.word not in SMALL_WORDS)))
    mains = [reading.main for reading in readings]
    if mains[:2] == ["NO", "NOT"]:
        readings, mains = readings[1:], mains[1:]
    if sum(main in NEGATIONS for main in mains) != 1 or not ENDINGS.isdisjoint(mains):
        return False
    place = next(i for i, main in enumerate(mains) if main in NEGATIONS)
    following = readings[place + 1 :]
    if mains[place : place + 2] == ["NO", "LONGER"]:
        return False  # an end of itself: no more, take me off
    if following and following[0].word in PAST_CONTACTS and ENDINGS.isdisjoint(m.removeprefix("!") for m in mains):
        return True
    if mains[: place + 2] in DENIED_WISHES:
        following = following[1:]
        if [reading.word for reading in following[:2]] in WAYS_OUT:
            return mains[place + 1] == "!WANT"
    elif place:
        return False
    verb = next((reading for reading in following if reading.main not in BETWEEN), None)
    is_order = readings[place].word in DENYING_WORDS and (
        readings[place].word != "not" or not {"do", "did"}.isdisjoint(words)
    )
    return is_order and verb is not None and _ends_texting(verb, mains)


def takes_back(words: Sequence[str]) -> bool:
    """Whether a text says more than that a wish is denied: it wants our texts after all."""
    mains = [reading.main for reading in read_words(words)]
    return "WANT" in mains or not TAKES_BACK.isdisjoint(main.removeprefix("!") for main in mains)


def _is_opening(reading: WordReading) -> bool:
    return reading.main in BEFORE_DENIAL


def _ends_texting(verb: WordReading, mains: Sequence[str]) -> bool:
    is_whole = verb.word not in ENDINGS_WITH_OFF or "OFF" in mains
    return (
        is_whole
        and not verb.word.startswith(("pierd", "opted"))
        and verb.main.startswith("!")
        and verb.main.removeprefix("!") in ENDINGS
    )
