"""The shipped HAProxy before two cells on this machine."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.processes import end

FOLDER = Path(__file__).parents[2] / "deploy" / "haproxy"
HAPROXY = shutil.which("haproxy", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
NETWORKS = {"east": "10.1.0", "west": "10.2.0"}
"""The networks of the cells in the shipped file."""
ADMIN_SOCKET = "admin.sock"


@asynccontextmanager
async def balance_cells(
    folder: Path, port: int, addresses: Mapping[str, str], moved_names: Iterable[str] = ()
) -> AsyncIterator[None]:
    """Runs `cells.cfg` on `port` with the addresses of the cells. Its admin socket is in `folder`."""
    text = (FOLDER / "cells.cfg").read_text().replace("bind :80\n", f"bind 127.0.0.1:{port}\n")
    for cell, address in addresses.items():
        for host in ("11", "12"):
            text = text.replace(f"{NETWORKS[cell]}.{host}:8000", address)
    (folder / "haproxy.cfg").write_text(text.replace("/run/haproxy-cells.sock", str(folder / ADMIN_SOCKET)))
    (folder / "moved.map").write_text("".join(f"{name} west\n" for name in moved_names))
    process = await asyncio.create_subprocess_exec(
        str(HAPROXY), "-db", "-q", "-f", "haproxy.cfg", cwd=folder, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        await end(process)
