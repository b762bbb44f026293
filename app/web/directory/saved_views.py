"""Saved views: filters of the Conversations page's list under a name."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from app.commands import saved_views as commands
from app.commands.directory import require_found
from app.domain.words import InteractionStatus, View
from app.store import directory
from app.store.engine import Tx
from app.store.schema import SavedView
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TenantTx
from app.web.directory import Deleted, list_rows
from app.web.envelope import Answer, AnyId, Body, Line, Name, Out
from app.web.idempotency import Idempotent
from app.web.paging import PageParams
from app.web.versions import VersionedRoute, guarded_by, lock_row_of

router = APIRouter(prefix="/api/v1/saved-views", route_class=VersionedRoute, tags=["Saved views"])
Values = Annotated[list[Line], Field(max_length=100)]
Day = Annotated[str, Field(max_length=10)]


class ViewFilter(Body):
    """What the page's list is narrowed by; the names are those of its address."""

    view: View | None = None
    assigned: AnyId | None = None
    """A person's id, or `nobody`."""
    search: Annotated[str, Field(max_length=100)] | None = None
    within: Literal["messages"] | None = None
    """The search looks at the texts."""
    campaign: Values | None = None
    client: Values | None = None
    offer: Values | None = None
    status: list[InteractionStatus] | None = None
    range: Literal["today", "yesterday", "7d", "14d", "30d", "90d", "custom"] | None = None
    """`custom`: from `start` to `end`."""
    start: Day | None = None
    end: Day | None = None
    unread: Literal["1"] | None = None


class NewView(Body):
    name: Name
    filter: ViewFilter
    person_id: AnyId | None = None
    """Whose view it is; null: everybody's."""


class ViewChange(Body):
    name: Name | None = None
    filter: ViewFilter | None = None


class SavedViewShape(Out):
    saved_view_id: str
    person_id: str | None
    """Null: everybody's."""
    name: str
    filter: ViewFilter
    created_at: datetime
    updated_at: datetime


class SavedViews(Out):
    saved_views: list[SavedViewShape]
    next_cursor: str | None
    has_more: bool


def _build_shape(row: SavedView) -> SavedViewShape:
    return SavedViewShape.of(row, person_id=row.user_id, filter=ViewFilter.model_validate(row.filter))


def _build_fields(body: NewView | ViewChange) -> dict[str, Any]:
    fields = body.get_named_fields()
    if body.filter is not None:
        fields["filter"] = body.filter.model_dump(exclude_none=True)
    if "person_id" in fields:
        fields["user_id"] = fields.pop("person_id")
    return fields


@router.post("", status_code=201, summary="Add a saved view")
async def add_saved_view(
    body: NewView, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent
) -> Answer[SavedViewShape]:
    view = await commands.add(tx, caller, _build_fields(body))
    return await idempotency.store_answer(Answer(data=_build_shape(view)))


@router.get("", summary="Saved views of everybody and of each person, newest first")
async def list_saved_views(caller: ReadCaller, read: TenantRead, page_query: PageParams) -> Answer[SavedViews]:
    return await list_rows(read, caller, page_query, SavedView, SavedViews, _build_shape)


@router.get("/{saved_view_id}", summary="One saved view")
async def get_saved_view(saved_view_id: str, caller: ReadCaller, read: TenantRead) -> Answer[SavedViewShape]:
    view = require_found(await directory.get(read, SavedView, caller.tenant_id, saved_view_id))
    return Answer(data=_build_shape(view))


ViewTx = Annotated[Tx, guarded_by(get_saved_view, lock_row_of(SavedView))]


@router.patch("/{saved_view_id}", summary="Change the given fields")
async def change_saved_view(
    saved_view_id: str, body: ViewChange, caller: ApiCaller, tx: ViewTx
) -> Answer[SavedViewShape]:
    view = await commands.change(tx, caller, saved_view_id, _build_fields(body))
    return Answer(data=_build_shape(view))


@router.delete("/{saved_view_id}", summary="Remove a saved view")
async def remove_saved_view(saved_view_id: str, caller: ApiCaller, tx: ViewTx) -> Answer[Deleted]:
    await commands.remove(tx, caller, saved_view_id)
    return Answer(data=Deleted())
