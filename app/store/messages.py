"""One text and its attempts."""

from app.store.engine import Read, Row

ONE = "SELECT * FROM messages WHERE tenant_id = $1 AND message_id = $2"


async def get(read: Read, tenant_id: str, message_id: str) -> Row | None:
    return await read.row(ONE, tenant_id, message_id)


ATTEMPTS = "SELECT * FROM attempts WHERE tenant_id = $1 AND message_id = $2 ORDER BY attempt"


async def attempts(read: Read, tenant_id: str, message_id: str) -> list[Row]:
    """The HTTP tries of a text, first to last."""
    return await read.rows(ATTEMPTS, tenant_id, message_id)
