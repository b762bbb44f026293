"""Regular clean-ups, which arq's crons run. Only ids and counts are in Redis."""

from collections import Counter
from datetime import timedelta
from typing import Any

import structlog

from app.settings import Settings
from app.store import sweeping
from app.store.engine import Database

log = structlog.get_logger("sweeps")


async def prune(ctx: dict[Any, Any], *_: Any, **__: Any) -> None:
    """Deletes old rows in small steps."""
    database: Database = ctx["database"]
    settings: Settings = ctx["settings"]
    removed_rows: Counter[str] = Counter()
    retention = {
        "tenant_events": timedelta(days=settings.keep_events_days),
        "webhook_deliveries": timedelta(days=settings.keep_attempts_days),
        "attempts": timedelta(days=settings.keep_attempts_days),
        "turn_attempts": timedelta(days=settings.keep_attempts_days),
        "uploads": timedelta(days=settings.keep_uploads_days),
        "audit_entries": timedelta(days=settings.keep_audit_days),
    }
    async for table, rows in sweeping.prune(database, retention):
        removed_rows[table] += rows
    log.info("old rows were deleted", **removed_rows)
