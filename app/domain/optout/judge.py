"""Judges an inbound text: a definitive word decides, else what the text means (docs/webhooks.md, "Opt-outs").

The law allows ten business days for an opt-out (47 CFR 64.1200(a)(10)); we obey within the webhook
request. A possible opt-out is flagged, not obeyed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from math import inf

from app.domain.optout.definitive import YES_WORDS, ControlWord, find_control_word
from app.domain.optout.denials import denies_wish, takes_back
from app.domain.optout.features import MARK_MEANINGS
from app.domain.optout.folding import fold_text, unify_characters
from app.domain.optout.lexicon import find_likely_meanings, find_meanings, find_object
from app.domain.optout.model import LABELS, Model, explain, load_model, score_labels
from app.domain.optout.quotations import OwnWords, cut_quotations
from app.domain.optout.signatures import FIRST_NAMES, NAME_PARTICLES, TELLING_VERBS, cut_device_line, cut_signature
from app.domain.optout.spelling import split_words

VERDICTS: Mapping[str, ControlWord] = {
    "stop": "stop",
    "optout": "stop",
    "opt out": "stop",
    "start": "start",
    "optin": "start",
    "opt in": "start",
    "help": "help",
    "info": "help",
}
"""The names that carriers use for the three control words."""
STRICTEST_FIRST: tuple[ControlWord, ...] = ("stop", "start", "help")

OBEY_MARGINS: Mapping[ControlWord, float] = {"stop": 0.1, "start": 0.1, "help": 0.3}
"""By how much a control word must lead before all other labels to be obeyed."""
POSSIBLE_MARGIN = 0.3
"""By how much `possible` or `stop` must lead before `none` and `help` to be flagged. `start` is left out: where it is
unclear whether our texts should end or go on, a person decides."""
MARGIN_WITHOUT_WISH_WORD = 1.5
"""By how much any label must lead in a text without a word of wishes: of such texts the model knows little, and most
of them are conversation."""
WISH_MEANINGS = frozenset(
    """ALONE BACK BLOCK BOTHER CALL CANCEL CEASE CONSENT CONTACT CURSE DEAD DNC END ENOUGH GOAWAY HEAR HELP IGNORE
    INFO INTEREST KEEP LEGAL LIST LONGER LOSE MISTAKE NUMBER OFF OPT PROMO REMIND REMOVE RESUB REVOKE SCAM SEND
    SPAM START STOPPED TEXT UNSUB WANT WHO WRONG""".split()
)
"""What the words of wishes about texting mean."""
ALONE_MEANINGS = frozenset({"CANCEL", "CEASE", "DNC", "HELP", "INFO", "OPT", "RESUB", "REVOKE", "START", "UNSUB"})
"""Meanings of words that can be a whole wish."""
UNCLEAR_MEANINGS = frozenset(
    {"BACK", "BY", "CONJ", "HI", "I", "LONGER", "PLEASE", "THANKS", "THIS", "TO", "WHEN", "YES", "YOU"}
)
"""Meanings of words that wish nothing, however many they are."""
MIN_WORDS_OF_ACCIDENT = 4
"""With the mark: help - mike fell."""
ABOUT_THE_TEXTS = WISH_MEANINGS | {"ASK", "HOW", "THIS", "COST"}
"""Meanings of words that ask about the texts."""
MEANINGS_LIKE_SURNAMES = frozenset({"THING", "WHEN", "LOCATION"})
"""They tell nothing of somebody: help - mike price."""
MAX_LENGTH = 320
"""Of a longer text its two ends are read, a segment each: a wish may stand at the end."""


@dataclass(frozen=True, slots=True)
class Judgment:
    """What a text was judged to be. `rule`: what decided (`word`, `first_line`, `meaning` or `carrier`).
    `is_possible`: it may be an opt-out, and a person should decide."""

    word: ControlWord | None = None
    rule: str | None = None
    is_possible: bool = False
    find_reasons: Callable[[], tuple[str, ...]] = field(default=tuple, repr=False, compare=False)
    """What spoke most for a judgment by meaning, as words. It costs as much as the judgment."""


def verdict(raw_verdict: object) -> ControlWord | None:
    """The control word by the name that a carrier uses for it; None: no known name."""
    return VERDICTS.get(fold_text(raw_verdict)) if isinstance(raw_verdict, str) else None


def judge_text(
    text: str,
    *,
    taken_as: ControlWord | None = None,
    yes_restores: bool = False,
    is_suppressed: bool = False,
    our_texts: Sequence[str] = (),
    model: Model | None = None,
) -> Judgment:
    """Judges a text by its words and by what its carrier took it for (`taken_as`). `our_texts`: the last
    texts that we sent to the lead; what is quoted from them is not judged. YES counts as START only from
    a suppressed phone whose carrier takes it so (`yes_restores`); from all others it answers a question.
    A verdict of the carrier is surer than a meaning. `model`: another one than the one that ships."""
    judgment = _judge_words(text, yes_restores and is_suppressed, our_texts, model or load_model())
    if taken_as is None or (taken_as == "start" and not is_suppressed and fold_text(text) in YES_WORDS):
        return judgment
    strictest = next(word for word in STRICTEST_FIRST if word in (judgment.word, taken_as))
    is_surer = judgment.rule != "meaning" or taken_as != strictest
    return judgment if judgment.word == strictest and is_surer else Judgment(taken_as, "carrier")


def _judge_words(text: str, accepts_yes: bool, our_texts: Sequence[str], model: Model) -> Judgment:
    own = read_own(text, our_texts)
    if not own.text:
        return Judgment(is_possible=own.is_dislike)
    words = split_ends(own.text)
    if control_word := find_control_word(own.text, words, accepts_yes, our_texts):
        return Judgment(*control_word)
    if own.is_dislike and not any(word[0].isalnum() for word in drop_signature(f"\n{own.text}", words)):
        return Judgment(is_possible=True)
    if own.precedes_quotation and not any(map(find_meanings, words)):
        return Judgment()  # a reaction in a language that is not read here
    return _judge_meaning(drop_signature(own.text, words), model)


def read_own(text: str, our_texts: Sequence[str] = ()) -> OwnWords:
    """What the lead wrote, without quotations and the line that a device adds."""
    own = cut_quotations(unify_characters(text), our_texts)
    return replace(own, text=cut_device_line(own.text).strip())


def split_ends(text: str) -> list[str]:
    """The words of a text; of a long one those of its two ends."""
    half = MAX_LENGTH // 2
    return split_words(text if len(text) <= MAX_LENGTH else f"{text[:half]}\n{text[-half:]}")


def drop_signature(text: str, words: Sequence[str]) -> Sequence[str]:
    """The words of a text above its signature. `words`: with it."""
    if "\n" not in text or len(unsigned_text := cut_signature(text)) == len(text):
        return words
    return split_ends(unsigned_text)


def _judge_meaning(words: Sequence[str], model: Model) -> Judgment:
    meanings_by_word = [meanings for meanings in map(find_likely_meanings, words) if meanings]
    if not meanings_by_word:
        return Judgment()
    scores = dict(zip(LABELS, score_labels(words, model), strict=True))
    if max(scores, key=scores.__getitem__) == "none":
        return Judgment()
    if denies_wish(words):
        if not takes_back(words):
            return Judgment()
        scores |= {"stop": -inf, "possible": -inf}
    if _tells_of_somebody(words):
        scores["help"] = -inf
    has_wish_word = not WISH_MEANINGS.isdisjoint(chain.from_iterable(meanings_by_word))
    for word in STRICTEST_FIRST if _may_be_obeyed(words, meanings_by_word) else ():
        next_score = max(score for label, score in scores.items() if label != word)
        if scores[word] - next_score >= (OBEY_MARGINS[word] if has_wish_word else MARGIN_WITHOUT_WISH_WORD):
            return Judgment(word, "meaning", find_reasons=partial(explain, words, word, model))
    doubt = max(scores["possible"], scores["stop"]) - max(scores["none"], scores["help"])
    is_possible = doubt >= (POSSIBLE_MARGIN if has_wish_word else MARGIN_WITHOUT_WISH_WORD)
    return Judgment(is_possible=is_possible and not _is_guessed(words, meanings_by_word))


def _is_guessed(words: Sequence[str], meanings_by_word: Sequence[Sequence[str]]) -> bool:
    """Whether nothing but unclear words, or one that may be mistyped, speaks for a wish: O'Brien."""
    is_unclear = all(map(UNCLEAR_MEANINGS.issuperset, meanings_by_word))
    return is_unclear and WISH_MEANINGS.isdisjoint(chain.from_iterable(map(find_meanings, words)))


