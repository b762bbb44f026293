"""The README names tests, variables and statements; they are there."""

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from app import store
from app.settings import Settings
from app.store.schema import Table

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


PARTS = {
    "agent_of.AGENT_OF", "suppressions.ASKED", "suppressions.RECOGNISE", "outbox.BY_KEY",
    "receipts.BY_KEY", "turns.WITHDRAW",
}  # fmt: skip
"""What looks like a statement, and runs as a part of others only."""
STATEMENT = re.compile(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE|\()")
OF_A_TABLE = re.compile(rf"\b(FROM|JOIN|INTO|UPDATE) ({'|'.join(Table.metadata.tables)})\b")
ONE_TENANT = re.compile(r"tenant_id = \$1|\(tenant_id,[^)]*\)\s+(VALUES \(|SELECT )\$1")


def statements() -> dict[str, str]:
    """Every statement of the store that has a name, as `file.NAME`."""
    found: dict[str, str] = {}
    for file in iter_modules(store.__path__):
        for name, value in vars(import_module(f"app.store.{file.name}")).items():
            if not name.isupper() or f"{file.name}.{name}" in PARTS:
                continue
            if isinstance(value, str) and STATEMENT.match(value) and OF_A_TABLE.search(value):
                found[f"{file.name}.{name}"] = value
    return found


def test_every_statement_that_would_cross_shards_is_listed() -> None:
    rows = README.split("| statements | why they cross |")[1].split("\n\n")[0].splitlines()
    file, named = "", set()
    for given, name in re.findall(
        r"`(\w+)?\.([A-Z_]+)`", " ".join(row.split("|")[1] for row in rows[2:])
    ):
        file = given or file
        named.add(f"{file}.{name}")
    known = statements()
    assert len(known) > 200
    assert {name for name, sql in known.items() if not ONE_TENANT.search(sql)} <= named
    assert {name for name in named if name not in known} == {
        # of no table, or made where they run
        "sending.ALIVE", "suppressions.LOCK_PHONES", "parts.LOCK",
    }  # fmt: skip
