"""What the pages call: commands, calls, and functions that the API's routes call too."""

import ast
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from tests.security.walk import APP

PAGE_ROOM = "app.web.page"


def list_endpoints(routes: Any) -> Iterator[Any]:
    for route in routes:
        yield from list_endpoints(getattr(route, "routes", None) or [])
        if router := getattr(route, "original_router", None):
            yield from list_endpoints(router.routes)
        if endpoint := getattr(route, "endpoint", None):
            yield endpoint


def list_used_objects(module: ModuleType) -> Iterator[Any]:
    """The objects that a module's code names, by `name` or by `module.name`."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                yield getattr(getattr(module, owner, None), name, None)
            case ast.Name(id=name):
                yield getattr(module, name, None)


def test_no_page_calls_a_route_function_of_the_api() -> None:
    api_endpoints = {
        endpoint for endpoint in list_endpoints(APP.routes) if not endpoint.__module__.startswith(PAGE_ROOM)
    }
    assert len(api_endpoints) > 60
    pages = [module for name, module in sys.modules.items() if name.startswith(PAGE_ROOM)]
    assert len(pages) > 10
    called = {
        f"{page.__name__}: {used.__name__}"
        for page in pages
        for used in list_used_objects(page)
        if inspect.isfunction(used) and used in api_endpoints
    }
    assert called == set()
