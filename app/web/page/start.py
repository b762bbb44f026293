"""The first steps of a new tenant, each with its state as it follows from what is there."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from app.access.sessions import Person
from app.resources import Resources
from app.store import first_steps
from app.store.engine import ReadTx
from app.web.page.settings.accounts import describe_reach_fault
from app.web.page.settings.admin_request import AdminGet

router = APIRouter(include_in_schema=False)
TRIAL_PHONE = "+1 212-555-1234"
"""A phone that the simulated carrier takes for anybody's."""


async def build_context(read: ReadTx, resources: Resources, person: Person) -> dict[str, Any]:
    """What parts/first_steps.html needs; `steps` is None for who cannot take them."""
    steps = await first_steps.get(read, person.tenant_id) if person.admin else None
    return {
        "steps": steps,
        "trial_phone": TRIAL_PHONE,
        "reach_fault": describe_reach_fault(resources, steps.provider or "") if steps else None,
        "has_simulator": resources.settings.has_simulator,
    }


@router.get("/start")
async def show_first_steps(page: AdminGet) -> Response:
    context = await page.run_read(lambda read: build_context(read, page.resources, page.person))
    return page.render_page("start", **context)
