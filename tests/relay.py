"""A TCP relay to a server, which can be cut, frozen, moved, and told to lose a COMMIT."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy.engine import make_url

from app.settings import Settings

BEGIN, ROLLBACK = b"BEGIN", b"ROLLBACK"
COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""As asyncpg sends it: PostgreSQL's simple query."""
Loss = Literal["before", "after", "late"]
LATE = 0.5
"""Seconds by which a delayed COMMIT outlives its client's connection."""


@dataclass(eq=False, slots=True)
class _Line:
    """One relayed connection: the client's side, and the server's."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    deaf: bool = False
    """What the server says is dropped."""
    spoken: bytes = b""
    """By the client, since a transaction of its own last ended."""

    def cut(self) -> None:
        self.near.transport.abort()
        self.far.transport.abort()


@dataclass(eq=False, slots=True)
class Relay:
    """Between clients, who know `port`, and a server at `host`, `to`, which may move."""

    host: str
    to: int
    port: int = 0
    refusing: bool = False
    losing: list[tuple[bytes, Loss]] = field(default_factory=list)
    """What becomes of the next COMMITs, each of a transaction in which the client spoke of these
    bytes (or is the one statement that does, and commits by itself): lost before they reach the
    server, lost with its answer, or lost to the client and heard by the server a little later."""
    lost: list[Loss] = field(default_factory=list)
    """What became of those that met it."""
    _lines: set[_Line] = field(default_factory=set)
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Relay"]:
        self._flowing.set()
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            self._flowing.set()
            await server.wait_closed()

    def cut(self) -> None:
        """Breaks every connection, and refuses new ones."""
        self.refusing = True
        self.drop()

    def drop(self) -> None:
        """Breaks every connection; new ones are welcome."""
        for line in list(self._lines):
            line.cut()

    def freeze(self) -> None:
        self._flowing.clear()

    def restore(self) -> None:
        self.refusing = False
        self._flowing.set()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(self.host, self.to)
        except OSError:
            writer.transport.abort()
            return
        line = _Line(writer, far_writer)
        self._lines.add(line)
        try:
            await asyncio.gather(
                self._upwards(reader, line), self._downwards(far_reader, line),
                return_exceptions=True,
            )  # fmt: skip
        finally:
            self._lines.discard(line)
            line.cut()

    async def _upwards(self, reader: asyncio.StreamReader, line: _Line) -> None:
        try:
            while data := await reader.read(65_536):
                await self._flowing.wait()
                line.spoken += data
                by_itself = BEGIN not in line.spoken
                commits = COMMIT in data or by_itself
                if commits and self.losing and self.losing[0][0] in line.spoken:
                    await self._lose(data, line)
                    return
                if commits or ROLLBACK in data:
                    line.spoken = b""
                line.far.write(data)
        finally:
            line.cut()

    async def _downwards(self, reader: asyncio.StreamReader, line: _Line) -> None:
        try:
            while data := await reader.read(65_536):
                await self._flowing.wait()
                if not line.deaf:
                    line.near.write(data)
                else:
                    return  # the server has answered: nobody will hear it
        finally:
            if not line.deaf:
                line.cut()

    async def _lose(self, data: bytes, line: _Line) -> None:
        _, how = self.losing.pop(0)
        self.lost.append(how)
        line.deaf = True
        if how == "before":
            return
        if how == "late":
            line.near.transport.abort()
            await asyncio.sleep(LATE)
        line.far.write(data)
        await asyncio.sleep(LATE)  # the server has it, and its answer goes nowhere


@contextlib.asynccontextmanager
async def served_bytes(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """The address of a server that speaks as `talk` does."""
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()


@contextlib.asynccontextmanager
async def relay_database(configuration: Settings) -> AsyncIterator[tuple[Relay, Settings]]:
    """A relay to the database, and the settings of a process whose database is behind it."""
    url = make_url(str(configuration.database_url))
    async with Relay(url.host or "127.0.0.1", url.port or 5432).running() as wire:
        behind = url.set(host="127.0.0.1", port=wire.port).render_as_string(hide_password=False)
        yield wire, configuration.model_copy(update={"database_url": behind})
