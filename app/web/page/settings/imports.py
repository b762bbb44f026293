"""Imports: a file is uploaded, shown as it would be read, checked, and imported by a worker."""

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Literal, cast, get_args

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from app.access import sessions
from app.commands import imports as commands
from app.commands.directory import require_found
from app.commands.imports import OPEN_STATES, RUNNING_STATES, ImportPlan
from app.domain.problems import Forbidden, Invalid, NotFound, Problem
from app.domain.words import ImportKind
from app.imports.columns import CUSTOM_COLUMN
from app.imports.csv_files import UnreadableFile
from app.imports.rows import FileKind, lead_rows, suppression_rows
from app.store import directory, imports
from app.store.engine import ReadTx, Tx
from app.store.schema import Import
from app.web.dependencies import AppResources
from app.web.directory.leads import parse_row
from app.web.limits import IMPORT_PATH, MAX_IMPORT_BYTES
from app.web.page import times
from app.web.page.dependencies import OUTDATED_FORM, Admin, SameOrigin, Token
from app.web.page.settings import choices, import_report
from app.web.page.settings.admin_request import AdminGet, AdminPost, AdminRequest, Item, redirect_back
from app.web.page.settings.import_preview import FIELDS_BY_KIND, judge_head, read_head
from app.web.paging import PageParams

PART_BYTES = 1 << 20
MAX_FILE_NAME_LENGTH = 200
SHOWN_REFUSALS = 20
KIND_NAMES: dict[ImportKind, str] = {"leads": "Leads", "suppressions": "Phones that opted out"}
STATE_BADGES = {
    "new": ("off", "Not imported"),
    "checking": ("agent", "Being checked"),
    "checked": ("off", "Checked"),
    "importing": ("agent", "Being imported"),
    "done": ("on", "Imported"),
    "stopped": ("stopped", "Stopped"),
    "failed": ("failed", "Failed"),
}
router = APIRouter(prefix=IMPORT_PATH, include_in_schema=False)


async def require_admin_upload(
    _: Annotated[None, SameOrigin], request: Request, person: Admin, token: Token, resources: AppResources
) -> AdminRequest:
    """As `require_admin_post`, before the body is read: nobody else may send a file. The form's token is
    in the body, and checked by `_read_upload`."""
    return AdminRequest(request, person, token, resources)


AdminUpload = Annotated[AdminRequest, Depends(require_admin_upload)]


@router.get("")
async def show_imports(admin: AdminGet, page_query: PageParams) -> Response:
    return await _render_list(admin, page_query)


@router.post("")
async def upload(admin: AdminUpload, page_query: PageParams) -> Response:
    async with admin.request.form(max_files=1, max_fields=4) as form:
        if not sessions.csrf_matches(admin.token, str(form.get("csrf", ""))):
            raise Forbidden(OUTDATED_FORM)
        try:
            import_id = await _store_upload(admin, form)
        except (Problem, UnreadableFile) as problem:
            return await _render_list(admin, page_query, problem, str(form.get("kind", "leads")))
    return RedirectResponse(f"{IMPORT_PATH}/{import_id}", 303)


async def _render_list(
    admin: AdminRequest, page_query: PageParams, problem: Exception | None = None, kind: str = "leads"
) -> Response:
    rows = await admin.run_read(
        lambda read: directory.list_page(
            read, Import, admin.tenant_id, page_query.get_id_below(), page_query.fetch_limit
        )
    )
    page_rows, cursor = page_query.cut_page(rows, lambda row: [row.import_id])
    zone = times.get_zone(admin.request)
    items = [
        Item(
            row.import_id,
            row.file_name,
            [KIND_NAMES[cast(ImportKind, row.kind)], times.format_when(row.created_at, zone), _summarize(row)],
            [STATE_BADGES[row.state]],
        )
        for row in page_rows
    ]
    fault = f"The file cannot be read: {problem}." if isinstance(problem, UnreadableFile) else None
    if isinstance(problem, Problem):
        fault = problem.reason
    return admin.show_page(
        "imports",
        "imports",
        400 if problem else 200,
        items=items,
        cursor=cursor,
        kinds=KIND_NAMES,
        kind=kind,
        fault=fault,
        max_megabytes=MAX_IMPORT_BYTES >> 20,
    )


def _summarize(row: Import) -> str:
    counts = [(row.added, "added"), (row.changed, "changed"), (row.refused, "refused")]
    return ", ".join(f"{count:,} {word}" for count, word in counts if count)


async def _store_upload(admin: AdminRequest, form: FormData) -> str:
    """Returns the id of the import. Raises `Invalid`, `UnreadableFile`."""
    file, kind = form.get("file"), form.get("kind")
    if not isinstance(file, UploadFile) or not file.size:
        raise Invalid(details=["Choose a file that is not empty."])
    if kind not in get_args(ImportKind):
        raise Invalid(details=["Choose what the file has."])
    head = read_head(await file.read(PART_BYTES), is_whole=file.size <= PART_BYTES)
    await file.seek(0)
    name = "".join(c for c in file.filename or "" if c.isprintable())[-MAX_FILE_NAME_LENGTH:] or "file.csv"
    plan = ImportPlan(head.guess_columns(cast(ImportKind, kind)))
    async with admin.resources.database.tenant_tx(admin.tenant_id) as tx:
        row = await commands.upload(tx, admin.caller, cast(ImportKind, kind), name, file.size, _read_parts(file), plan)
    return str(row.import_id)


