"""Canned replies: texts that people of a tenant send often."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.store import directory
from app.store.engine import ReadTx, Row, Tx

COLUMNS = ("title", "text")
ADD_REPLIES_SQL = directory.insert_sql("canned_replies", ("canned_reply_id", *COLUMNS))


async def add(tx: Tx, replies: Sequence[Mapping[str, Any]]) -> list[Row]:
    return await tx.fetch_rows(ADD_REPLIES_SQL, [dict(reply) for reply in replies])


CHANGE_REPLIES_SQL = directory.update_sql("canned_replies", "canned_reply_id", COLUMNS)


async def change(tx: Tx, replies: Sequence[Mapping[str, Any]]) -> list[Row]:
    return await tx.fetch_rows(CHANGE_REPLIES_SQL, [dict(reply) for reply in replies])


GET_REPLY_SQL = directory.select_one_sql("canned_replies", "canned_reply_id")


async def get(read: ReadTx, tenant_id: str, canned_reply_id: str) -> Row | None:
    return await read.fetch_row(GET_REPLY_SQL, tenant_id, canned_reply_id)


LOCK_REPLY_SQL = directory.select_one_sql("canned_replies", "canned_reply_id", lock=True)


async def lock(tx: Tx, tenant_id: str, canned_reply_id: str) -> Row | None:
    return await tx.fetch_row(LOCK_REPLY_SQL, tenant_id, canned_reply_id)


LIST_REPLIES_SQL = directory.select_page_sql("canned_replies", "canned_reply_id")


async def list_page(read: ReadTx, tenant_id: str, below: str | None, limit: int) -> list[Row]:
    return await read.fetch_rows(LIST_REPLIES_SQL, tenant_id, below, limit)


REMOVE_REPLY_SQL = directory.delete_sql("canned_replies", "canned_reply_id")


async def remove(tx: Tx, tenant_id: str, canned_reply_id: str) -> bool:
    return await tx.fetch_value(REMOVE_REPLY_SQL, tenant_id, canned_reply_id) is not None
