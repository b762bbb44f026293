"""Tells a running HAProxy where a moved tenant is, by its runtime API."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

MAP = "moved.map"
ANSWER_SECONDS = 5.0


async def route_names(socket: Path, names: Sequence[str], backend: str) -> None:
    """Sends requests that bear one of the names to `backend` from now on. Raises `OSError`."""
    for name in names:
        await _ask(socket, f"del map {MAP} {name}")  # of an earlier move
        if answer := await _ask(socket, f"add map {MAP} {name} {backend}"):
            raise OSError(f"HAProxy does not route {name}: {answer}")


async def _ask(socket: Path, command: str) -> str:
    async with asyncio.timeout(ANSWER_SECONDS):
        reader, writer = await asyncio.open_unix_connection(socket)
        writer.write(f"{command}\n".encode())
        answer = await reader.read()
        writer.close()
    return answer.decode(errors="replace").strip()
