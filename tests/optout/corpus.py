"""The labelled texts. `corpus/*.tsv` trains the model and tunes it; `grammar/*.txt` adds sentences made of
their parts. The sets of `apart/` do not train it, one folder each: each was written before anybody saw a
judgment of it, and no text stands on two sides. (The first eight sets, the tenth, the twelfth, the fourteenth and
the fifteenth train since they had been measured for long, or read.) LABELS.md says what each label means.

A family is a text with its paraphrases, its dresses and its look-alikes of another label. It is never
split."""

import csv
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from zlib import crc32

FOLDER = Path(__file__).parent
LANGUAGES = ("en", "es", "fr", "pt")
SETS_APART = tuple(sorted(folder.name for folder in (FOLDER / "apart").iterdir()))
NEWEST_SET = "eighteenth"
"""It was measured once, when the weights were settled."""
FOLDS = 5
SENTENCES_PER_RULE = 30
PART_PATTERN = re.compile(r"\{(\w+)\}|\(([^()]*)\)")


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled text. `is_made`: of the grammar."""

    family: str
    label: str
    language: str
    kind: str
    text: str
    is_made: bool = False

    @property
    def fold(self) -> int:
        return crc32(self.family.encode()) % FOLDS


@cache
def read_corpus() -> Sequence[Example]:
    """The texts to train and tune with."""
    return tuple(_read_examples(FOLDER / "corpus"))


def read_apart() -> dict[str, list[Example]]:
    """The sets of texts to test with, by their name: they train and tune nothing, and nobody looks at the judgments
    of single ones."""
    return {name: list(_read_examples(FOLDER / "apart" / name)) for name in SETS_APART}


def _read_examples(folder: Path) -> Iterator[Example]:
    for language in LANGUAGES:
        for row in _read_table(folder / f"{language}.tsv"):
            text = row["text"].replace("\\n", "\n")
            yield Example(row["family"], row["label"], row["language"], row["kind"], text)


def _read_table(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as opened:
        yield from csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE)


def make_sentences() -> list[Example]:
    """The sentences of the grammar, the same ones each time."""
    made: dict[str, Example] = {}
    for language in LANGUAGES:
        parts: dict[str, str] = {}
        lines = (FOLDER / "grammar" / f"{language}.txt").read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if line.startswith("$"):
                name, _, choices = line[1:].partition(" = ")
                parts[name] = choices
            elif line and not line.startswith("#"):
                for example in _make_from_rule(f"rule-{language}-{number}", line, parts):
                    made.setdefault(example.text.lower(), example)
    return list(made.values())


def _make_from_rule(family: str, line: str, parts: dict[str, str]) -> Iterator[Example]:
    head, _, pattern = line.partition(": ")
    label, language, kind = head.split()
    chance = random.Random(crc32(line.encode()))
    for _ in range(SENTENCES_PER_RULE):
        text = re.sub(" {2,}", " ", _fill(pattern, parts, chance)).strip().replace("\\n", "\n")
        if text:
            yield Example(family, label, language, kind, text, is_made=True)


def _fill(pattern: str, parts: dict[str, str], chance: random.Random) -> str:
    """The pattern with one choice for each of its parts."""
    while found := PART_PATTERN.search(pattern):
        choices = (parts[found[1]] if found[1] else found[2]).split("|")
        choice = choices[int(chance.random() * len(choices))]
        pattern = f"{pattern[: found.start()]}{choice}{pattern[found.end() :]}"
    return pattern
