"""Canned replies: texts that people of a tenant send often."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.store import directory
from app.store.engine import Read, Row, Tx

COLUMNS = ("title", "text")
ADD = directory.adding("canned_replies", ("canned_reply_id", *COLUMNS))


async def add(tx: Tx, replies: Sequence[Mapping[str, Any]]) -> list[Row]:
    return await tx.rows(ADD, [dict(reply) for reply in replies])


CHANGE = directory.changing("canned_replies", "canned_reply_id", COLUMNS)


async def change(tx: Tx, replies: Sequence[Mapping[str, Any]]) -> list[Row]:
    return await tx.rows(CHANGE, [dict(reply) for reply in replies])


GET = directory.getting("canned_replies", "canned_reply_id")


async def get(read: Read, tenant_id: str, canned_reply_id: str) -> Row | None:
    return await read.row(GET, tenant_id, canned_reply_id)


LOCK = directory.getting("canned_replies", "canned_reply_id", lock=True)


async def lock(tx: Tx, tenant_id: str, canned_reply_id: str) -> Row | None:
    return await tx.row(LOCK, tenant_id, canned_reply_id)


LIST = directory.listing("canned_replies", "canned_reply_id")


async def listed(read: Read, tenant_id: str, below: str | None, limit: int) -> list[Row]:
    return await read.rows(LIST, tenant_id, below, limit)


REMOVE = directory.removing("canned_replies", "canned_reply_id")


async def remove(tx: Tx, tenant_id: str, canned_reply_id: str) -> bool:
    return await tx.value(REMOVE, tenant_id, canned_reply_id) is not None
