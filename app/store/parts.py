"""Parts of longer inbound texts, kept until all parts of a text are there."""

from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

from app.domain.carriage import InboundText
from app.store.engine import Tx


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part of a text that waited for the other parts."""

    tenant_id: str
    account_id: str
    sender: str
    our_number: str
    reference: str
    number: int
    provider_id: str
    text: str


@dataclass(frozen=True, slots=True)
class IncompletePart(StoredPart):
    """A part whose text did not become whole in time."""

    provider: str


@dataclass(frozen=True, slots=True)
class PartCheck:
    """`known`: the part came before. `of_another`: the stored parts under this reference belong to
    another text, because its place is taken or the number of parts differs."""

    known: bool
    of_another: bool


LOCK_TEXT_SQL = "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))"
ADD_PART_SQL = """
INSERT INTO inbound_parts (tenant_id, account_id, sender, our_number, reference, number, total,
    provider_id, text)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
CHECK_PART_SQL = """
SELECT EXISTS (SELECT 1 FROM provider_ids_seen s
               WHERE s.tenant_id = $1 AND s.account_id = $2 AND s.provider_id = $8)
       OR coalesce(bool_or(provider_id = $8), false) AS known,
       coalesce(bool_or(number = $6 OR total <> $7), false) AS of_another
FROM inbound_parts
WHERE tenant_id = $1 AND account_id = $2 AND sender = $3 AND our_number = $4 AND reference = $5
"""
COUNT_PARTS_SQL = """
SELECT count(*) FROM inbound_parts
WHERE tenant_id = $1 AND account_id = $2 AND sender = $3 AND our_number = $4 AND reference = $5
"""


async def lock_and_check(tx: Tx, tenant_id: str, account_id: str, text: InboundText) -> PartCheck:
    """Locks the part's reference, so that parts of one text are stored one by one, and checks it."""
    part = text.part
    assert part
    key = (tenant_id, account_id, text.sender, text.to, part.reference)
    await tx.execute(LOCK_TEXT_SQL, "|".join(key))
    [check] = await tx.fetch(PartCheck, CHECK_PART_SQL, *key, part.number, part.total, text.provider_id)
    return check


async def add(tx: Tx, tenant_id: str, account_id: str, text: InboundText) -> int:
    """Stores the part; returns how many parts of its text are there now."""
    part = text.part
    assert part
    key = (tenant_id, account_id, text.sender, text.to, part.reference)
    await tx.execute(ADD_PART_SQL, *key, part.number, part.total, text.provider_id, text.text)
    return int(await tx.fetch_value(COUNT_PARTS_SQL, *key))


TAKE_PARTS_SQL = """
WITH taken AS (
    DELETE FROM inbound_parts
    WHERE tenant_id = $1 AND account_id = $2 AND sender = $3 AND our_number = $4 AND reference = $5
    RETURNING *
), seen AS (  -- without the first part: its id becomes the id of the joined text
    INSERT INTO provider_ids_seen (tenant_id, account_id, provider_id)
    SELECT tenant_id, account_id, provider_id FROM taken
    WHERE number > (SELECT min(number) FROM taken) ORDER BY provider_id
    ON CONFLICT DO NOTHING
)
SELECT tenant_id, account_id, sender, our_number, reference, number, provider_id, text
FROM taken ORDER BY number
"""


async def take(tx: Tx, tenant_id: str, account_id: str, text: InboundText) -> list[StoredPart]:
    """Takes all stored parts under the text's reference, in order, and remembers their ids."""
    assert text.part
    return await tx.fetch(StoredPart, TAKE_PARTS_SQL, tenant_id, account_id, text.sender, text.to, text.part.reference)


TAKE_INCOMPLETE_SQL = """
WITH late AS (
    SELECT tenant_id, account_id, sender, our_number, reference FROM inbound_parts
    WHERE received_at < now() - $1::interval
    GROUP BY 1, 2, 3, 4, 5 LIMIT $2
), taken AS (
    DELETE FROM inbound_parts p USING late l
    WHERE (p.tenant_id, p.account_id, p.sender, p.our_number, p.reference)
        = (l.tenant_id, l.account_id, l.sender, l.our_number, l.reference)
    RETURNING p.*
), firsts AS (
    SELECT tenant_id, account_id, sender, our_number, reference, min(number) AS number
    FROM taken GROUP BY 1, 2, 3, 4, 5
), seen AS (
    INSERT INTO provider_ids_seen (tenant_id, account_id, provider_id)
    SELECT t.tenant_id, t.account_id, t.provider_id FROM taken t
    JOIN firsts f USING (tenant_id, account_id, sender, our_number, reference)
    WHERE t.number > f.number ORDER BY t.provider_id
    ON CONFLICT DO NOTHING
)
SELECT t.tenant_id, t.account_id, t.sender, t.our_number, t.reference, t.number, t.provider_id, t.text, a.provider
FROM taken t JOIN provider_accounts a USING (tenant_id, account_id)
ORDER BY t.tenant_id, t.account_id, t.sender, t.our_number, t.reference, t.number
"""


async def take_incomplete(tx: Tx, after: timedelta, limit: int) -> list[list[IncompletePart]]:
    """Takes the parts of up to `limit` texts that have waited longer than `after` for the other
    parts. Returns them by text and in order."""
    parts = await tx.fetch(IncompletePart, TAKE_INCOMPLETE_SQL, after, limit)
    by_text = groupby(parts, key=lambda part: (part.account_id, part.sender, part.our_number, part.reference))
    return [list(group) for _, group in by_text]
