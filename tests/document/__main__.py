"""`python -m tests.document`, part of `make check`: the described API as tools take it."""

import sys

from app import settings
from app.main import build_app
from tests.document.lint import lint, write_document
from tests.document.node import Unreachable, install_tools


def main() -> None:
    try:
        install_tools()
    except Unreachable as error:
        print(f"the OpenAPI document was not linted: {error}")
        return
    findings = lint(write_document(build_app(settings.load()).openapi()))
    for finding in findings:
        print(finding)
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
