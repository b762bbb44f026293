"""JSON of any shape in request bodies: only what can be stored and handed over again."""

import math
from typing import Any

from app.domain.problems import Invalid
from app.web.envelope import get_storage_error

MAX_DEPTH = 20
"""Levels of lists and objects. Payloads of turns have six."""


def require_storable(value: Any, place: str, depth: int = MAX_DEPTH) -> None:
    """Raises `Invalid`, which names the place of what neither a database nor another machine takes: NUL, lone
    surrogates, infinite numbers, too many levels."""
    if error := get_storage_error(value):
        raise Invalid(details=[f"{place}: {error.message()}"])
    if isinstance(value, float) and not math.isfinite(value):
        raise Invalid(details=[f"{place}: must be a finite number"])
    if isinstance(value, dict | list) and not depth:
        raise Invalid(details=[f"{place}: has more than {MAX_DEPTH} levels"])
    if isinstance(value, list):
        for i, item in enumerate(value):
            require_storable(item, f"{place}[{i}]", depth - 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            if error := get_storage_error(name):
                raise Invalid(details=[f"{place}: a name {error.message()}"])
            require_storable(item, f"{place}.{name}", depth - 1)
