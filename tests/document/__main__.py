"""`python -m tests.document`, part of `make check`: the described API as tools take it."""

import sys

from tests.document.lint import lint, write_document
from tests.document.node import Unreachable, install_tools
from tests.security.walk import DOCUMENT


def main() -> None:
    try:
        install_tools()
    except Unreachable as error:
        print(f"the OpenAPI document was not linted: {error}")
        return
    findings = lint(write_document(DOCUMENT))
    for finding in findings:
        print(finding)
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
