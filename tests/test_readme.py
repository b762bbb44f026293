"""The README names tests and variables; they are there."""

import re
from pathlib import Path

from app.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_each_promise_stands_beside_a_test_that_exists() -> None:
    promised = README.split("## Promises")[1].split("\n## ")[0]
    file, seen = Path(), 0
    for path, name in re.findall(r"`(tests/[\w/]+\.py)?::(\w+)`", promised):
        file = ROOT / path if path else file
        assert re.search(rf"^(async )?def {name}\(", file.read_text(), re.M), (file.name, name)
        seen += 1
    assert seen > 20


def test_every_variable_is_told() -> None:
    told = README.split("## Configuration")[1].split("\n### ")[0]
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", told))
    assert {name.upper() for name in Settings.model_fields} == named - {"INFO"}


def test_every_command_of_make_is_told() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, re.M)) - {"help", "clean"}
    assert targets <= set(re.findall(r"make ([a-z-]+)", README))
