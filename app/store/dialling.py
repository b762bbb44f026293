"""Opens a connection to the PostgreSQL that takes writes.

`DATABASE_URL` may name several hosts, of which one is the primary. All are dialled at once, each with
its own timeout, and the first that takes writes wins: whether another one refuses, starts, is full,
cannot write or says nothing at all then makes no difference. (The driver itself tries one host after
the other within a single timeout, so a silent first host would hide the others for ever.)
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import asyncpg
from sqlalchemy.engine import URL, make_url

CONNECT_SECONDS = 1.5
WantedHost = Literal["read-write", "standby"]
HOSTS_PATTERN = re.compile(r"(?P<before>[\w+]+://(?:[^@/]*@)?)(?P<hosts>[^/?#]*)(?P<after>.*)", re.DOTALL)
ADDRESS_PATTERN = re.compile(r"(?:\[(?P<bracketed>[^\]]+)\]|(?P<name>[^:]*))(?::(?P<port>\d+))?")


def list_driver_urls(url: str) -> list[str]:
    """The URL of each host that `url` names (`host1:port,host2:port`, or `?host=` and `?port=`), in
    the form that asyncpg takes. Raises `ValueError`."""
    parts = HOSTS_PATTERN.fullmatch(url)
    if parts is None:
        raise ValueError("this is no address of a database")
    if "," not in parts["hosts"]:
        return [_render(one) for one in _split_query_hosts(make_url(url))]
    return [_render(make_url(parts["before"] + host + parts["after"])) for host in parts["hosts"].split(",")]


def _split_query_hosts(url: URL) -> list[URL]:
    hosts = _split_values(url.query.get("host", ()))
    if len(hosts) < 2:
        return [url]
    ports = _split_values(url.query.get("port", ()))
    if len(ports) not in (0, 1, len(hosts)):
        raise ValueError("there must be one port, or one for each host")
    ports = ports * len(hosts) if len(ports) == 1 else ports or [""] * len(hosts)
    bare_url = url.difference_update_query(["host", "port"])
    return [_set_address(bare_url, host, port) for host, port in zip(hosts, ports, strict=True)]


def _split_values(values: str | Sequence[str]) -> list[str]:
    joined_values = values if isinstance(values, str) else ",".join(values)
    return [value for value in joined_values.split(",") if value]


def _set_address(url: URL, host: str, port: str) -> URL:
    if host.startswith("/"):  # the folder of a local socket
        return url.update_query_dict({"host": host} | ({"port": port} if port else {}))
    address = ADDRESS_PATTERN.fullmatch(host)
    if address is None:
        raise ValueError(f"`{host}` is no host")
    own_port = address["port"] or port
    return url.set(host=address["bracketed"] or address["name"], port=int(own_port) if own_port else None)


def _render(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


async def dial(url: str, **arguments: Any) -> Any:
    """A connection as `dial_host` makes it."""
    connection, _ = await dial_host(url, **arguments)
    return connection


async def dial_host(url: str, wanted_host: WantedHost = "read-write", **arguments: Any) -> tuple[Any, str]:
    """A connection to the one host of `url`, or to the first of several that takes writes; and the
    URL of that host. `wanted_host` standby: to the first that is one. `arguments` are asyncpg's. Raises the
    driver's error."""
    driver_urls = list_driver_urls(url)
    if wanted_host == "standby" or len(driver_urls) > 1:
        arguments["target_session_attrs"] = wanted_host
    if len(driver_urls) == 1:
        return await asyncpg.connect(driver_urls[0], timeout=CONNECT_SECONDS, **arguments), driver_urls[0]
    attempts = {
        asyncio.ensure_future(asyncpg.connect(one, timeout=CONNECT_SECONDS, **arguments)): one for one in driver_urls
    }
    winner = None
    try:
        winner = await _await_first(attempts)
        return winner.result(), attempts[winner]
    finally:
        for attempt in attempts.keys() - {winner}:
            attempt.cancel()
            attempt.add_done_callback(_hang_up)


async def _await_first(attempts: Iterable["asyncio.Future[Any]"]) -> "asyncio.Future[Any]":
    """The first attempt that succeeds. Raises what the failures have to say if all fail."""
    open_attempts, errors = set(attempts), list[BaseException]()
    while open_attempts:
        ended_attempts, open_attempts = await asyncio.wait(open_attempts, return_when=asyncio.FIRST_COMPLETED)
        for attempt in ended_attempts:
            error = attempt.exception()
            if error is None:
                return attempt
            errors.append(error)
    raise _choose_error(errors)


def _choose_error(errors: Sequence[BaseException]) -> BaseException:
    """The error that says most: a wrong password before a silent host, then a server's own words."""

    def rank(error: BaseException) -> int:
        if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError | asyncpg.InvalidCatalogNameError):
            return 0
        if isinstance(error, TimeoutError):
            return 1
        return 3 if isinstance(error, OSError) else 2

    return min(errors, key=rank)


def _hang_up(attempt: "asyncio.Future[Any]") -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().terminate()
