"""The servers of the run, and which tests need them.

DATABASE_URL and REDIS_URL name the servers (the role needs CREATEDB). Without them embedded ones
start; under xdist the controller starts them, because it lives longer than its workers.
"""

import asyncio
import gc
import inspect
import os
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests import forks

PURE_ROOMS = ("domain", "providers", "agents", "wire")
"""Their tests need no server and no fixture of ours. Alone, they do not wait for the whole
service to be imported."""
TEST_SECONDS = 240.0
"""Less than `--timeout` in the Makefile, which leaves behind what it interrupts."""
_servers = pytest.StashKey[tuple[str, str]]()
_stack = pytest.StashKey[ExitStack]()
gc.disable()  # What is imported and collected stays. To search it for garbage takes a fifth of the time.


def pytest_configure(config: pytest.Config) -> None:
    if not is_pure(config):
        config.pluginmanager.register(import_module("tests.service"), "service")
    if address := getattr(config, "workerinput", {}).get("forks"):
        forks.use_address(address)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test that waits for ever fails where it waits, and what it began ends as after any other."""
    is_long = item.get_closest_marker("long") is not None
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj) and not is_long:
        item.obj = _bounded(item.obj)


def _bounded(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @wraps(test)
    async def run(**given: Any) -> None:
        async with asyncio.timeout(TEST_SECONDS):
            await test(**given)

    return run


def is_pure(config: pytest.Config) -> bool:
    """Whether only pure rooms were asked for."""
    folder, tests = config.invocation_params.dir, Path(__file__).parent
    paths = [(folder / argument.partition("::")[0]).resolve() for argument in config.args]
    return all(any(path.is_relative_to(tests / room) for room in PURE_ROOMS) for path in paths)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """The controller hands each xdist worker the addresses of its servers."""
    if not is_pure(node.config):
        node.workerinput["servers"] = find_servers(node.config)
        node.workerinput["forks"] = forks.get_address()


def pytest_unconfigure(config: pytest.Config) -> None:
    if _stack in config.stash:
        config.stash[_stack].close()


def find_servers(config: pytest.Config) -> tuple[str, str]:
    """Addresses of PostgreSQL and Redis; starts what no variable names, once."""
    from app import embedded

    handed = getattr(config, "workerinput", {}).get("servers")
    if handed:
        return handed[0], handed[1]
    if _servers not in config.stash:
        stack = config.stash[_stack] = ExitStack()
        folder = Path(tempfile.gettempdir())
        if not {"DATABASE_URL", "REDIS_URL"} <= os.environ.keys():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadsail-")))
            folder.chmod(0o755)  # the servers' account must be able to enter it
        database = os.environ.get("DATABASE_URL")
        if not database:
            database = stack.enter_context(embedded.serve_postgres(folder, durable=False)).url
        clock = os.environ.get("REDIS_URL")
        if not clock:
            clock = stack.enter_context(embedded.serve_valkey(folder)).url
        config.stash[_servers] = (database, clock)
    return config.stash[_servers]
