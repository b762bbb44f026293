"""Shared checks of the directory's commands: nulls, references, phones, URLs and missing rows."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

from app.domain import ids
from app.domain.callers import Caller
from app.domain.problems import InUse, Invalid, NotFound
from app.store import directory
from app.store.core import table_of
from app.store.directory import Reference
from app.store.engine import Tx
from app.store.schema import Table

T = TypeVar("T")
R = TypeVar("R", bound=Table)
Fields = Mapping[str, Any]
"""The fields that a request gave, by column name."""
FIELD_NAMES = {"account_id": "provider_account_id", "is_default": "default"}
"""Where the API has another name than the column."""
MAX_URL_LENGTH = 2048
HOST_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
NUMERIC_PATTERN = re.compile(r"[0-9.]+")


def get_field_name(column: str) -> str:
    """The name of the column in the API."""
    first, *more = FIELD_NAMES.get(column, column).split("_")
    return first + "".join(word.title() for word in more)


def require_not_null(kind: type[Table], fields: Fields) -> None:
    """Raises `Invalid` for each null that was given for a column that must have a value."""
    columns = table_of(kind).c
    required_names = {column.name for column in columns if not (column.nullable or column.primary_key)}
    null_names = [name for name, value in fields.items() if value is None and name in required_names]
    if null_names:
        raise Invalid(details=[f"{get_field_name(name)}: must not be null" for name in null_names])


async def require_known(tx: Tx, tenant_id: str, kind: type[Table], fields: Fields) -> None:
    """Raises `Invalid` for each id in `fields` that refers to a row that the tenant does not have."""
    columns = table_of(kind).c
    references = [
        (get_field_name(name), key.column.table.name, value)
        for name, value in fields.items()
        for key in columns[name].foreign_keys
        if value is not None
    ]
    await require_references(tx, tenant_id, references)


async def check_columns(tx: Tx, caller: Caller, kind: type[Table], fields: Fields) -> None:
    """`require_not_null` and `require_known`."""
    require_not_null(kind, fields)
    await require_known(tx, caller.tenant_id, kind, fields)


async def require_references(tx: Tx, tenant_id: str, references: Sequence[Reference]) -> None:
    unknown_fields = await directory.find_unknown(tx, tenant_id, references)
    if unknown_fields:
        raise Invalid(details=[f"{name}: does not exist" for name in unknown_fields])


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


async def add_row(tx: Tx, caller: Caller, kind: type[R], id_kind: ids.IdKind, fields: Fields) -> R:
    """Adds a row with a new id."""
    row = await directory.add(tx, kind, caller.tenant_id, ids.make(id_kind), fields)
    assert row is not None
    return row


async def lock_row(tx: Tx, caller: Caller, kind: type[R], id: str) -> R:
    """Raises `NotFound`."""
    return require_found(await directory.lock(tx, kind, caller.tenant_id, id))


SECRET_OVERLAP = timedelta(hours=24)


async def rotate_secret(tx: Tx, caller: Caller, kind: type[R], id: str, sealed_secret: bytes) -> R:
    """Sets a new signing secret; for a day, requests are signed with the previous one too. Raises `NotFound`."""
    return require_found(await directory.rotate_secret(tx, kind, caller.tenant_id, id, sealed_secret, SECRET_OVERLAP))


async def change_row(tx: Tx, caller: Caller, kind: type[R], id: str, fields: Fields) -> R:
    """Writes only the given fields. Raises `NotFound`."""
    return require_found(await directory.change(tx, kind, caller.tenant_id, id, fields))


@contextmanager
def unless_in_use(detail: str) -> Iterator[None]:
    """Raises `InUse` with `detail` where the block raises `RowInUse`."""
    try:
        yield
    except directory.RowInUse:
        raise InUse(details=[detail]) from None
