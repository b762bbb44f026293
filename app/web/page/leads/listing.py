"""The list of leads."""

from collections.abc import Sequence

from fastapi import APIRouter
from starlette.responses import Response

from app.domain.problems import Invalid
from app.store import lead_choices, lead_lists
from app.store import page as store
from app.store.engine import ReadTx
from app.store.schema import Lead
from app.web.page.leads.lead_filter import LeadListFilter, LeadListFilterQuery
from app.web.page.page_request import PageGet, PageRequest
from app.web.paging import PageParams, PageQuery

router = APIRouter(prefix="/leads", include_in_schema=False)
DONE_MESSAGES = {"removed": "The lead was removed.", "erased": "The lead was erased, with its conversations."}


@router.get("")
async def show_leads(page: PageGet, list_filter: LeadListFilterQuery, page_query: PageParams) -> Response:
    async with page.resources.database.read_tx(page.tenant_id) as read:
        rows, fault = await _list_rows(page, read, list_filter, page_query)
        page_rows, cursor = page_query.cut_page(rows, lambda lead: [lead.lead_id])
        choices = await lead_choices.get_many(read, page.tenant_id, [lead.lead_id for lead in page_rows])
        campaigns = (await store.get_choices(read, page.tenant_id)).campaigns
        tags = await lead_lists.list_recent_tags(read, page.tenant_id)
    return page.render_page(
        "leads/list",
        400 if fault else 200,
        rows=[(lead, choices[lead.lead_id]) for lead in page_rows],
        cursor=cursor,
        is_first=page_query.after is None,
        asked=list_filter,
        fault=fault,
        campaigns=campaigns,
        tags=tags,
        done=DONE_MESSAGES.get(page.request.query_params.get("done", "")),
    )


async def _list_rows(
    page: PageRequest, read: ReadTx, list_filter: LeadListFilter, page_query: PageQuery
) -> tuple[Sequence[Lead], str | None]:
    """The leads, or in words what is wrong with the filter."""
    try:
        filters = list_filter.build_filter()
    except Invalid:
        return [], "The name of a custom field is one word: letters, digits and underscores."
    below, limit = page_query.get_id_below(), page_query.fetch_limit
    return await lead_lists.list_page(read, page.tenant_id, filters, below, limit), None
