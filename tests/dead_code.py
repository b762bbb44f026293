"""What nothing in app/ uses: `python -m tests.dead_code`, part of `make check`.

vulture finds names that are bound and never read. What a framework or a template reaches by its name
is known here; all else stands in `KEPT` with the reason why it stays. What only tests use is dead.
"""

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from inspect import signature
from pathlib import Path

from arq.worker import Worker
from fastapi.routing import APIRoute
from pydantic import BaseModel
from typing_extensions import is_typeddict
from vulture import Vulture

from app.main import ROUTERS
from app.store.rows import hints_of
from app.store.schema import Table

APP = Path(__file__).parents[1] / "app"
KEPT = {
    "cache_ok": "SQLAlchemy reads it",
    "create_app": "`uvicorn --factory` calls it",
    "discover_master": "redis-py's pool calls it",
    "extra_groups": "an argument of Popen",
    "find_reasons": "who asks why a text was judged so calls it",
    "force_exit": "uvicorn reads it",
    "get_col_spec": "SQLAlchemy calls it",
    "globals": "Jinja reads it",
    "has_open_reports": "the fault suite waits for the receipts of the simulated carrier",
    "is_owned": "only tests ask whether a server was adopted",
    "model_parametrized_name": "pydantic calls it",
    "trace": "an argument that context managers get",
    "type_annotation_map": "SQLAlchemy reads it",
    "webhook_id": "a header of the described webhook",
    "webhook_kind": "a header of the described webhook",
    "webhook_signature": "a header of the described webhook",
    "webhook_timestamp": "a header of the described webhook",
}
"""Names that look dead, and why they are not."""


def main() -> None:
    scanner = Vulture()
    scanner.scavenge([APP])
    found = [item for item in scanner.get_unused_code() if item.typ != "import"]  # those are ruff's
    expected_names = KEPT.keys() | list_names_frameworks_read()
    dead = [item for item in found if item.name not in expected_names]
    for item in dead:
        print(item.get_report())
    needless = KEPT.keys() - {item.name for item in found}
    for name in sorted(needless):
        print(f"tests/dead_code.py: {name} is used, or gone")
    sys.exit(bool(dead or needless))


def list_names_frameworks_read() -> set[str]:
    arq_settings = set(signature(Worker).parameters)
    table_names = set(find_table_names()) | set(find_statement_columns())
    return (
        arq_settings | set(find_fields_and_routes()) | set(find_json_keys()) | table_names | set(find_template_words())
    )


def find_fields_and_routes() -> Iterator[str]:
    for model in list_subclasses(BaseModel):
        yield from model.model_fields
        decorators = model.__pydantic_decorators__
        yield from (*decorators.field_validators, *decorators.model_validators, "model_config")
    for router in ROUTERS:
        yield from (route.endpoint.__name__ for route in router.routes if isinstance(route, APIRoute))


def find_json_keys() -> Iterator[str]:
    """The keys of dictionaries that become JSON."""
    for name in [name for name in sys.modules if name.startswith("app.")]:
        for kind in filter(is_typeddict, vars(sys.modules[name]).values()):
            yield from kind.__annotations__


def find_table_names() -> Iterator[str]:
    for mapper in Table.registry.mappers:
        yield mapper.class_.__name__
        yield from mapper.columns.keys()


def find_statement_columns() -> Iterator[str]:
    """The fields of dataclasses whose rows a statement takes."""
    for file in (APP / "store").glob("*.py"):
        module = import_module(f"app.store.{file.stem}")
        for name in re.findall(r"{unnest_sql\((\w+)", file.read_text()):
            yield from hints_of(getattr(module, name))


def find_template_words() -> Iterator[str]:
    for template in (APP / "web" / "templates").rglob("*.html"):
        yield from re.findall(r"\.(\w+)", template.read_text())


def list_subclasses(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for below in kind.__subclasses__():
        yield below
        yield from list_subclasses(below)


if __name__ == "__main__":
    main()
