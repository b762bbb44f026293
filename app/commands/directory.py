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
Fields = Mapping[str, Any]
"""The fields that a request named, by their column names."""
MAX_URL_LENGTH = 2048
HOST_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
NUMERIC_PATTERN = re.compile(r"[0-9.]+")


async def require_known(tx: Tx, tenant_id: str, fields: Fields, kinds: Mapping[str, tuple[str, str]]) -> None:
    """Every id in `fields` must name something of the tenant, else `Invalid` names the field.

    `kinds`: column → (name of the field, kind of thing)."""
    references = [
        (name, kind, fields[column]) for column, (name, kind) in kinds.items() if fields.get(column) is not None
    ]
    unknown_fields = await directory.find_unknown(tx, tenant_id, references)
    if unknown_fields:
        raise Invalid(details=[f"{name}: is not the id of one of yours" for name in unknown_fields])


async def normalize_tenant_phone(tx: Tx, tenant_id: str, raw_phone: str, field: str) -> str:
    """The phone in E.164; raises `Invalid` naming the field."""
    return phones.normalize_phone(raw_phone, await tenants.get_country(tx, tenant_id), field)


def require_url(url: str, field: str) -> str:
    """An http or https address with a host and no userinfo; raises `Invalid`. Whether it may
    be dialled is judged at the dial. International names are given as they are looked up
    (`xn--…`): how to write them so is a matter in which libraries differ."""
    try:
        url_parts = urlsplit(url)
        is_good = (
            url_parts.scheme in ("http", "https")
            and _is_host(url_parts.hostname or "")
            and "@" not in url_parts.netloc
            and url_parts.port != 0
            and len(url) <= MAX_URL_LENGTH
            and url.isprintable()
            and " " not in url
        )
    except ValueError:
        is_good = False
    if not is_good:
        raise Invalid(details=[f"{field}: must be an http or https address without userinfo"])
    return url


def _is_host(host: str) -> bool:
    """A name of labels, or an IP address; raises `ValueError` for what looks like one and is
    none, such as `127.1`."""
    if ":" in host or NUMERIC_PATTERN.fullmatch(host):
        return bool(ip_address(host)) and "%" not in host
    return bool(HOST_PATTERN.fullmatch(host))


def require_found(row: T | None) -> T:
    """The row; raises `NotFound` when there is none."""
    if row is None:
        raise NotFound
    return row


def merge_fields(row: Row, fields: Fields) -> dict[str, Any]:
    """The row with what was given in place of what it had."""
    return {**row, **fields}


def require_not_null(values: Fields, fields: Mapping[str, str]) -> None:
    """`fields`: column → name; raises `Invalid` for those that were given as null."""
    null_names = [name for column, name in fields.items() if column in values and values[column] is None]
    if null_names:
        raise Invalid(details=[f"{name}: must not be null" for name in null_names])


@contextmanager
def unless_in_use(detail: str) -> Iterator[None]:
    """Turns the database's word that something still refers to a row into `InUse`."""
    try:
        yield
    except directory.StillReferenced:
        raise InUse(details=[detail]) from None


def first_row(rows: Sequence[Any]) -> Any:
    """The one row that a statement for one thing returned, or None."""
    return rows[0] if rows else None
