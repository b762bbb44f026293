"""The directory: leads, campaigns, numbers, accounts, agents, keys, settings. One file each."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import ColumnElement

from app.domain.callers import Caller
from app.store import directory
from app.store.engine import ReadTx
from app.store.schema import Table
from app.web.envelope import Answer, Body, Line, Out
from app.web.paging import PageQuery, page_of

R = TypeVar("R", bound=Table)
M = TypeVar("M", bound=Out)


class Deleted(Out):
    """The answer to a DELETE."""

    deleted: bool = True


class Pause(Body):
    """The reason for a pause. It is shown beside the texts that wait."""

    reason: Line | None = None


async def list_rows(
    read: ReadTx,
    caller: Caller,
    page_query: PageQuery,
    kind: type[R],
    answer: type[M],
    show: Callable[[R], Out],
    *conditions: ColumnElement[bool],
) -> Answer[M]:
    """Reads a page of a table, newest ids first."""
    below, limit = page_query.get_id_below(), page_query.fetch_limit
    rows = await directory.list_page(read, kind, caller.tenant_id, below, limit, *conditions)
    key = directory.id_column_of(kind).name
    return page_of(answer, page_query, rows, lambda row: [getattr(row, key)], show)
