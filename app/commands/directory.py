"""Shared checks of the directory's commands: references, phones, URLs and missing rows."""

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
"""The fields that a request gave, by column name."""
MAX_URL_LENGTH = 2048
HOST_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
NUMERIC_PATTERN = re.compile(r"[0-9.]+")


async def require_known(tx: Tx, tenant_id: str, fields: Fields, kinds: Mapping[str, tuple[str, str]]) -> None:
    """Raises `Invalid` for each id in `fields` that the tenant does not have.

    `kinds`: column → (field name, kind of thing)."""
    references = [
        (name, kind, fields[column]) for column, (name, kind) in kinds.items() if fields.get(column) is not None
    ]
    unknown_fields = await directory.find_unknown(tx, tenant_id, references)
    if unknown_fields:
        raise Invalid(details=[f"{name}: does not exist" for name in unknown_fields])


async def normalize_tenant_phone(tx: Tx, tenant_id: str, raw_phone: str, field: str) -> str:
    """The phone in E.164, by the tenant's default country. Raises `Invalid` naming the field."""
    return phones.normalize_phone(raw_phone, await tenants.get_country(tx, tenant_id), field)


def require_url(url: str, field: str) -> str:
    """Returns `url` if it is http or https, has a host and no user info; raises `Invalid`. Whether
    we may connect to the host is checked when we connect. International host names must be given
    as `xn--…`, because libraries differ in how they encode them."""
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
        raise Invalid(details=[f"{field}: must be an http or https address with a host and without a user name"])
    return url


def _is_host(host: str) -> bool:
    """Whether it is a host name or an IP address. Raises `ValueError` for a malformed IP address,
    such as `127.1`."""
    if ":" in host or NUMERIC_PATTERN.fullmatch(host):
        return bool(ip_address(host)) and "%" not in host
    return bool(HOST_PATTERN.fullmatch(host))


def require_found(row: T | None) -> T:
    """Returns the row; raises `NotFound` if there is none."""
    if row is None:
        raise NotFound
    return row


def merge_fields(row: Row, fields: Fields) -> dict[str, Any]:
    """The row with the given fields replaced."""
    return {**row, **fields}


def require_not_null(values: Fields, fields: Mapping[str, str]) -> None:
    """Raises `Invalid` for each value that was given as null. `fields`: column → field name."""
    null_names = [name for column, name in fields.items() if column in values and values[column] is None]
    if null_names:
        raise Invalid(details=[f"{name}: must not be null" for name in null_names])


@contextmanager
def unless_in_use(detail: str) -> Iterator[None]:
    """Raises `InUse` with `detail` where the block raises `StillReferenced`."""
    try:
        yield
    except directory.StillReferenced:
        raise InUse(details=[detail]) from None


def first_row(rows: Sequence[Any]) -> Any:
    """The first row, or None."""
    return rows[0] if rows else None
