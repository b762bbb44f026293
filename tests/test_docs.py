"""What the documents name is there: tests, commands, variables, metrics, codes, examples."""

import contextlib
import io
import re
from functools import cache
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from app import cli, main, worker
from app.domain import problems
from app.domain.law.rules import RULES
from app.settings import Settings
from tests.security.walk import DOCUMENT

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text() for path in DOCS.rglob("*.md")}
ALL = "\n".join([README, *PAGES.values()])
MAX_README_BYTES = 8 * 1024
PROCESSES = (main, worker)
"""Importing them registers what they measure."""


def test_the_readme_is_read_in_one_go() -> None:
    assert len(README.encode()) <= MAX_README_BYTES


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_each_link_of_the_files_beside_the_code_leads_to_a_file(name: str) -> None:
    for link in re.findall(r"\]\((?!https:)([^)]+)\)", (ROOT / name).read_text()):
        path, _, anchor = link.partition("#")
        target = ROOT / path
        assert target.is_file(), link
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.M)
        assert not anchor or anchor in [re.sub(r"[^\w-]", "", h.lower().replace(" ", "-"))
                                        for h in headings], link  # fmt: skip


def test_each_promise_stands_beside_a_test_that_exists() -> None:
    file, seen = Path(), 0
    for path, name in re.findall(r"`(tests/[\w/]+\.py)?::(\w+)`", PAGES["promises.md"]):
        file = ROOT / path if path else file
        assert re.search(rf"^(async )?def {name}\(", file.read_text(), re.M), (file.name, name)
        seen += 1
    assert seen > 20


def test_each_file_that_is_named_exists() -> None:
    named = set(re.findall(r"[\s`]((?:app|tests|docs|migrations)/[\w./-]*[\w/])", ALL))
    named.remove("tests/output/")  # the browser tests make it
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_rule_of_the_law_is_told_with_its_source() -> None:
    rows = [
        f"| `{rule.id}` | {rule.words} | {rule.citation} | {rule.starts} | {rule.checked or 'not yet'} |"
        for rule in RULES
    ]
    assert [row for row in rows if row not in PAGES["law.md"]] == []


def test_every_variable_is_told() -> None:
    table = PAGES["operating.md"].split("## Configuration")[1].split("\n## ")[0]
    first = "\n".join(row.split("|")[1] for row in table.splitlines() if row.startswith("|"))
    named = set(re.findall(r"`([A-Z_]+)`", first))
    assert {name.upper() for name in Settings.model_fields} == named


def test_every_command_of_make_is_told_and_none_that_is_not_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, re.M))
    told = set(re.findall(r"^(?:\w+=\w+ )?make ([a-z-]+)", ALL, re.M))
    told |= set(re.findall(r"`(?:\w+=\w+ )?make ([a-z-]+)", ALL))
    assert told <= targets
    assert targets - {"help", "clean"} <= set(re.findall(r"make ([a-z-]+)", PAGES["contributing.md"]))


@cache
def commands() -> dict[str, str]:
    """Every command by its words, with its `--help`."""
    found: dict[str, str] = {}
    for name in re.findall(r"^    (\w+)", shown_help(), re.M):
        helped = shown_help(name)
        verbs = re.findall(r"^    (\w+)", helped, re.M) if "VERB" in helped else []
        found |= {f"{name} {verb}": shown_help(name, verb) for verb in verbs} or {name: helped}
    return found


def shown_help(*words: str) -> str:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        cli.run_command([*words, "--help"])
    return shown.getvalue()


def test_every_command_is_told_with_options_that_it_has() -> None:
    known = commands()
    table = PAGES["operating.md"].split("| command | does |")[1].split("\n\n")[0]
    told: dict[str, set[str]] = {}
    for row in table.splitlines()[2:]:
        cell, about = row.split("|")[1:3]
        for written in re.findall(r"`([^`]+)`", cell):
            name = " ".join(re.findall(r"[a-z]+(?= |$)", written.split(" --")[0])[:2])
            options = set(re.findall(r"--[a-z-]+", f"{written} {about}"))
            told[name] = {option for option in options if "worker" not in about or name == "worker"}
    assert told.keys() == known.keys()
    for name, options in told.items():
        assert options <= set(re.findall(r"--[a-z-]+", known[name])), name


def test_every_pasted_command_is_one_that_is_there() -> None:
    known = commands()
    for written in re.findall(r"(?:python -m app|leadsail-sms) ([a-z][^`\n#]*)", ALL):
        words = re.findall(r"^[a-z]+(?: [a-z]+)?", written)[0]
        name = words if words in known else words.split()[0]
        assert name in known, written
        assert set(re.findall(r"--[a-z-]+", written)) <= set(re.findall(r"--[a-z-]+", known[name])), written


def test_every_metric_is_told() -> None:
    named = set(re.findall(r"`(leadsail_\w+)`", PAGES["operating.md"]))
    measured = {each.name for each in REGISTRY.collect() if each.name.startswith("leadsail_")}
    source = (ROOT / "app" / "web" / "metrics.py").read_text()
    owed = {f"leadsail_{name}" for name in re.findall(r'gauge\(\s*"(\w+)"', source)}
    assert measured
    assert owed
    assert named == measured | owed


def test_every_route_that_is_named_exists() -> None:
    known = {
        f"{method.upper()} {re.sub('{[^}]*}', '{}', path)}"
        for path, methods in DOCUMENT["paths"].items()
        for method in methods
    }
    named = re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /api/v1/[^`?]*)`", ALL)
    assert len(named) > 20
    assert [route for route in named if re.sub("{[^}]*}", "{}", route) not in known] == []


def test_every_code_is_told_with_its_status() -> None:
    def family(of: type[problems.Problem]) -> set[tuple[str, int]]:
        own = {(of.code, of.status)} if "code" in vars(of) else set()
        return own.union(*(family(each) for each in of.__subclasses__()))

    table = PAGES["sending.md"].split("| status | code | means |")[1].split("\n\n")[0]
    told = {
        (code, int(row.split("|")[1]))
        for row in table.splitlines()[2:]
        for code in re.findall(r"`([A-Z_]+)`", row.split("|")[2])
    }
    assert told == {each for each in family(problems.Problem) if each[0]}


@pytest.mark.parametrize(("name", "language"), [("agent.py", "python"), ("agent.ts", "ts")])
def test_an_example_stands_in_the_page_as_it_is(name: str, language: str) -> None:
    example = (DOCS / "examples" / name).read_text()
    assert f"```{language}\n{example}```" in PAGES["agents.md"]
