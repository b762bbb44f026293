"""The texts of which people decided whether they are opt-outs."""

import argparse

from app.cli.results import require_tenant, with_database
from app.settings import Settings
from app.store.engine import Database
from app.store.opt_out_decisions import list_examples

LABELS = {True: "stop", False: "none"}


def export_examples(configuration: Settings, options: argparse.Namespace) -> int:
    async def print_examples(database: Database) -> None:
        await require_tenant(database, options.tenant)
        print("label\ttext")
        async for example in list_examples(database, options.tenant):
            print(f"{LABELS[example.opt_out]}\t{_escape(example.text)}")

    with_database(configuration, print_examples)
    return 0


def _escape(text: str) -> str:
    """The text in one line: line breaks as `\\n`, tabs as blanks."""
    return "\\n".join(text.replace("\t", " ").splitlines())
