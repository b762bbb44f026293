"""`python -m tests.bench.results`: writes what was measured last into the table of today in RESULTS.md."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.bench import big
from tests.bench.__main__ import BENCHMARKS, OUTPUT
from tests.bench.figures import Figure

RESULTS = Path(__file__).with_name("RESULTS.md")
BEGIN, END = "<!-- measured -->", "<!-- end of what was measured -->"
HEAD = "| figure | ours | beside | ratio, or ms | goal | |\n|---|---|---|---|---|---|"
TOLD_TOGETHER = ("list", "search", "gate", "row-level security", "judging", "turns", "memory", "page")
"""Of these many rows, those that meet their goals are told in one."""
P50_AND_P95 = re.compile(r"p50 ([\d.]+), p95 ([\d.]+)")


ROWS_BY_PART = {
    "gates": ("gate", "row-level security"),
    "peers": ("send beside", "Kannel", "Jasmin"),
    "lists": ("list", "search: phone", "search: end"),
    "names": ("search: name", "name:"),
    "words": ("search: text", "text:"),
    "texts": ("transcript",),
    "pages": ("page:",),
    "inserts": ("set-based",),
}
"""How the rows begin that stay as they are when their benchmark was not run: `make bench` leaves them out."""


def main() -> None:
    parts = read_parts()
    before, found_begin, rest = RESULTS.read_text().partition(BEGIN)
    old_table, found_end, after = rest.partition(END)
    assert found_begin
    assert found_end
    missing = [part for part in (*BENCHMARKS, *big.PARTS) if part not in parts]
    begins = tuple(begin for part in missing for begin in ROWS_BY_PART.get(part, ()))
    old_rows = [line for line in old_table.splitlines() if line.removeprefix("| ").startswith(begins)]
    figures = [Figure(**row) for part in parts.values() for row in part["figures"]]
    notes = [*describe_runs(parts), f"Rows of an earlier run: {', '.join(missing)}." if old_rows else ""]
    table = "\n".join([*notes, "", HEAD, *list_rows(figures), *old_rows])
    RESULTS.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")
    print(f"not measured: {', '.join(missing) or 'nothing'}; {len(old_rows)} rows of an earlier run stay")


def read_parts() -> dict[str, Any]:
    """What was measured, by benchmark: machine, commit and figures."""
    parts: dict[str, Any] = {}
    for output in (OUTPUT, big.OUTPUT):
        parts |= json.loads(output.read_text()) if output.exists() else {}
    for part in parts.values():
        for row in part["figures"]:
            del row["verdict"]
    return parts


def describe_runs(parts: dict[str, Any]) -> Iterator[str]:
    """For each commit: what was measured, when, and what others took of the machine meanwhile."""
    for commit, runs in groupby(parts.items(), key=lambda item: item[1]["machine"]["commit"]):
        named = dict(runs)
        machines = [part["machine"] for part in named.values()]
        times = sorted(part["at"][:16].replace("T", " ") for part in named.values())
        others = max(machine["others_percent"] for machine in machines)
        stolen = max(machine["stolen_percent"] for machine in machines)
        yield (
            f"{', '.join(named)}: commit {commit}, {times[0]} to {times[-1][11:]} UTC; others took up to {others:g} %, "
            f"the machine's host {stolen:g} % of the processors.  "
        )


def list_rows(figures: Sequence[Figure]) -> Iterator[str]:
    """A row for each value of ours, with all it is compared with."""
    for topic, of_topic in groupby(figures, key=find_topic):
        members = list(of_topic)
        if topic in TOLD_TOGETHER:
            good = [figure for figure in members if figure.verdict != "NOT MET"]
            members = [figure for figure in members if figure not in good]
            if good:
                yield tell_together(topic, good)
        for _, same in groupby(members, key=lambda figure: figure.value):
            yield tell_one(list(same))


def find_topic(figure: Figure) -> str:
    return next((topic for topic in TOLD_TOGETHER if figure.name.startswith(topic)), figure.name.partition(":")[0])


def tell_one(figures: Sequence[Figure]) -> str:
    """One value of ours, beside one limit or several."""
    cells = [
        figures[0].name,
        figures[0].value,
        join_unlike(figure.limit for figure in figures),
        join_all(figure.shown_ratio for figure in figures),
        join_all(figure.shown_goal for figure in figures),
        join_all(figure.verdict.lower() for figure in figures),
    ]
    return f"| {' | '.join(cells)} |"


def tell_together(topic: str, figures: Sequence[Figure]) -> str:
    first_by_value = {figure.value: figure for figure in reversed(figures)}
    values = [
        f"{figure.name.removeprefix(topic).lstrip(':, ')} {shorten_value(figure)}"
        for figure in figures
        if first_by_value[figure.value] is figure
    ]
    ratios = sorted(figure.ratio for figure in figures if figure.ratio is not None)
    cells = [
        topic,
        "; ".join(values),
        join_unlike(figure.limit.partition(": ")[0] for figure in figures),
        f"{ratios[0]:.3g} to {ratios[-1]:.3g}" if ratios else "",
        join_unlike(figure.shown_goal for figure in figures),
        join_unlike(figure.verdict.lower() for figure in figures),
    ]
    return f"| {' | '.join(cells)} |"


def shorten_value(figure: Figure) -> str:
    """p50 / p95 in milliseconds, or the ratio."""
    times = P50_AND_P95.search(figure.value)
    return f"{times[1]} / {times[2]}" if times else figure.shown_ratio


def join_unlike(values: Iterator[str]) -> str:
    return "; ".join(filter(None, dict.fromkeys(values)))


def join_all(values: Iterator[str]) -> str:
    """Each value in its place, unless there is none."""
    listed = list(values)
    return "; ".join(value or "–" for value in listed) if any(listed) else ""


if __name__ == "__main__":
    main()
