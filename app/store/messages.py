"""Reads texts, their attempts, or a bulk send; finds texts by the carrier's ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain.words import Purpose
from app.store.engine import ReadTx
from app.store.thread_filters import CommonFilter, Params, id_span_sql, threads_sql


@dataclass(frozen=True, slots=True)
class Message:
    """A text of ours or of a lead, or a note."""

    message_id: str
    interaction_id: str
    lead_id: str
    seq: int | None
    """None: scheduled or held."""
    role: str
    source: str
    text: str
    media: list[dict[str, Any]]
    status: str
    status_history: list[dict[str, Any]]
    to_phone: str | None
    from_phone: str | None
    provider: str | None
    provider_message_id: str | None
    encoding: str | None
    segments: int | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    send_at: datetime | None
    held_until: datetime | None
    held_reason: str | None
    """Also names a brake that keeps the text waiting."""
    held_rule: str | None
    purpose: Purpose | None
    possible_opt_out: bool
    opt_out: bool | None
    awaits_decision: bool


GET_MESSAGES_SQL = """
SELECT m.message_id, m.interaction_id, m.lead_id, m.seq, m.role, m.source, m.text, m.media, m.status,
       m.status_history, m.to_phone, m.from_phone, m.provider, m.provider_message_id, m.encoding,
       m.segments, m.error_code, m.error_message, m.created_at, m.send_at, m.held_until,
       coalesce(m.held_reason, brake.reason) AS held_reason, m.held_rule, m.purpose,
       m.possible_opt_out, m.opt_out, m.awaits_decision
FROM messages m
LEFT JOIN LATERAL (  -- the brake that keeps a queued text waiting
    SELECT concat_ws(': ', x.what || ' is paused', x.why) AS reason FROM (
        SELECT 'the tenant' AS what, paused_reason AS why FROM tenants
        WHERE tenant_id = m.tenant_id AND paused_at IS NOT NULL
        UNION ALL
        SELECT 'the number', paused_reason FROM phone_numbers
        WHERE tenant_id = m.tenant_id AND phone_number = m.from_phone AND paused_at IS NOT NULL
        UNION ALL
        SELECT 'the account', paused_reason FROM provider_accounts
        WHERE tenant_id = m.tenant_id AND account_id = m.account_id AND paused_at IS NOT NULL
        UNION ALL
        SELECT 'the agent', g.paused_reason FROM outbox o
        JOIN sms_agents g ON g.tenant_id = o.tenant_id AND g.sms_agent_id = o.sms_agent_id
        WHERE o.tenant_id = m.tenant_id AND o.message_id = m.message_id AND g.paused_at IS NOT NULL
    ) x LIMIT 1
) brake ON m.status = 'queued'
WHERE m.tenant_id = $1 AND m.message_id = ANY ($2) ORDER BY m.message_id DESC
"""


async def get(read: ReadTx, tenant_id: str, message_id: str) -> Message | None:
    return await read.fetch_one(Message, GET_MESSAGES_SQL, tenant_id, [message_id])


@dataclass(frozen=True, slots=True)
class MessageFilter(CommonFilter):
    """Narrows a list of texts. Dates compare when a text was stored."""

    sources: Sequence[str] | None = None
    roles: Sequence[str] | None = None
    lead_id: str | None = None
    our_number: str | None = None
    lead_phone: str | None = None


async def list_page(
    read: ReadTx, tenant_id: str, filters: MessageFilter, below: str | None, limit: int
) -> list[Message]:
    """Texts below an id, newest ids first; without notes."""
    params = Params(tenant_id)
    conditions = id_span_sql(params, "msg", "m.message_id", "m.created_at", filters, below)
    for column, values in (("m.status", filters.statuses), ("m.source", filters.sources), ("m.role", filters.roles)):
        if values is not None:
            conditions += f" AND {column} = ANY ({params.bind(list(values))}::text[])"
    wanted = {"lead_id": filters.lead_id, "our_number": filters.our_number, "lead_phone": filters.lead_phone}
    if threads := threads_sql(params, filters, wanted):
        conditions += f" AND m.interaction_id IN ({threads})"
    statement = f"""SELECT m.message_id FROM messages m
WHERE m.tenant_id = $1 AND m.status <> 'note'{conditions} ORDER BY m.message_id DESC LIMIT {params.bind(limit)}"""
    found_ids = [row["message_id"] for row in await read.fetch_rows(statement, *params.values)]
    return await read.fetch(Message, GET_MESSAGES_SQL, tenant_id, found_ids)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request to a carrier to send a text."""

    at: datetime
    outcome: str
    http_status: int | None
    duration_ms: int | None
    detail: str | None


LIST_ATTEMPTS_SQL = """
SELECT at, outcome, http_status, duration_ms, detail FROM attempts
WHERE tenant_id = $1 AND message_id = $2 ORDER BY attempt
"""


async def list_attempts(read: ReadTx, tenant_id: str, message_id: str) -> list[Attempt]:
    """The attempts to send a text, oldest first."""
    return await read.fetch(Attempt, LIST_ATTEMPTS_SQL, tenant_id, message_id)


@dataclass(frozen=True, slots=True)
class Bulk:
    """A bulk send."""

    bulk_id: str
    accepted: int
    refused: int
    created_at: datetime
    statuses: dict[str, int]
    """How many of its texts have each status."""


GET_BULK_SQL = """
SELECT b.bulk_id, b.accepted, b.refused, b.created_at, coalesce((SELECT jsonb_object_agg(status, texts) FROM (
           SELECT m.status, count(*) AS texts FROM messages m
           WHERE m.tenant_id = b.tenant_id AND m.bulk_id = b.bulk_id GROUP BY m.status) s),
       '{}') AS statuses
FROM bulks b WHERE b.tenant_id = $1 AND b.bulk_id = $2
"""


async def get_bulk(read: ReadTx, tenant_id: str, bulk_id: str) -> Bulk | None:
    return await read.fetch_one(Bulk, GET_BULK_SQL, tenant_id, bulk_id)


FIND_LINKED_IDS_SQL = """
SELECT provider_message_id FROM messages
WHERE tenant_id = $1 AND account_id = $2 AND provider_message_id = ANY ($3) AND message_id <> $4
"""


async def find_linked_ids(
    read: ReadTx, tenant_id: str, account_id: str, ids: Sequence[str], except_message_id: str
) -> set[str]:
    """Which of the carrier's ids belong to one of our texts other than `except_message_id`."""
    rows = await read.fetch_rows(FIND_LINKED_IDS_SQL, tenant_id, account_id, list(ids), except_message_id)
    return {row["provider_message_id"] for row in rows}
