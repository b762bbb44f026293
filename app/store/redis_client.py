"""The client of Redis: of one address, or of the master that Sentinels name."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote

import redis.asyncio
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.exceptions import RedisError

SENTINEL_SCHEMES = {"redis+sentinel": False, "rediss+sentinel": True}
"""Whether each speaks TLS."""
SENTINEL_PORT = 26379
SENTINEL_CONNECT_SECONDS, SENTINEL_ANSWER_SECONDS = 0.1, 0.15
"""The clock waits 200 ms in all, and asks the master after that."""
CANCEL_SECONDS = 0.5
Client = TypeVar("Client", bound="redis.asyncio.Redis")


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """What `redis+sentinel://user:password@host:26379,host:26379/service/0` says. User and password
    are the master's; those of the Sentinels are `?sentinelUser=` and `?sentinelPassword=`."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    database: int
    is_tls: bool
    user: str | None
    password: str | None
    sentinel_user: str | None
    sentinel_password: str | None


def read_sentinel_url(url: str) -> SentinelAddress | None:
    """None: `url` names Redis itself. Raises `ValueError`."""
    scheme, _, rest = url.partition("://")
    if scheme not in SENTINEL_SCHEMES:
        return None
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    credentials, _, hosts = authority.rpartition("@")
    user, _, password = credentials.partition(":")
    service, _, database = path.partition("/")
    if not service:
        raise ValueError("the name of the service that the Sentinels watch is missing")
    options = {name: values[-1] for name, values in parse_qs(query, strict_parsing=bool(query)).items()}
    sentinel_user, sentinel_password = options.pop("sentinelUser", None), options.pop("sentinelPassword", None)
    if options:
        raise ValueError(f"there is no option {', '.join(options)}")
    return SentinelAddress(
        tuple(_read_host(host) for host in hosts.split(",")),
        unquote(service),
        int(database or 0),
        SENTINEL_SCHEMES[scheme],
        unquote(user) or None,
        unquote(password) or None,
        sentinel_user,
        sentinel_password,
    )


def _read_host(host: str) -> tuple[str, int]:
    name, _, port = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", "")
    if not name.strip("[]"):
        raise ValueError("a host is missing")
    return name.strip("[]"), int(port or SENTINEL_PORT)


def open_client(url: str, client_class: type[Client], **options: Any) -> Client:
    """A client of the Redis at `url`, not yet connected. `options` are redis-py's."""
    address = read_sentinel_url(url)
    if address is None:
        client: Client = client_class.from_url(url, **options)
        return client
    ssl = {"ssl": True} if address.is_tls else {}
    sentinel = _AllSentinels(  # type: ignore[no-untyped-call]  # redis-py's
        address.sentinels,
        sentinel_kwargs={
            "socket_connect_timeout": SENTINEL_CONNECT_SECONDS,
            "socket_timeout": SENTINEL_ANSWER_SECONDS,
            "username": address.sentinel_user,
            "password": address.sentinel_password,
            **ssl,
        },
        db=address.database,
        username=address.user,
        password=address.password,
        **ssl,
    )
    master: Client = sentinel.master_for(address.service, redis_class=client_class, **options)
    return master


async def close_client(client: "redis.asyncio.Redis") -> None:
    """Closes the client, and those of its Sentinels."""
    await client.aclose()
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        await asyncio.gather(*(sentinel.aclose() for sentinel in pool.sentinel_manager.sentinels))


async def end_tasks(tasks: Collection["asyncio.Task[None]"]) -> None:
    """Cancels the tasks until all have ended: who speaks to Redis just then may swallow a cancellation."""
    while running_tasks := [task for task in tasks if not task.done()]:
        for task in running_tasks:
            task.cancel()
        await asyncio.wait(running_tasks, timeout=CANCEL_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


class _AllSentinels(Sentinel):
    """Asks all Sentinels at once: the library asks one after the other, and one that is silent
    would use up the time of each caller."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """The master's address by the newest of what most Sentinels say: one that is cut off may
        still name the old master. Raises `MasterNotFoundError`."""
        states = await self._ask_most(service_name)
        newest = max(states, key=lambda state: int(state["config-epoch"]), default=None)
        if newest is None or not self.check_master_state(dict(newest), service_name):
            raise MasterNotFoundError(f"{len(states)} of {len(self.sentinels)} Sentinels know {service_name!r}")
        return newest["ip"], newest["port"]

    async def _ask_most(self, service_name: str) -> Sequence[Mapping[str, Any]]:
        """What more than half of the Sentinels say of the service; fewer, if no more answer."""
        states: list[Mapping[str, Any]] = []
        questions = {asyncio.ensure_future(_ask(sentinel, service_name)) for sentinel in self.sentinels}
        try:
            while questions and len(states) <= len(self.sentinels) // 2:
                answered_questions, questions = await asyncio.wait(questions, return_when=asyncio.FIRST_COMPLETED)
                states += [state for task in answered_questions if (state := task.result()) is not None]
        finally:
            for task in questions:
                task.cancel()
        return states


async def _ask(sentinel: "redis.asyncio.Redis", service_name: str) -> Mapping[str, Any] | None:
    try:
        masters: Mapping[str, Mapping[str, Any]] = await sentinel.sentinel_masters()  # type: ignore[no-untyped-call]  # redis-py's
    except (RedisError, OSError, TimeoutError):
        return None
    return masters.get(service_name)
