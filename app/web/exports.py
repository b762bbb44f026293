"""Exports: a thread or a lead, whole, as JSON or as CSV."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from app.commands import consent as consents
from app.commands.directory import found
from app.domain.cells import guarded
from app.domain.transcripts import entry, instant
from app.store import interactions, leads
from app.store.engine import Read, Row
from app.web.directory.consent import ConsentShape
from app.web.directory.consent import shape as consent_shape
from app.web.directory.leads import LeadShape
from app.web.doors import ReadCaller, TenantRead
from app.web.envelope import Answer, Out
from app.web.interactions import Entry, InteractionShape, find, summary

router = APIRouter(prefix="/api/v1")
Format = Annotated[Literal["json", "csv"], Query(alias="format")]
CSV: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/csv": {"schema": {"type": "string", "description": "With `format=csv`: a row for each text."}}
        }
    }
}
AT_ONCE = 1000
COLUMNS = (
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
    """The person or key that wrote it."""
    from_phone: str | None
    to_phone: str | None
    error_code: str | None


class ThreadExport(Out):
    interaction: InteractionShape
    messages: list[Exported]


class LeadExport(Out):
    lead: LeadShape
    consent: ConsentShape | None
    """None: the lead has no phone."""
    interactions: list[ThreadExport]


@router.get(
    "/interactions/{interaction_id}/export",
    response_model=Answer[ThreadExport],
    responses=CSV,
    tags=["Interactions"],
    summary="A thread with every text in it, as JSON or CSV",
)
async def thread(interaction_id: str, caller: ReadCaller, read: TenantRead, wanted: Format = "json") -> Any:
    """Notes included; what waits for its time is not."""
    row = await find(read, caller, interaction_id)
    texts = await _texts(read, row)
    if wanted == "csv":
        return _file(f"{interaction_id}.csv", texts)
    return Answer(data=_shape(row, texts))


@router.get(
    "/leads/{lead_id}/export",
    response_model=Answer[LeadExport],
    responses=CSV,
    tags=["Leads"],
    summary="A lead with its consent and all its threads, as JSON or CSV",
)
async def lead(lead_id: str, caller: ReadCaller, read: TenantRead, wanted: Format = "json") -> Any:
    """All that is known of it. CSV: the texts of all its threads."""
    known = found(await leads.get(read, caller.tenant_id, lead_id))
    rows = await interactions.of_lead(read, caller.tenant_id, lead_id)
    texts = [await _texts(read, row) for row in rows]
    if wanted == "csv":
        return _file(f"{lead_id}.csv", [text for thread in texts for text in thread])
    consent = None
    if known["phone"]:
        consent = consent_shape(await consents.of_phone(read, caller.tenant_id, known["phone"]))
    return Answer(
        data=LeadExport(
            lead=LeadShape.model_validate(known),
            consent=consent.data if consent else None,
            interactions=[_shape(*one) for one in zip(rows, texts, strict=True)],
        )
    )


async def _texts(read: Read, thread: Row) -> list[Row]:
    texts: list[Row] = []
    page: Sequence[Row] | None = None
    while page is None or len(page) == AT_ONCE:
        after = page[-1]["seq"] if page else None
        key = (thread["tenant_id"], thread["interaction_id"])
        page = await interactions.page(read, *key, after, None, AT_ONCE)
        texts += page
    return texts


def _shape(thread: Row, texts: Iterable[Row]) -> ThreadExport:
    return ThreadExport(
        interaction=InteractionShape.model_validate(summary(thread)),
        messages=[
            Exported.model_validate(
                {
                    **entry(text),
                    "by": text["actor"],
                    "fromPhone": text["from_phone"],
                    "toPhone": text["to_phone"],
                    "errorCode": text["error_code"],
                }
            )
            for text in texts
        ],
    )


def _file(name: str, texts: Iterable[Row]) -> Response:
    written = io.StringIO(newline="")
    table = csv.writer(written)
    table.writerow(COLUMNS)
    for text in texts:
        told = entry(text)
        cells = (
            text["interaction_id"],
            instant(text["created_at"]),
            told["role"],
            told["source"],
            text["actor"],
            text["from_phone"],
            text["to_phone"],
            told["message"],
            " ".join(one["url"] for one in told["media"]),
            told["status"],
            text["error_code"],
            told["messageId"],
        )
        table.writerow(["" if cell is None else guarded(cell) for cell in cells])
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(written.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)
