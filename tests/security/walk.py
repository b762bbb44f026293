"""Every operation of the API's own description, ready to be asked. What is walked is what is
served: a new route is in these tests before anybody thinks of them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from app import settings
from app.main import build_app
from app.web.examples import EXAMPLE_BODIES
from app.web.openapi import list_operations
from tests.makers import Data, Tenant

APP = build_app(settings.load())
DOCUMENT: Data = APP.openapi()
"""Built once for all tests: it takes seconds."""
SHORT = {"params": {"wait": "0"}}
"""The feed is asked not to wait."""


@dataclass(frozen=True, slots=True)
class Operation:
    name: str
    path: str
    """With its placeholders, under /api/v1."""
    method: str
    body: Data | None

    @property
    def needs(self) -> tuple[str, ...]:
        """The names in the path."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    async def ask(self, asker: Tenant, ids: Mapping[str, str], body: Any = None) -> httpx.Response:
        """The answer to the example's body, or to another one."""
        more: dict[str, Any] = SHORT if self.name == "listEvents" else {}
        given = self.body if body is None else body
        return await asker.ask(self.method.upper(), self.path.format_map(ids), given, **more)


def _all() -> Iterator[Operation]:
    for path, method, operation in list_operations(DOCUMENT["paths"]):
        if path.startswith("/api/v1"):
            name = operation["operationId"]
            yield Operation(name, path.removeprefix("/api/v1"), method, EXAMPLE_BODIES.get(name))


OPERATIONS = list(_all())
BY_NAME = {operation.name: operation for operation in OPERATIONS}
PARAMETERS = {name for operation in OPERATIONS for name in operation.needs}


def nobodys() -> dict[str, str]:
    """An id of every kind that names nothing."""
    return {name: "+12125550199" if name == "phone" else "nobody" for name in PARAMETERS}
