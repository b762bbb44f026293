"""Keyset paging: a page continues after the key of the last row, so that no row is skipped or
repeated while rows are added and removed."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query

from app.domain.problems import Invalid
from app.web.envelope import Answer, Out

T = TypeVar("T")
M = TypeVar("M", bound=Out)
MAX_CURSOR_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class PageQuery:
    """The requested page. `after` is the key of the last row that the client has seen, or None."""

    limit: int
    after: tuple[Any, ...] | None = None

    @property
    def fetch_limit(self) -> int:
        """How many rows to read. One more than the limit shows whether there is another page."""
        return self.limit + 1

    def get_key(self, *types: type) -> tuple[Any, ...] | None:
        """Returns `after` with its parts checked against `types`; None on the first page. Raises
        `Invalid`."""
        if self.after is None:
            return None
        try:
            if len(self.after) != len(types):
                raise ValueError
            return tuple(_check_part(kind, part) for kind, part in zip(types, self.after, strict=True))
        except (ValueError, TypeError, OverflowError):
            raise _build_cursor_problem() from None

    def get_id_below(self) -> str | None:
        """Returns the id below which the page begins, for lists ordered by id alone."""
        key = self.get_key(str)
        return None if key is None else str(key[0])

    def cut_page(self, rows: Sequence[T], key: Callable[[T], Sequence[Any]]) -> tuple[Sequence[T], str | None]:
        """Returns the rows of this page, and the cursor of the next one or None."""
        if len(rows) <= self.limit:
            return rows, None
        page_rows = rows[: self.limit]
        return page_rows, build_cursor(key(page_rows[-1]))


def page_of(
    answer: type[M],
    page_query: PageQuery,
    rows: Sequence[T],
    key: Callable[[T], Sequence[Any]],
    show: Callable[[T], Out],
) -> Answer[M]:
    """Builds a list answer, whose first field is the list, from `fetch_limit` rows."""
    page_rows, cursor = page_query.cut_page(rows, key)
    [list_name, *_] = answer.model_fields
    page = {list_name: [show(row) for row in page_rows], "next_cursor": cursor, "has_more": cursor is not None}
    return Answer(data=answer.model_validate(page))


def build_cursor(key: Sequence[Any]) -> str:
    """Builds an opaque cursor from a row's key of strings, integers and datetimes."""
    plain = [part.isoformat() if isinstance(part, datetime) else part for part in key]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


async def get_page_query(
    limit: Annotated[int, Query(ge=1, le=100, description="How many items at most.")] = 50,
    cursor: Annotated[
        str | None,
        Query(description="`nextCursor` of the page before.", max_length=MAX_CURSOR_LENGTH),
    ] = None,
) -> PageQuery:
    return PageQuery(limit, None if cursor is None else _parse_cursor(cursor))


PageParams = Annotated[PageQuery, Depends(get_page_query)]


def _parse_cursor(encoded_cursor: str) -> tuple[Any, ...]:
    try:
        parts = json.loads(base64.urlsafe_b64decode(encoded_cursor + "=" * (-len(encoded_cursor) % 4)))
    except (ValueError, RecursionError):
        raise _build_cursor_problem() from None
    if not isinstance(parts, list):
        raise _build_cursor_problem()
    return tuple(parts)


def _check_part(kind: type, part: Any) -> Any:
    if kind is datetime:
        at = datetime.fromisoformat(part)
        if at.tzinfo is None:
            raise ValueError
        return at.astimezone(UTC)
    if type(part) is not kind:
        raise ValueError
    if isinstance(part, str):
        part.encode()  # raises for a lone surrogate
        if "\x00" in part:
            raise ValueError
    elif isinstance(part, int) and not -(2**63) <= part < 2**63:
        raise ValueError
    return part


def _build_cursor_problem() -> Invalid:
    return Invalid(details=["cursor: is not a cursor of this list"])
