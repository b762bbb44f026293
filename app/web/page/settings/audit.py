"""The audit of the settings, newest first."""

import json
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from app.store import audit
from app.store.audit import AuditFilter
from app.web.directory.audit import build_shape
from app.web.page.settings.admin_request import AdminGet
from app.web.paging import PageParams

router = APIRouter(prefix="/settings/audit", include_in_schema=False)
SUBJECT_WORDS = {
    "settings": "the general settings",
    "account": "the account",
    "number": "the number",
    "agent": "the agent",
    "experiment": "the A/B test",
    "campaign": "the campaign",
    "cannedReply": "the canned reply",
    "endpoint": "the webhook endpoint",
    "key": "the API key",
    "person": "the person",
    "corpus": "the corpus",
    "trial": "the trial",
}


@router.get("")
async def show_audit(admin: AdminGet, page_query: PageParams) -> Response:
    key = page_query.get_key(int)
    below = key[0] if key else None
    changes = await admin.run_read(
        lambda read: audit.list_page(read, admin.tenant_id, AuditFilter(), below, page_query.fetch_limit)
    )
    page_changes, cursor = page_query.cut_page(changes, lambda change: [change.audit_id])
    return admin.show_page(
        "audit",
        "audit",
        changes=[build_shape(change) for change in page_changes],
        cursor=cursor,
        subject_words=SUBJECT_WORDS,
        format_value=format_value,
    )


def format_value(value: Any) -> str:
    """The value for people: plain text and numbers as they are, a list of them with commas, anything else as JSON."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case []:
            return "none"
        case [*parts] if all(isinstance(part, str | int) for part in parts):
            return ", ".join(map(str, parts))
        case _:
            return json.dumps(value, ensure_ascii=False)
