"""Which version this is."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROJECT_FILE = Path(__file__).parents[1] / "pyproject.toml"


def find_version() -> str:
    """Of the installed package, or of a tree that was only copied."""
    try:
        return version("leadsail-sms")
    except PackageNotFoundError:
        project_version: str = tomllib.loads(PROJECT_FILE.read_text())["project"]["version"]
        return project_version
