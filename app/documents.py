"""Where the documents are: the files of `docs/`, which the package brings along."""

from functools import cache
from pathlib import Path

APP_FOLDER = Path(__file__).parent
DOCS_FOLDERS = (APP_FOLDER / "guide", APP_FOLDER.parent / "docs")
"""The first exists in an installed package, the second in a checkout."""


@cache
def get_folder() -> Path:
    return next(candidate for candidate in DOCS_FOLDERS if candidate.is_dir())
