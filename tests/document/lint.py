"""The document as redocly and spectral judge it, by the rules that each recommends. A warning counts
as an error: generators stumble over them."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.document.node import FOLDER, run_tool

OUTPUT = FOLDER.parent / "output"
EXCEPTED = ("no-ambiguous-paths", "/api/v1/interactions/lead/{leadId}")
"""The documented path of another product, kept to the letter: an interaction may be named `lead`, too."""


@dataclass(frozen=True, slots=True)
class Finding:
    rule: str
    place: str
    words: str

    def __str__(self) -> str:
        return f"{self.rule} at {self.place}: {self.words}"


def write_document(document: dict[str, Any], file: Path = OUTPUT / "openapi.json") -> Path:
    OUTPUT.mkdir(exist_ok=True)
    file.write_text(json.dumps(document, indent=1))
    return file


def lint(file: Path) -> list[Finding]:
    """Returns what the two find in the document, errors and warnings alike."""
    with ThreadPoolExecutor() as pool:
        findings = pool.map(lambda ask: ask(file), (_ask_redocly, _ask_spectral))
        return [finding for found in findings for finding in found]


def _ask_redocly(file: Path) -> list[Finding]:
    done = run_tool("redocly", "lint", "--config", "redocly.yaml", "--format", "json", "--max-problems", "999", file)
    try:
        problems = json.loads(done.stdout)["problems"]
    except ValueError:
        raise RuntimeError(f"redocly failed: {done.stdout}{done.stderr}") from None
    return [
        Finding(problem["ruleId"], problem["location"][0].get("pointer", ""), problem["message"])
        for problem in problems
        if not (problem["ruleId"] == EXCEPTED[0] and EXCEPTED[1] in problem["message"])
    ]


def _ask_spectral(file: Path) -> list[Finding]:
    done = run_tool("spectral", "lint", "--ruleset", ".spectral.yaml", "--format", "json", "--quiet", file)
    try:
        results = json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"spectral failed: {done.stdout}{done.stderr}") from None
    return [Finding(result["code"], "/".join(map(str, result["path"])), result["message"]) for result in results]
