"""Measures of the house: `python -m tests.house` prints each with its limit, and fails beyond one.

They are about how the code reads, and the limits are goals: `make check` does not ask for them.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grimp

APP = Path(__file__).parents[1] / "app"
MAX_FILE_LINES = 300
IRREGULAR_PARTICIPLES = (
    "said sat held kept told heard made given taken known seen found sent written done gone begun left met lost "
    "built brought meant shown drawn chosen spoken thrown hidden woken caught bound spent sold put led paid laid"
)
PRONOUNS = "who whom what it they them mine ours one some whose which these those others this each that such other rest"
NOUNS = (
    "speed string setting warning padding encoding mapping heading rating listing building missing nothing "
    "something anything everything sibling limited pending thing finding meaning opening reading"
)
"""They end like participles."""
ROW_NAME = re.compile(r"(\b|_)(row|rows\[.*\]|turn|lead|message|thread|person|tenant|text|agent)$")


@dataclass(frozen=True, slots=True)
class Measure:
    name: str
    count: int
    limit: float
    total: int | None = None
    """What the count is a share of; the limit is then a share too."""

    @property
    def is_good(self) -> bool:
        return (self.count / self.total if self.total else self.count) <= self.limit

    def __str__(self) -> str:
        share = f" of {self.total} = {self.count / self.total:.1%}" if self.total else ""
        limit = f"{self.limit:.1%}" if self.total else f"{self.limit:g}"
        return f"{'ok ' if self.is_good else 'BAD'}  {self.name}: {self.count}{share} (at most {limit})"


def main() -> None:
    measures = list(measure_house())
    print(*measures, sep="\n")
    sys.exit(not all(measure.is_good for measure in measures))


def measure_house() -> Iterator[Measure]:
    sources = {path: path.read_text() for path in sorted(APP.rglob("*.py"))}
    trees = {path: ast.parse(source) for path, source in sources.items()}
    functions = [name for tree in trees.values() for name in list_functions(tree)]
    bound_names = [name for tree in trees.values() for name in list_bound_names(tree)]
    one_word = sum("_" not in name.strip("_") for name in functions)
    yield Measure("one-word function names", one_word, 0.45, len(functions))
    bare = sum(is_bare_word(name) for name in bound_names)
    yield Measure("bare participles and pronouns as names", bare, 0.01, len(bound_names))
    outside = [tree for path, tree in trees.items() if not path.is_relative_to(APP / "store")]
    subscripts = sum(count_row_subscripts(tree) for tree in outside)
    yield Measure("string subscripts of rows outside the store", subscripts, 0)
    skips = sum(source.count("# fmt: skip") for source in sources.values())
    yield Measure("lines that the formatter may not touch", skips, 20)
    long_files = sum(len(source.splitlines()) > MAX_FILE_LINES for source in sources.values())
    yield Measure(f"files of more than {MAX_FILE_LINES} lines", long_files, 10)
    yield Measure("modules in import circles", len(find_modules_in_circles()), 0)


def list_functions(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("__"):
            yield node.name


def list_bound_names(tree: ast.AST) -> Iterator[str]:
    """Functions, classes, parameters and variables."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg) and node.arg not in ("self", "cls"):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def is_bare_word(name: str) -> bool:
    word = name.strip("_").lower()
    if "_" in word or word in NOUNS.split():
        return False
    return word in f"{IRREGULAR_PARTICIPLES} {PRONOUNS}".split() or bool(re.fullmatch(r"\w{3,}(ed|ing)", word))


def count_row_subscripts(tree: ast.AST) -> int:
    """`row["text"]`, for any name that a row goes by."""
    return sum(
        isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
        and bool(ROW_NAME.search(ast.unparse(node.value)))
        for node in ast.walk(tree)
    )


def find_modules_in_circles() -> set[str]:
    """Modules that import themselves by way of others; imports within functions count too."""
    graph = grimp.build_graph("app", exclude_type_checking_imports=True)
    above = {module: graph.find_upstream_modules(module) for module in graph.modules}
    return {module for module in graph.modules if any(module in above[other] for other in above[module])}


if __name__ == "__main__":
    main()
