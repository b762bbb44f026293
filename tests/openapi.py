"""The OpenAPI document without its prose, one line per operation and schema: `tests/web/openapi.jsonl`.
A change of the API shows in it as a change of a line. `make openapi` writes the file anew."""

import json
from pathlib import Path
from typing import Any

from tests.security.walk import DOCUMENT

SNAPSHOT = Path(__file__).parent / "web" / "openapi.jsonl"
PROSE = {"description", "summary"}


def build_lines() -> list[str]:
    """The document as lines `["paths", "/api/v1/leads", "get", {…}]`, in its own order."""
    document = _drop_prose(DOCUMENT)
    operations = [
        ["paths", path, method, body] for path, item in document["paths"].items() for method, body in item.items()
    ]
    components = [
        ["components", kind, name, body] for kind, part in document["components"].items() for name, body in part.items()
    ]
    return [json.dumps(line) for line in [["info", document["info"]], *operations, *components]]


def _drop_prose(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: part for key, part in value.items() if not (key in PROSE and isinstance(part, str))}
        return {key: _drop_prose(part) for key, part in kept.items()}
    return [_drop_prose(part) for part in value] if isinstance(value, list) else value


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(build_lines()) + "\n")
