"""`make optout`: trains the weights that ship, and measures them on the texts that were written apart.

`--folds` measures on the corpus instead, each fold judged by what the others trained: whoever tunes looks
at these figures first; what folds cannot tell, the older sets apart may, as a whole (decision 32). `--check`
trains and compares, and writes nothing."""

import hashlib
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from app.domain.optout import Judgment, judge_text
from app.domain.optout.model import WEIGHTS_FILE, read_model
from tests.optout.corpus import FOLDER, FOLDS, NEWEST_SET, Example, make_sentences, read_apart, read_corpus
from tests.optout.figures import PART_TITLES, Figure, as_table, measure, pool, select_part
from tests.optout.train import train

RECORD = FOLDER / "record.json"
DOCUMENT = FOLDER.parents[1] / "docs" / "webhooks.md"
TABLE_START, TABLE_END = "<!-- figures -->\n", "<!-- end of figures -->"
TRAINED_FROM = (
    *sorted((FOLDER / "corpus").glob("*.tsv")),
    *sorted((FOLDER / "grammar").glob("*.txt")),
    FOLDER / "corpus.py",
    FOLDER / "train.py",
    *sorted(path for path in WEIGHTS_FILE.parent.iterdir() if path.suffix in (".py", ".txt")),
)


def digest(paths: Sequence[Path]) -> str:
    """Of the contents of files, and their names."""
    hashed = hashlib.sha256()
    for path in paths:
        hashed.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return hashed.hexdigest()


def measure_folds() -> list[Figure]:
    corpus, made = read_corpus(), make_sentences()
    judges = [judge_by(train([*(e for e in corpus if e.fold != fold), *made])) for fold in range(FOLDS)]
    fold_of = {example.text: example.fold for example in corpus}
    return measure(corpus, lambda text: judges[fold_of[text]](text))


def judge_by(weights: bytes) -> partial[Judgment]:
    return partial(judge_text, model=read_model(weights))


def train_all() -> bytes:
    """The weights of the corpus and the grammar. A made sentence that stands among the tests is left out."""
    tests = {example.text.lower() for texts in read_apart().values() for example in texts}
    made = [example for example in make_sentences() if example.text.lower() not in tests]
    examples: list[Example] = [*read_corpus(), *made]
    return train(examples)


def show(figures: Sequence[Figure]) -> None:
    for figure in figures:
        if figure.share.of:
            print(f"{figure.part:15} {figure.name:32} {figure.share}  of {figure.share.of}")


def _write_tables(newest: Sequence[Figure], together: Sequence[Figure]) -> None:
    """Into the document, between the two marks: by language, of the newest set and of all sets."""
    before, mark, rest = DOCUMENT.read_text(encoding="utf-8").partition(TABLE_START)
    _, end, after = rest.partition(TABLE_END)
    of_newest, of_all = (
        as_table({title: select_part(figures, part) for part, title in PART_TITLES.items()})
        for figures in (newest, together)
    )
    DOCUMENT.write_text(f"{before}{mark}\n{of_newest}\n{of_all}\n{end}{after}", encoding="utf-8")


def main() -> int:
    if "--folds" in sys.argv:
        show(measure_folds())
        return 0
    weights = train_all()
    if "--check" in sys.argv:
        return int(weights != WEIGHTS_FILE.read_bytes())
    figures_by_set = {name: measure(texts, judge_by(weights)) for name, texts in read_apart().items()}
    together = pool(figures_by_set.values())
    for title, figures in {**figures_by_set, "all sets": together}.items():
        print(f"{title}:")
        show(figures)
    WEIGHTS_FILE.write_bytes(weights)
    record = {
        "trained from": digest(TRAINED_FROM),
        "weights": digest([WEIGHTS_FILE]),
        **{name: [figure.as_json() for figure in figures] for name, figures in figures_by_set.items()},
    }
    _write_tables(figures_by_set[NEWEST_SET], together)
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