def _tells_of_somebody(words: Sequence[str]) -> bool:
    """Whether a call for help tells behind a mark what happened to somebody: help - mike fell."""
    if len(words) < MIN_WORDS_OF_ACCIDENT or "HELP" not in find_meanings(words[0]):
        return False
    if words[1] == "." or words[1] not in MARK_MEANINGS:
        return False  # behind a full stop a name may sign: Help. Jo Bell
    told = [word for word in words[2:] if word[0].isalnum()]
    who = next((i for i, word in enumerate(told) if "MY" not in find_meanings(word) and word != "the"), len(told))
    rest = [word for word in told[who + 1 :] if word not in NAME_PARTICLES]
    is_somebody = who < len(told) and (told[who] in FIRST_NAMES or "THEM" in find_meanings(told[who]))
    meanings_of_rest = frozenset(chain.from_iterable(map(find_meanings, rest)))
    tells = not TELLING_VERBS.isdisjoint(rest) or not MEANINGS_LIKE_SURNAMES.issuperset(meanings_of_rest)
    return is_somebody and tells and ABOUT_THE_TEXTS.isdisjoint(meanings_of_rest)


def _may_be_obeyed(words: Sequence[str], meanings_by_word: Sequence[Sequence[str]]) -> bool:
    """Whether a text is more than a name or a word that the model may take for a mistyped wish: some word
    has a meaning here, or the only one can be a wish by itself. `meanings_by_word`: of the words that
    have some; there is at least one."""
    only = [word for word in words if word[0].isalnum()]
    if len(only) != 1:
        return any(not UNCLEAR_MEANINGS.issuperset(meanings) for meanings in meanings_by_word)
    [first_meaning, *_] = meanings_by_word[0]
    wishes_for_me = first_meaning in WISH_MEANINGS and find_object(only[0], first_meaning) == "ME"
    return first_meaning in ALONE_MEANINGS or wishes_for_me
