"""`make optout`: trains the weights that ship, and measures them on the texts that were written apart.

`--folds` measures on the corpus instead, each fold judged by what the others trained: whoever tunes looks
at these figures only. `--check` trains and compares, and writes nothing."""

import hashlib
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from app.domain.optout import Judgment, judge_text
from app.domain.optout.model import WEIGHTS_FILE, read_model
from tests.optout.corpus import FOLDER, FOLDS, Example, make_sentences, read_apart, read_corpus, read_second
from tests.optout.figures import Figure, as_table, measure
from tests.optout.train import train

RECORD = FOLDER / "record.json"
DOCUMENT = FOLDER.parents[1] / "docs" / "webhooks.md"
SECOND_TITLE = f"The second set, {len(read_second())} texts:"
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
    tests = {example.text.lower() for example in (*read_apart(), *read_second())}
    made = [example for example in make_sentences() if example.text.lower() not in tests]
    examples: list[Example] = [*read_corpus(), *made]
    return train(examples)


def show(figures: Sequence[Figure]) -> None:
    for figure in figures:
        if figure.share.of:
            print(f"{figure.part:15} {figure.name:32} {figure.share}  of {figure.share.of}")


def _write_tables(figures: Sequence[Figure], second_figures: Sequence[Figure]) -> None:
    """Into the document, between the two marks."""
    before, mark, rest = DOCUMENT.read_text(encoding="utf-8").partition(TABLE_START)
    _, end, after = rest.partition(TABLE_END)
    tables = f"{as_table(figures)}\n{SECOND_TITLE}\n\n{as_table(second_figures)}"
    DOCUMENT.write_text(f"{before}{mark}\n{tables}\n{end}{after}", encoding="utf-8")


def main() -> int:
    if "--folds" in sys.argv:
        show(measure_folds())
        return 0
    weights = train_all()
    if "--check" in sys.argv:
        return int(weights != WEIGHTS_FILE.read_bytes())
    figures = measure(read_apart(), judge_by(weights))
    second_figures = measure(read_second(), judge_by(weights))
    show(figures)
    print(SECOND_TITLE)
    show(second_figures)
    WEIGHTS_FILE.write_bytes(weights)
    record = {
        "trained from": digest(TRAINED_FROM),
        "weights": digest([WEIGHTS_FILE]),
        "apart": [figure.as_json() for figure in figures],
        "second": [figure.as_json() for figure in second_figures],
    }
    _write_tables(figures, second_figures)
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
