"""The distances of the pages stand on a grid of 4 pixels, whose steps page.css states once."""

import re

import pytest

from app.web.page.static_files import STATIC_FOLDER

STYLES = sorted(STATIC_FOLDER.glob("*.css"))
STEP = re.compile(r"--space-(\d+): ([\d.]+)rem;")
DISTANCE = re.compile(
    r"(?<![\w-])(?:(?:margin|padding|inset|scroll-margin)(?:-[a-z-]+)?|(?:row-|column-)?gap): ([^;}]+)"
)
ALLOWED = re.compile(r"0|auto|[12]px|-?[\d.]+(?:%|vh)|var\(--space-(\d+)\)")
"""A hairline of one or two pixels, a share of the box or the window, or a step."""
PAPER = re.compile(r"@page \{[^}]*\}")


def read_style(path: str) -> str:
    return PAPER.sub("", (STATIC_FOLDER / path).read_text())


def list_parts(value: str) -> list[str]:
    """The lengths of a value; a calculation is the lengths that it adds."""
    return re.sub(
        r"calc\((?:-1 \* )?((?:[^()]|\([^()]*\))*)\)", lambda calc: re.sub(" [+-] ", " ", calc[1]), value
    ).split()


def test_steps_are_multiples_of_four_pixels() -> None:
    steps = STEP.findall(read_style("page.css"))
    assert len(steps) > 5
    assert {name: float(rem) * 4 for name, rem in steps} == {name: int(name) for name, _ in steps}


@pytest.mark.parametrize("name", [path.name for path in STYLES])
def test_distances_are_steps(name: str) -> None:
    steps = {step for step, _ in STEP.findall(read_style("page.css"))}
    values = DISTANCE.findall(read_style(name))
    assert values, "the style has no distances"
    parts = [(value, ALLOWED.fullmatch(part)) for value in values for part in list_parts(value)]
    assert [value for value, match in parts if not match or (match[1] and match[1] not in steps)] == []
