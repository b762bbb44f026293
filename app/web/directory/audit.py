"""The audit: who changed which setting, number, account, agent, A/B test, campaign, canned reply, webhook
endpoint, key, person, corpus or trial."""

from datetime import datetime
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Query
from pydantic import Field

from app.commands.directory import get_field_name
from app.domain.problems import Invalid
from app.store import audit
from app.store.audit import AuditAction, AuditFilter, AuditSubject, ListedChange
from app.web.dependencies import AdminCaller, TenantRead
from app.web.envelope import Answer, Out
from app.web.filters import EndDate, StartDate, Value, Values, parse_instant, split_values
from app.web.paging import PageParams, page_of

router = APIRouter(prefix="/api/v1/audit", tags=["Settings"])
SUBJECTS: tuple[AuditSubject, ...] = get_args(AuditSubject)
Actor = Annotated[Value | None, Query(max_length=100, description="As an entry has it, such as `person:user_…`.")]
SubjectId = Annotated[Value | None, Query(alias="subjectId", max_length=64)]


class FieldChange(Out):
    """Of a secret only `set` and `changed` are known."""

    field: str
    former_value: Annotated[Any, Field(alias="from")]
    new_value: Annotated[Any, Field(alias="to")]


class AuditShape(Out):
    audit_id: str
    at: datetime
    actor: str
    """`person:…`, `key:…`, or `service`: the command line, or the service itself."""
    actor_name: str | None
    """A person's e-mail, or a key's name."""
    action: AuditAction
    subject: AuditSubject
    subject_id: str
    subject_name: str | None
    """Its present name. Null: it is gone."""
    changes: list[FieldChange]


class AuditEntries(Out):
    audit: list[AuditShape]
    next_cursor: str | None
    has_more: bool


def build_shape(change: ListedChange) -> AuditShape:
    return AuditShape(
        audit_id=str(change.audit_id),
        at=change.at,
        actor=change.actor,
        actor_name=change.actor_name,
        action=change.action,
        subject=change.subject,
        subject_id=change.subject_id,
        subject_name=change.subject_name,
        changes=[
            FieldChange(field=get_field_name(item["field"]), former_value=item["from"], new_value=item["to"])
            for item in change.changes
        ],
    )


@router.get("", summary="Changes of settings, newest first")
async def list_audit_entries(
    caller: AdminCaller,
    read: TenantRead,
    page_query: PageParams,
    start_date: StartDate = None,
    end_date: EndDate = None,
    actor: Actor = None,
    subject: Values = None,
    subject_id: SubjectId = None,
) -> Answer[AuditEntries]:
    """`subject` may be repeated or comma-separated. Dates are half-open. Values of secrets are never
    recorded. Entries are kept for two years, unless the operator says otherwise."""
    filters = AuditFilter(
        start=parse_instant(start_date, "startDate"),
        end=parse_instant(end_date, "endDate"),
        actor=actor,
        subjects=_check_subjects(split_values(subject)),
        subject_id=subject_id,
    )
    key = page_query.get_key(int)
    changes = await audit.list_page(read, caller.tenant_id, filters, key[0] if key else None, page_query.fetch_limit)
    return page_of(AuditEntries, page_query, changes, lambda change: [change.audit_id], build_shape)


def _check_subjects(values: list[str] | None) -> list[AuditSubject] | None:
    known_values = [subject for subject in SUBJECTS if subject in (values or ())]
    if len(known_values) < len(set(values or ())):
        raise Invalid(details=[f"subject: must be one of {', '.join(SUBJECTS)}"])
    return known_values or None
