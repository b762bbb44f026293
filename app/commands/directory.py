"""What the directory's commands share: references that must exist, and refusals."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

from app.domain import phones
from app.domain.problems import InUse, Invalid, NotFound
from app.store import directory, tenants
from app.store.engine import Row, Tx

T = TypeVar("T")
Given = Mapping[str, Any]
"""The fields that a request named, by their column names."""
LONGEST_URL = 2048
HOST = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
NUMERIC = re.compile(r"[0-9.]+")


async def require_known(tx: Tx, tenant_id: str, given: Given, kinds: Mapping[str, tuple[str, str]]) -> None:
    """Every id in `given` must name something of the tenant, else `Invalid` names the field.

    `kinds`: column → (name of the field, kind of thing)."""
    asked = [(name, kind, given[column]) for column, (name, kind) in kinds.items() if given.get(column) is not None]
    unknown = await directory.unknown(tx, tenant_id, asked)
    if unknown:
        raise Invalid(details=[f"{name}: is not the id of one of yours" for name in unknown])


async def readable_phone(tx: Tx, tenant_id: str, written: str, field: str) -> str:
    """The phone in E.164; raises `Invalid` naming the field."""
    return phones.normalise(written, await tenants.country(tx, tenant_id), field)


def require_url(url: str, field: str) -> str:
    """An http or https address with a host and no userinfo; raises `Invalid`. Whether it may
    be dialled is judged at the dial. International names are given as they are looked up
    (`xn--…`): how to write them so is a matter in which libraries differ."""
    try:
        parts = urlsplit(url)
        good = (
            parts.scheme in ("http", "https")
            and _is_host(parts.hostname or "")
            and "@" not in parts.netloc
            and parts.port != 0
            and len(url) <= LONGEST_URL
            and url.isprintable()
            and " " not in url
        )
    except ValueError:
        good = False
    if not good:
        raise Invalid(details=[f"{field}: must be an http or https address without userinfo"])
    return url


def _is_host(host: str) -> bool:
    """A name of labels, or an IP address; raises `ValueError` for what looks like one and is
    none, such as `127.1`."""
    if ":" in host or NUMERIC.fullmatch(host):
        return bool(ip_address(host)) and "%" not in host
    return bool(HOST.fullmatch(host))


def found(row: T | None) -> T:
    """The row; raises `NotFound` when there is none."""
    if row is None:
        raise NotFound
    return row


def merged(row: Row, given: Given) -> dict[str, Any]:
    """The row with what was given in place of what it had."""
    return {**row, **given}


def require_not_null(given: Given, fields: Mapping[str, str]) -> None:
    """`fields`: column → name; raises `Invalid` for those that were given as null."""
    bad = [name for column, name in fields.items() if column in given and given[column] is None]
    if bad:
        raise Invalid(details=[f"{name}: must not be null" for name in bad])


@contextmanager
def unless_in_use(what: str) -> Iterator[None]:
    """Turns the database's word that something still refers to a row into `InUse`."""
    try:
        yield
    except directory.StillReferenced:
        raise InUse(details=[what]) from None


def only_one(rows: Sequence[Any]) -> Any:
    """The one row that a statement for one thing returned, or None."""
    return rows[0] if rows else None
