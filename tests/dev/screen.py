"""A pseudo-terminal with a program in it."""

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.world import until

START_SECONDS = 90.0
"""How long `dev` may take to start where many tests run at once."""
END_SECONDS = 90.0
"""And to end: it stops its web process, its worker and its servers one after the other."""
TAKE_TERMINAL_CODE = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""So that Ctrl-C becomes a signal, also where the tests run in the background of a script, which ignores it."""


class Screen:
    """A pseudo-terminal: what a person types, and what is to be seen."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._shown = b""
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        try:
            self._shown += os.read(self._master, 65536)
        except OSError:  # the program has ended
            asyncio.get_running_loop().remove_reader(self._master)

    @property
    def text(self) -> str:
        """What was written, without the codes that move the cursor."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._shown.decode(errors="replace")).replace("\r", "")

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    async def shows_after(self, place: int, pattern: str, seconds: float = 30) -> int:
        """Waits for a line like the pattern behind this place. Returns the place behind the line."""

        async def look() -> re.Match[str] | None:
            return re.compile(pattern).search(self.text, place)

        try:
            found = await until(look, seconds)
        except AssertionError:
            raise AssertionError(f"{pattern!r} is not in:\n{self.text[place:]}") from None
        return found.end()

    async def shows(self, words: str, seconds: float = 30) -> None:
        async def look() -> bool:
            return words in self.text

        try:
            await until(look, seconds)
        except AssertionError:
            raise AssertionError(f"{words!r} is not in:\n{self.text}") from None


@asynccontextmanager
async def terminal(
    command: Sequence[str], env: Mapping[str, str], folder: Path | None = None
) -> AsyncIterator[tuple[Screen, asyncio.subprocess.Process]]:
    """Runs the program until the end of the block."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", TAKE_TERMINAL_CODE, *command),
        env=env,
        cwd=folder,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Screen(master), process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        asyncio.get_running_loop().remove_reader(master)
        os.close(master)
