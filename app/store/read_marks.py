"""What each person has read: a mark for each thread that they opened, and a time before which all is read."""

from collections.abc import Sequence

from app.store.engine import ReadTx, Tx
from app.store.views import MAX_COUNTED, is_news_sql, unread_texts_sql

MARK_READ_SQL = """
INSERT INTO read_marks AS r (tenant_id, user_id, interaction_id, read_seq)
SELECT t.tenant_id, $2, t.interaction_id, least($4, t.last_seq) FROM interactions t
WHERE t.tenant_id = $1 AND t.interaction_id = $3
ON CONFLICT (tenant_id, user_id, interaction_id) DO UPDATE
SET read_seq = excluded.read_seq, at = clock_timestamp() WHERE r.read_seq < excluded.read_seq
"""


async def mark_read(tx: Tx, tenant_id: str, user_id: str, interaction_id: str, through_seq: int) -> None:
    await tx.execute(MARK_READ_SQL, tenant_id, user_id, interaction_id, through_seq)


NEWEST_TEXT_SQL = """(SELECT max(m.seq) FROM messages m
    WHERE m.tenant_id = $1 AND m.interaction_id = $2 AND m.role = 'user')"""
MARK_UNREAD_SQL = f"""
INSERT INTO read_marks AS r (tenant_id, user_id, interaction_id, read_seq)
SELECT $1, $3, $2, {NEWEST_TEXT_SQL} - 1 WHERE {NEWEST_TEXT_SQL} IS NOT NULL
ON CONFLICT (tenant_id, user_id, interaction_id) DO UPDATE
SET read_seq = least(r.read_seq, excluded.read_seq), at = clock_timestamp()
"""


async def mark_unread(tx: Tx, tenant_id: str, interaction_id: str, user_id: str) -> None:
    """The person has the lead's newest text still to read."""
    await tx.execute(MARK_UNREAD_SQL, tenant_id, interaction_id, user_id)


MARK_UNREAD_BY_ALL_SQL = f"""
UPDATE interactions t SET read_seq = least(t.read_seq, x.seq - 1), unread_count = greatest(t.unread_count, 1)
FROM (SELECT {NEWEST_TEXT_SQL} AS seq) x
WHERE t.tenant_id = $1 AND t.interaction_id = $2 AND x.seq IS NOT NULL
"""


async def mark_unread_by_all(tx: Tx, tenant_id: str, interaction_id: str) -> None:
    """The thread counts as one that nobody has read."""
    await tx.execute(MARK_UNREAD_BY_ALL_SQL, tenant_id, interaction_id)


READ_ALL_SQL = """
WITH forgotten AS (DELETE FROM read_marks WHERE tenant_id = $1 AND user_id = $2)
UPDATE users SET unread_from = clock_timestamp() WHERE tenant_id = $1 AND user_id = $2
"""


async def mark_all_read(tx: Tx, tenant_id: str, user_id: str) -> None:
    await tx.execute(READ_ALL_SQL, tenant_id, user_id)


COUNT_UNREAD_SQL = f"""
SELECT t.interaction_id, x.unread FROM interactions t
JOIN users u ON u.tenant_id = $1 AND u.user_id = $2
LEFT JOIN read_marks r ON r.tenant_id = $1 AND r.user_id = $2 AND r.interaction_id = t.interaction_id
CROSS JOIN LATERAL (SELECT count(*) AS unread FROM (
    SELECT FROM {unread_texts_sql("t", "u")} LIMIT {MAX_COUNTED}) m) x
WHERE t.tenant_id = $1 AND t.interaction_id = ANY ($3) AND (r.read_seq IS NULL OR r.read_seq < t.last_seq)
  AND (r.read_seq IS NOT NULL OR {is_news_sql("t.last_inbound_at", "u")}) AND x.unread > 0
"""


async def count_unread(read: ReadTx, tenant_id: str, user_id: str, interaction_ids: Sequence[str]) -> dict[str, int]:
    """By thread, how many texts of the lead the person has not read; without those that are all read."""
    rows = await read.fetch_rows(COUNT_UNREAD_SQL, tenant_id, user_id, list(interaction_ids))
    return {row["interaction_id"]: row["unread"] for row in rows}
