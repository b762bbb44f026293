"""The named statements of the store. `python -m tests.sql outbox.CLAIM_TEXTS_SQL` prints the plan of one.

The plan is the generic one, which serves any parameters. With DATABASE_URL it is made for that
database, which must be migrated and stays as it is; else for an empty one that starts by itself.
"""

import asyncio
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import asyncpg

import app.store
from app import embedded
from app.operations.migrations import migrate_to_head

VERBS = r"(SELECT|INSERT|UPDATE|DELETE)\b"
USAGE = "make sql NAME=outbox.CLAIM_TEXTS_SQL"


def named_statements() -> dict[str, str]:
    """Every whole statement that a constant of app/store holds, by `module.CONSTANT`."""
    return {
        f"{module.name}.{name}": value
        for module in iter_modules(app.store.__path__)
        for name, value in vars(import_module(f"app.store.{module.name}")).items()
        if name.isupper() and isinstance(value, str) and is_whole_statement(value)
    }


def is_whole_statement(text: str) -> bool:
    """Not a fragment: no name is left to be filled in, and a statement begins after its WITH."""
    outside = re.sub(r"--.*|'[^']*'", "", text).strip()
    while "(" in outside and (shorter := re.sub(r"\([^()]*\)", "", outside)) != outside:
        outside = shorter
    begins = re.match(rf"(WITH\b.*?\b)?{VERBS}", outside, re.DOTALL)
    return bool(begins) and not re.search(r"\{\w+\}", text)


async def explain_statement(connection: asyncpg.Connection, sql: str) -> str:
    """Its generic plan. The statement does not run, so its parameters may be NULL."""
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE explained AS {sql}")
    count = max((int(number) for number in re.findall(r"\$(\d+)", sql)), default=0)
    arguments = f"({', '.join(['NULL'] * count)})" if count else ""
    lines = await connection.fetch(f"EXPLAIN EXECUTE explained{arguments}")
    await connection.execute("DEALLOCATE explained")
    return "\n".join(line[0] for line in lines)


@contextlib.contextmanager
def migrated_database() -> Iterator[str]:
    """The address of DATABASE_URL, or of a new server that ends with the block."""
    if url := os.environ.get("DATABASE_URL"):
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="leadsail-") as folder:
        Path(folder).chmod(0o755)  # the server's own account must reach its folder below
        with embedded.serve_postgres(Path(folder), durable=False) as server:
            migrate_to_head(server.url)
            yield server.url


async def print_plan(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        print(await explain_statement(connection, sql))
    finally:
        await connection.close()


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    statements = named_statements()
    if name not in statements:
        similar = [known for known in statements if name.lower() in known.lower()]
        sys.exit("\n".join([f"no statement has the name {name!r}: {USAGE}", *similar]))
    with migrated_database() as url:
        asyncio.run(print_plan(url, statements[name]))


if __name__ == "__main__":
    main()
