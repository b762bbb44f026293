"""The clients as packages: what is published is whole, and works far from this repository."""

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.document.node import FOLDER, MODULES, NODE, NPM, Unreachable, install_tools, run_tool

ROOT = Path(__file__).parents[2]
PYTHON, TYPESCRIPT = ROOT / "clients" / "python", ROOT / "clients" / "typescript"
LEFT_OUT = shutil.ignore_patterns("__pycache__", "dist", "node_modules", "*.egg-info", "build")
BUILD_CODE = """
import setuptools.build_meta as backend
names = backend.build_sdist("out"), backend.build_wheel("out")
print(*names)
"""
USE_CODE = """
import sys
sys.path.insert(0, sys.argv[1])
import leadsail
assert leadsail.__file__.startswith(sys.argv[1]), leadsail.__file__
print(*sorted(leadsail.__all__))
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def modules() -> set[str]:
    return {f"leadsail/{file.name}" for file in (PYTHON / "leadsail").iterdir() if file.is_file()}


def test_the_python_package_is_whole_and_can_be_imported(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(PYTHON, tree, ignore=LEFT_OUT)
    (tree / "out").mkdir()
    sdist, wheel = run(sys.executable, "-c", BUILD_CODE, cwd=tree).splitlines()[-1].split()
    with tarfile.open(tree / "out" / sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert modules() | {"README.md", "LICENSE", "pyproject.toml"} <= held
    with zipfile.ZipFile(tree / "out" / wheel) as archive:
        names = archive.namelist()
        [about] = [archive.read(name).decode() for name in names if name.endswith("/METADATA")]
    assert {name for name in names if ".dist-info/" not in name} == modules()
    assert "leadsail/py.typed" in names
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    assert (PYTHON / "README.md").read_text() in about
    assert "License-Expression: MIT" in about
    exported = run(sys.executable, "-I", "-c", USE_CODE, tree / "out" / wheel, cwd=tmp_path).split()
    assert {"Agent", "LeadSail", "OutcomeUnknown", "verify"} <= set(exported)


@pytest.fixture
def packed(tmp_path: Path) -> tuple[Path, set[str]]:
    """A folder in which the TypeScript client is installed, and the files of its package."""
    try:
        install_tools()
    except Unreachable as error:
        pytest.skip(str(error))
    tree, user = tmp_path / "tree", tmp_path / "user"
    shutil.copytree(TYPESCRIPT, tree, ignore=LEFT_OUT)
    built = run_tool("tsc", "--project", tree, "--typeRoots", MODULES / "@types")
    assert built.returncode == 0, built.stdout
    pack = ("pack", tree, "--ignore-scripts", "--json", "--offline", "--pack-destination", tmp_path)
    [told] = json.loads(run(NODE, NPM, *pack, cwd=FOLDER))
    with tarfile.open(tmp_path / told["filename"]) as archive:
        archive.extractall(user / "node_modules", filter="data")
    (user / "node_modules" / "package").rename(user / "node_modules" / "leadsail")
    return user, {file["path"] for file in told["files"]}


def test_the_typescript_package_is_whole_and_can_be_imported(packed: tuple[Path, set[str]]) -> None:
    user, files = packed
    sources = [file.stem for file in (TYPESCRIPT / "src").iterdir()]
    built = {f"dist/{name}.{kind}" for name in sources for kind in ("js", "d.ts")}
    assert files == built | {"package.json", "README.md", "LICENSE"}
    (user / "use.mjs").write_text('import * as all from "leadsail"; console.log(Object.keys(all).join(" "));')
    exported = run(NODE, "use.mjs", cwd=user).split()
    assert {"Agent", "LeadSail", "OutcomeUnknown", "verify"} <= set(exported)


@pytest.mark.parametrize("client", [PYTHON, TYPESCRIPT], ids=["python", "typescript"])
def test_a_client_has_the_licence_of_the_service(client: Path) -> None:
    assert (client / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_both_clients_have_one_version() -> None:
    version = json.loads((TYPESCRIPT / "package.json").read_text())["version"]
    assert f'version = "{version}"' in (PYTHON / "pyproject.toml").read_text()
