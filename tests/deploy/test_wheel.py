"""The wheel: what pip installs is whole, and runs far from any checkout."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.demo import http_clients
from app.operations import up
from tests.processes import END_SECONDS, finish, wait_until_ended
from tests.test_cli import OURS
from tests.world import until

ROOT = Path(__file__).parents[2]
BUILT_FROM = ("app", "docs", "migrations", "pyproject.toml", "README.md", "LICENSE")
CACHES = shutil.ignore_patterns("__pycache__")


@pytest.fixture(scope="module")
def wheel() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="leadsail-wheel-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # the embedded servers' own account must reach its folder below
        tree = folder / "tree"
        tree.mkdir()
        for name in BUILT_FROM:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, tree / name, ignore=CACHES)
            else:
                shutil.copy(ROOT / name, tree / name)
        run("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
            "--disable-pip-version-check", "--wheel-dir", str(folder), str(tree))  # fmt: skip
        shutil.rmtree(tree)
        [built] = folder.glob("*.whl")
        yield built


def run(*command: str, python: str = sys.executable) -> str:
    done = subprocess.run([python, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files(folder: str) -> set[str]:
    found = (ROOT / folder).rglob("*")
    return {str(f.relative_to(ROOT)) for f in found if f.is_file() and f.suffix != ".pyc"}


def test_the_wheel_holds_every_file_of_the_tree_and_no_other(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    guide = {name.replace("docs/", "app/guide/", 1) for name in files("docs")}
    assert held == files("app") | {f"app/{name}" for name in files("migrations")} | guide
    for needed in ("app/alerts.yaml", "app/web/templates/parts/thread.html",
                   "app/web/static/page.css", "app/migrations/env.py",
                   "app/guide/flows.svg"):  # fmt: skip
        assert needed in held


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment in which the wheel is installed, with our dependencies beside it."""

    folder: Path

    @property
    def command(self) -> str:
        return str(self.folder / "bin" / "leadsail-sms")


@pytest.fixture
def installed(wheel: Path) -> Installed:
    folder = wheel.parent / "venv"
    run("-m", "venv", "--without-pip", str(folder))
    run("-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet", "--no-deps",
        "--no-index", "--disable-pip-version-check", str(wheel))  # fmt: skip
    [packages] = (folder / "lib").glob("python*/site-packages")
    # Folders named so are searched for packages, and not for files that name further ones: the
    # checkout, which our own environment points to, stays out of sight.
    (packages / "beside.pth").write_text(sysconfig.get_path("purelib"))
    found = run("-I", "-c", "import app; print(app.__file__)", python=str(folder / "bin" / "python"))
    assert Path(found.strip()).is_relative_to(packages)
    return Installed(folder)


async def test_installed_from_the_wheel_up_runs_outside_the_checkout(
    installed: Installed,
) -> None:
    home = installed.folder.parent / "home"
    home.mkdir(mode=0o755)
    said_version = await asyncio.create_subprocess_exec(
        installed.command, "--version", cwd=home, stdout=asyncio.subprocess.PIPE
    )
    assert (await finish(said_version))[0].startswith("leadsail-sms 0.")
    port = next(p for p in range(20_000, 30_000, 7) if all(up.is_port_free("127.0.0.1", p + i)
                                                           for i in range(3)))  # fmt: skip
    env = {name: value for name, value in os.environ.items()
           if name not in OURS and not name.startswith("PYTHON")}  # fmt: skip
    running = await asyncio.create_subprocess_exec(
        installed.command, "up", cwd=home, env=env | {"PORT": str(port)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said: list[str] = []
    assert running.stdout
    listening = asyncio.create_task(_hear(running.stdout, said))
    try:
        async with http_clients.build_client(base_url=f"http://127.0.0.1:{port}", timeout=5) as http:

            async def ready() -> bool:
                assert running.returncode is None, "".join(said)
                try:
                    return (await http.get("/health/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(ready, 60)
            for path in ("/sign-in", "/static/page.css", "/docs", "/docs/start.js",
                         "/docs/assets/swagger-ui.css", "/guide",
                         "/guide/examples/agent.py"):  # fmt: skip
                assert (await http.get(path)).status_code == 200, path

        async def greeted() -> bool:
            return any("LeadSail SMS is up." in line for line in said)

        await until(greeted, 60)
    finally:
        if running.returncode is None:
            running.send_signal(signal.SIGTERM)
        ended = await wait_until_ended(running)  # its processes and servers end with it
        await asyncio.wait_for(listening, END_SECONDS)
    assert ended == 0, "".join(said)


async def _hear(stream: asyncio.StreamReader, said: list[str]) -> None:
    async for line in stream:
        said.append(line.decode(errors="replace"))
