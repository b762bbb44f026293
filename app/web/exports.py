"""Exports of a whole thread or a whole lead, as JSON or CSV."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from app.commands import consent as consents
from app.commands.directory import require_found
from app.domain.spreadsheets import guard_value
from app.domain.transcripts import Entry, format_time
from app.store import directory, interactions, lead_answers
from app.store.engine import ReadTx
from app.store.interactions import Message, Thread
from app.store.lead_answers import RecordedAnswer
from app.store.schema import Lead
from app.web.csv_answers import build_csv_answer, describe_csv
from app.web.dependencies import ReadCaller, TenantRead
from app.web.directory.consent import ConsentShape
from app.web.directory.consent import build_answer as consent_shape
from app.web.directory.leads import LeadShape
from app.web.directory.leads import build_shape as build_lead_shape
from app.web.envelope import Answer, Out
from app.web.interaction_shapes import (
    InteractionShape,
    StatusStepShape,
    build_noted_entry,
    build_summary,
    get_status_history,
)
from app.web.interactions import find_interaction

router = APIRouter(prefix="/api/v1")
Format = Annotated[Literal["json", "csv"], Query(alias="format")]
CSV_RESPONSES = describe_csv("one row per text")
TEXTS_PER_QUERY = 1000
CSV_COLUMNS = (
    "interactionId",
    "timestamp",
    "role",
    "source",
    "by",
    "from",
    "to",
    "message",
    "media",
    "status",
    "errorCode",
    "messageId",
)


class Exported(Entry):
    by: str | None
    """The person or API key that wrote the text."""
    fromPhone: str | None
    toPhone: str | None
    errorCode: str | None


class ThreadExport(Out):
    interaction: InteractionShape
    status_history: list[StatusStepShape]
    messages: list[Exported]


class LeadExport(Out):
    lead: LeadShape
    answers: list[RecordedAnswer]
    """Every answer to a question of the questionnaire, oldest first."""
    consent: ConsentShape | None
    """Null if the lead has no phone."""
    interactions: list[ThreadExport]


@router.get(
    "/interactions/{interaction_id}/export",
    response_model=Answer[ThreadExport],
    responses=CSV_RESPONSES,
    tags=["Interactions"],
    summary="A thread with all its texts, as JSON or CSV",
)
async def export_interaction(
    interaction_id: str, caller: ReadCaller, read: TenantRead, file_format: Format = "json"
) -> Any:
    """Includes notes. Leaves out scheduled texts and texts held for quiet hours."""
    found_thread = await find_interaction(read, caller, interaction_id)
    texts = await _get_texts(read, found_thread)
    if file_format == "csv":
        return _build_csv(f"{interaction_id}.csv", texts)
    return Answer(data=await _build_thread_export(read, found_thread, texts))


@router.get(
    "/leads/{lead_id}/export",
    response_model=Answer[LeadExport],
    responses=CSV_RESPONSES,
    tags=["Leads"],
    summary="A lead with its consent and all its threads, as JSON or CSV",
)
async def export_lead(lead_id: str, caller: ReadCaller, read: TenantRead, file_format: Format = "json") -> Any:
    """Everything stored about the lead. The CSV has the texts of all its threads."""
    current_lead = require_found(await directory.get(read, Lead, caller.tenant_id, lead_id))
    threads = await interactions.list_of_lead(read, caller.tenant_id, lead_id)
    texts = [await _get_texts(read, thread) for thread in threads]
    if file_format == "csv":
        return _build_csv(f"{lead_id}.csv", [text for thread in texts for text in thread])
    consent = None
    if current_lead.phone:
        consent = consent_shape(await consents.get_consent(read, caller.tenant_id, current_lead.phone))
    return Answer(
        data=LeadExport(
            lead=await build_lead_shape(read, current_lead),
            answers=await lead_answers.list_of_lead(read, caller.tenant_id, lead_id),
            consent=consent.data if consent else None,
            interactions=[
                await _build_thread_export(read, *thread_and_texts)
                for thread_and_texts in zip(threads, texts, strict=True)
            ],
        )
    )


async def _get_texts(read: ReadTx, thread: Thread) -> list[Message]:
    texts: list[Message] = []
    page: Sequence[Message] | None = None
    while page is None or len(page) == TEXTS_PER_QUERY:
        after = page[-1].seq if page else None
        page = await interactions.get_transcript_page(read, *thread.key, after, None, TEXTS_PER_QUERY)
        texts += page
    return texts


async def _build_thread_export(read: ReadTx, thread: Thread, texts: Iterable[Message]) -> ThreadExport:
    return ThreadExport(
        interaction=InteractionShape(**build_summary(thread)),
        status_history=await get_status_history(read, thread),
        messages=[
            {
                **build_noted_entry(text),
                "by": text.actor,
                "fromPhone": text.from_phone,
                "toPhone": text.to_phone,
                "errorCode": text.error_code,
            }
            for text in texts
        ],
    )


def _build_csv(name: str, texts: Iterable[Message]) -> Response:
    return build_csv_answer(name, CSV_COLUMNS, map(_list_values, texts))


def _list_values(text: Message) -> list[object]:
    text_entry = build_noted_entry(text)
    values = (
        text.interaction_id,
        format_time(text.created_at),
        text_entry["role"],
        text_entry["source"],
        text.actor,
        text.from_phone,
        text.to_phone,
        text_entry["message"],
        " ".join(attachment["url"] for attachment in text_entry["media"]),
        text_entry["status"],
        text.error_code,
        text_entry["messageId"],
    )
    return ["" if value is None else guard_value(value) for value in values]
