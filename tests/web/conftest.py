"""People at the page."""

from collections.abc import AsyncIterator

import pytest

from app.resources import Resources
from tests.makers import Tenant
from tests.service import Api
from tests.web.people import Browser, add_person, browser
from tests.world import agent, carrier, idle_world, working, world

__all__ = ["agent", "carrier", "idle_world", "working", "world"]
EMAIL = "sam@example.com"


@pytest.fixture
async def stranger(api: Api) -> AsyncIterator[Browser]:
    """A browser in which nobody is signed in."""
    one = browser(api.url)
    yield one
    await one.http.aclose()


@pytest.fixture
async def sam(resources: Resources, tenant: Tenant, stranger: Browser) -> Browser:
    """A browser in which Sam, of the tenant, is signed in."""
    await add_person(resources, tenant.tenant_id, EMAIL)
    await stranger.enter(resources, EMAIL)
    return stranger
