"""Cancels texts for which no request to a carrier has begun."""

from collections.abc import Sequence

from app.store.engine import Tx, as_columns
from app.store.status_history import add_step_sql

QUOTED_CODE = "'CANCELLED'"


def cancel_unsent_sql(condition: str, code: str, why: str, using: str = "messages m") -> str:
    """A statement that cancels the queued texts `o` that fulfil `condition`, and returns
    their ids. `using`: the tables that `condition` joins them with. `code` and `why` are SQL."""
    return f"""
WITH unsent AS (
    DELETE FROM outbox o USING {using}
    WHERE o.state = 'queued' AND {condition}
    RETURNING o.tenant_id, o.message_id
)
UPDATE messages m SET status = 'cancelled', error_code = {code}, error_message = {why},
    status_history = {add_step_sql("'cancelled'")}
FROM unsent u WHERE m.tenant_id = u.tenant_id AND m.message_id = u.message_id
RETURNING m.message_id
"""


OF_MESSAGE_SQL = "o.tenant_id = $1 AND m.tenant_id = o.tenant_id AND m.message_id = o.message_id"
CANCEL_TEXT_SQL = cancel_unsent_sql(f"{OF_MESSAGE_SQL} AND o.message_id = $2", QUOTED_CODE, "$3")
CANCEL_REFUSED_SQL = cancel_unsent_sql(f"{OF_MESSAGE_SQL} AND o.message_id = $2", "'CONTACT_REFUSED'", "$3")
CANCEL_BULK_SQL = cancel_unsent_sql(f"{OF_MESSAGE_SQL} AND m.bulk_id = $2", QUOTED_CODE, "$3")


async def cancel_text(tx: Tx, tenant_id: str, message_id: str, why: str) -> bool:
    """Cancels a text that is still unsent; returns whether it was."""
    return bool(await tx.fetch_rows(CANCEL_TEXT_SQL, tenant_id, message_id, why))


async def cancel_refused(tx: Tx, tenant_id: str, message_id: str, why: str) -> None:
    """Cancels a text that is still unsent, because the tenant's webhook wants no first contact."""
    await tx.execute(CANCEL_REFUSED_SQL, tenant_id, message_id, why)


async def cancel_bulk(tx: Tx, tenant_id: str, bulk_id: str, why: str) -> int:
    """Cancels the texts of a bulk send that are still unsent; returns how many."""
    return len(await tx.fetch_rows(CANCEL_BULK_SQL, tenant_id, bulk_id, why))


CANCEL_ON_REPLY_SQL = cancel_unsent_sql(
    "o.tenant_id = a.tenant_id AND o.to_phone = a.phone AND o.cancel_on_reply",
    QUOTED_CODE,
    "'The lead answered before it was sent.'",
    using="unnest($1::text[], $2::text[]) AS a(tenant_id, phone)",
)


async def cancel_on_reply(tx: Tx, phones: Sequence[tuple[str, str]]) -> None:
    """The leads of the (tenant, phone) wrote: cancels unsent texts with `cancelOnReply`."""
    await tx.execute(CANCEL_ON_REPLY_SQL, *as_columns(phones, 2))


CANCEL_OF_PURPOSES_SQL = cancel_unsent_sql(
    f"{OF_MESSAGE_SQL} AND o.to_phone = $2 AND NOT o.exempt AND m.purpose = ANY ($3)", "'CONSENT_MISSING'", "$4"
)


async def cancel_of_purposes(tx: Tx, tenant_id: str, phone: str, purposes: Sequence[str], why: str) -> None:
    """Cancels the unsent texts to the phone that have one of the purposes."""
    await tx.execute(CANCEL_OF_PURPOSES_SQL, tenant_id, phone, list(purposes), why)
