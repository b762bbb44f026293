"""The guide in an installed package, where no checkout is near."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("app", "docs", "migrations", "pyproject.toml", "README.md")
ASKED = """
from app.web import guide
print(guide.folder())
print(*sorted(guide.pages()), *sorted(guide.files()))
print(*(guide.page(name).title for name in guide.pages()))
"""


def test_a_wheel_holds_each_page_of_the_guide(tmp_path: Path) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, source / name)
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
             "--disable-pip-version-check", "--wheel-dir", str(tmp_path), str(source)]  # fmt: skip
    subprocess.run(wheel, check=True, capture_output=True)
    [built] = tmp_path.glob("*.whl")
    zipfile.ZipFile(built).extractall(installed)
    env = {**os.environ, "PYTHONPATH": str(installed)}
    asked = subprocess.run(
        [sys.executable, "-c", ASKED], cwd=tmp_path, env=env, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    folder, names, _ = asked.stdout.splitlines()
    assert Path(folder) == installed / "app" / "guide"
    docs = ROOT / "docs"
    pages = {path.relative_to(docs).as_posix().removesuffix(".md") for path in docs.rglob("*.md")}
    files = {"flows.svg", "examples/agent.py", "examples/agent.ts"}
    assert set(names.split()) == pages | files
