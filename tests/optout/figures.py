"""Precision and recall of the judge over labelled texts, with 95 % intervals (Wilson)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from math import sqrt

from app.domain.optout import Judgment
from tests.optout.corpus import LANGUAGES, Example

CONTROL_WORDS = ("stop", "start", "help")
Z = 1.959964
"""Of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        return self.hits / self.of if self.of else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        if not self.of:
            return 0.0, 1.0
        middle, spread = (
            self.value + Z * Z / (2 * self.of),
            Z * sqrt(self.value * (1 - self.value) / self.of + Z * Z / (4 * self.of * self.of)),
        )
        return max(0.0, (middle - spread) / (1 + Z * Z / self.of)), min(1.0, (middle + spread) / (1 + Z * Z / self.of))

    def as_percent(self) -> str:
        low, high = self.interval
        return f"{self.value:.1%} ({low:.1%} to {high:.1%})".replace("%", " %")

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.3f} ({low:.3f} to {high:.3f})"


@dataclass(frozen=True, slots=True)
class Figure:
    """A share of the texts of a language (all of them: `all`), or of a kind of text."""

    name: str
    part: str
    share: Share

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def label_of(judgment: Judgment) -> str:
    return judgment.word or ("possible" if judgment.is_possible else "none")


def measure(examples: Sequence[Example], judge: Callable[[str], Judgment]) -> list[Figure]:
    judged = {example.text: label_of(judge(example.text)) for example in examples}
    figures = list(_measure_part("all", examples, judged))
    for language in LANGUAGES:
        figures += _measure_part(language, [e for e in examples if e.language == language], judged)
    for kind in sorted({example.kind for example in examples}):
        among = [e for e in examples if e.kind == kind]
        figures.append(Figure("stop recall", kind, _share_of("stop", "stop", among, judged)))
        figures.append(Figure("not stop, and not taken for it", kind, _share_not_taken(among, judged)))
    return figures


def _measure_part(part: str, among: Sequence[Example], judged: Mapping[str, str]) -> Iterator[Figure]:
    for word in CONTROL_WORDS:
        said = [e for e in among if judged[e.text] == word]
        yield Figure(f"{word} precision", part, Share(sum(e.label == word for e in said), len(said)))
        yield Figure(f"{word} recall", part, _share_of(word, word, among, judged))
    yield Figure("none flagged possible", part, _share_of("none", "possible", among, judged))
    for word in ("stop", "help"):
        yield Figure(f"none taken for {word}", part, _share_of("none", word, among, judged))
    yield Figure("possible flagged or obeyed", part, _share_seen(among, judged))


def _share_of(label: str, said: str, among: Sequence[Example], judged: Mapping[str, str]) -> Share:
    """The share of the texts with a label that were judged so."""
    labelled = [e for e in among if e.label == label]
    return Share(sum(judged[e.text] == said for e in labelled), len(labelled))


def _share_not_taken(among: Sequence[Example], judged: Mapping[str, str]) -> Share:
    others = [e for e in among if e.label != "stop"]
    return Share(sum(judged[e.text] != "stop" for e in others), len(others))


def _share_seen(among: Sequence[Example], judged: Mapping[str, str]) -> Share:
    unclear = [e for e in among if e.label == "possible"]
    return Share(sum(judged[e.text] in ("possible", "stop") for e in unclear), len(unclear))


ROWS = (
    *((f"{word} {what}", f"`{word}`: {what}") for word in CONTROL_WORDS for what in ("precision", "recall")),
    ("none flagged possible", "conversation, marked as possible"),
    *((f"none taken for {word}", f"conversation, taken for `{word}`") for word in ("stop", "help")),
    ("possible flagged or obeyed", "possible, marked or obeyed"),
)
PART_TITLES = {"all": "all", "en": "English", "es": "Spanish", "fr": "French", "pt": "Portuguese"}


def pool(several: Iterable[Sequence[Figure]]) -> list[Figure]:
    """The figures of several sets of texts, taken together."""
    shares: dict[tuple[str, str], Share] = {}
    for figure in chain.from_iterable(several):
        before = shares.get((figure.name, figure.part), Share(0, 0))
        shares[figure.name, figure.part] = Share(before.hits + figure.share.hits, before.of + figure.share.of)
    return [Figure(name, part, share) for (name, part), share in shares.items()]


def select_part(figures: Sequence[Figure], part: str) -> dict[str, Share]:
    """The shares of a language or of a kind, by their name."""
    return {figure.name: figure.share for figure in figures if figure.part == part}


def as_table(columns: Mapping[str, Mapping[str, Share]]) -> str:
    """Shares by their name, in columns with titles, as a table of a document."""
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    lines += [[title, *(shares[name].as_percent() for shares in columns.values())] for name, title in ROWS]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