async def _read_parts(file: UploadFile) -> AsyncIterator[bytes]:
    while part := await file.read(PART_BYTES):
        yield part


@router.get("/{import_id}")
async def show_import(admin: AdminGet, import_id: str) -> Response:
    return await _render_import(admin, import_id)


async def _render_import(admin: AdminRequest, import_id: str, problem: Problem | None = None) -> Response:
    async with admin.resources.database.read_tx(admin.tenant_id) as read:
        row = require_found(await directory.get(read, Import, admin.tenant_id, import_id))
        preview = await _build_preview(read, admin, row) if row.state in OPEN_STATES else None
        refusals = await imports.list_refusals(read, admin.tenant_id, import_id, None, SHOWN_REFUSALS)
        campaigns = await choices.list_campaigns(read, admin.tenant_id) if row.kind == "leads" else []
    kind = cast(ImportKind, row.kind)
    fields = preview["head"].list_fields(kind) if preview else FIELDS_BY_KIND[kind]
    return admin.show_page(
        "import",
        "imports",
        problem.status if problem else 200,
        row=row,
        counts=import_report.build_counts(row),
        badge=STATE_BADGES[row.state],
        kind_name=KIND_NAMES[cast(ImportKind, row.kind)],
        fields=fields,
        campaigns=campaigns,
        preview=preview,
        refusals=refusals,
        is_running=row.state in RUNNING_STATES,
        share=min(100, round(100 * row.read_bytes / row.size)),
        problem=problem,
        here=f"{IMPORT_PATH}/{import_id}",
    )


async def _build_preview(read: ReadTx, admin: AdminRequest, row: Import) -> Mapping[str, Any] | None:
    """None: the file was deleted, because nobody imported it in time."""
    content = await imports.get_part(read, admin.tenant_id, row.import_id, 0)
    if content is None:
        return None
    head = read_head(content, is_whole=len(content) == row.size)
    rows = await judge_head(read, head, _build_kind(admin, row), row.columns) if "phone" in row.columns else []
    return {"head": head, "rows": rows, "columns": [column for column in row.columns if column]}


def _build_kind(admin: AdminRequest, row: Import) -> FileKind[Any]:
    if row.kind == "leads":
        return lead_rows(admin.caller, row.campaign_id, parse_row)
    return suppression_rows(admin.caller, row.reason)


Action = Annotated[Literal["preview", "check", "import"], Form()]


@router.post("/{import_id}")
async def change_import(
    admin: AdminPost,
    import_id: str,
    action: Action = "preview",
    campaign: Annotated[str, Form(max_length=64)] = "",
    reason: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Sets what the columns mean, and shows the rows again, or lets a worker check or import them all."""

    async def work(tx: Tx) -> None:
        row = require_found(await directory.get(tx, Import, admin.tenant_id, import_id))
        columns = _read_columns(await admin.request.form(), row)
        plan = ImportPlan(columns, campaign or None, reason.strip() or None)
        await commands.change(tx, admin.caller, import_id, plan)
        if action != "preview":
            await commands.start(tx, admin.caller, import_id, is_check=action == "check")

    try:
        await admin.run_change(work)
    except NotFound:
        raise
    except Problem as problem:
        return await _render_import(admin, import_id, problem)
    return RedirectResponse(f"{IMPORT_PATH}/{import_id}{'#rows' if action == 'preview' else ''}", 303)


def _read_columns(form: FormData, row: Import) -> list[str]:
    """The field of each column; one that the form does not have stays. Raises `Invalid`."""
    columns = [str(form.get(f"column.{i}", column)) for i, column in enumerate(row.columns)]
    is_custom = CUSTOM_COLUMN.fullmatch if row.kind == "leads" else lambda _: None
    if not {c for c in columns if not is_custom(c)} <= {"", *FIELDS_BY_KIND[cast(ImportKind, row.kind)]}:
        raise Invalid(details=["A column cannot be that."])
    return columns


@router.post("/{import_id}/stop")
async def stop_import(admin: AdminPost, import_id: str) -> Response:
    await admin.run_change(lambda tx: commands.stop(tx, admin.caller, import_id))
    return RedirectResponse(f"{IMPORT_PATH}/{import_id}", 303)


@router.post("/{import_id}/remove")
async def remove_import(admin: AdminPost, import_id: str) -> Response:
    try:
        await admin.run_change(lambda tx: commands.remove(tx, admin.caller, import_id))
    except commands.ImportMoved as problem:
        return await _render_import(admin, import_id, problem)
    return redirect_back("imports", "removed")


@router.get("/{import_id}/report")
async def download_report(
    admin: AdminGet, import_id: str, file_format: Annotated[Literal["csv", "json"], Query(alias="format")] = "csv"
) -> Response:
    row = await admin.run_read(lambda read: directory.get(read, Import, admin.tenant_id, import_id))
    return import_report.build_answer(admin.resources.database, require_found(row), file_format)
