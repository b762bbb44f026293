"""The audit of a tenant's settings: who changed what, from what to what. Triggers on the tables write it, so no way
of changing them can forget it; transactions tell them who it is (docs/decisions/0036-triggers-write-the-audit.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from app.store.actors import actor_name_sql
from app.store.engine import ReadTx, Tx

AuditSubject = Literal[
    "settings", "account", "number", "agent", "experiment", "campaign", "cannedReply", "endpoint", "key", "person",
    "corpus", "trial",
]  # fmt: skip
AuditAction = Literal["added", "changed", "removed"]


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """None: no limit. Times are half-open."""

    start: datetime | None = None
    end: datetime | None = None
    actor: str | None = None
    subjects: Sequence[AuditSubject] | None = None
    subject_id: str | None = None


@dataclass(frozen=True, slots=True)
class ListedChange:
    """A change of the tenant's settings. `changes`: `[{"field", "from", "to"}]`, fields by column name."""

    audit_id: int
    at: datetime
    actor: str
    actor_name: str | None
    action: AuditAction
    subject: AuditSubject
    subject_id: str
    subject_name: str | None
    """Its present name; None: it is gone, or has none."""
    changes: list[dict[str, Any]]


NAME_COLUMNS = {
    "account": ("provider_accounts", "account_id", "name"),
    "number": ("phone_numbers", "phone_number_id", "phone_number"),
    "agent": ("sms_agents", "sms_agent_id", "name"),
    "experiment": ("experiments", "experiment_id", "name"),
    "campaign": ("campaigns", "campaign_id", "name"),
    "cannedReply": ("canned_replies", "canned_reply_id", "title"),
    "endpoint": ("webhook_endpoints", "endpoint_id", "url"),
    "key": ("api_keys", "key_id", "name"),
    "person": ("users", "user_id", "email"),
    "corpus": ("corpora", "corpus_id", "name"),
}
"""By subject: its table, the column of its id, and that of its name."""
NAME_CASES_SQL = "\n".join(
    f"WHEN '{subject}' THEN (SELECT x.{name} FROM {table} x WHERE x.tenant_id = h.tenant_id AND x.{id} = h.subject_id)"
    for subject, (table, id, name) in NAME_COLUMNS.items()
)
LIST_CHANGES_SQL = f"""
SELECT h.audit_id, h.at, h.actor, {actor_name_sql("h")} AS actor_name, h.action, h.subject, h.subject_id,
       CASE h.subject {NAME_CASES_SQL} END AS subject_name, h.changes
FROM audit_entries h
WHERE h.tenant_id = $1 AND ($2::bigint IS NULL OR h.audit_id < $2)
  AND ($3::timestamptz IS NULL OR h.at >= $3) AND ($4::timestamptz IS NULL OR h.at < $4)
  AND ($5::text IS NULL OR h.actor = $5) AND ($6::text[] IS NULL OR h.subject = ANY ($6))
  AND ($7::text IS NULL OR h.subject_id = $7)
ORDER BY h.audit_id DESC LIMIT $8
"""


async def list_page(
    read: ReadTx, tenant_id: str, filters: AuditFilter, below: int | None, limit: int
) -> list[ListedChange]:
    """Up to `limit` changes with ids below `below` (None: any), newest first."""
    subjects = None if filters.subjects is None else list(filters.subjects)
    return await read.fetch(
        ListedChange,
        LIST_CHANGES_SQL,
        tenant_id,
        below,
        filters.start,
        filters.end,
        filters.actor,
        subjects,
        filters.subject_id,
        limit,
    )


NAME_AUTHOR_SQL = "SELECT set_config('app.actor', $1, true)"


async def name_author(tx: Tx, author: str) -> None:
    """Who makes the changes of this transaction; `Database.tenant_tx` takes it as an argument."""
    await tx.execute(NAME_AUTHOR_SQL, author)


SWITCH_OFF_SQL = "SELECT set_config('app.audit', 'off', true)"


SWITCH_ON_SQL = "SELECT set_config('app.audit', '', true)"


async def switch_on(tx: Tx) -> None:
    """What this transaction writes from now on may change settings again."""
    await tx.execute(SWITCH_ON_SQL)


async def switch_off(tx: Tx) -> None:
    """What this transaction writes changes no setting: a secret is only stored in another form."""
    await tx.execute(SWITCH_OFF_SQL)
