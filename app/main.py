"""The web process, put together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI

from app.access.keys import Keyring
from app.resources import Resources, opened
from app.settings import Settings
from app.web import docs, health, idempotency, interactions, problems, sms, turns, webhooks
from app.web.directory import (
    api_keys,
    campaigns,
    dnc,
    leads,
    phone_numbers,
    provider_accounts,
    sms_agents,
)
from app.web.directory import (
    settings as tenant_settings,
)
from app.web.envelope import Refusal
from app.web.limits import Edge

ROUTERS: tuple[APIRouter, ...] = (
    sms.router,
    interactions.router,
    turns.router,
    leads.router,
    dnc.router,
    campaigns.router,
    provider_accounts.router,
    phone_numbers.router,
    sms_agents.router,
    api_keys.router,
    tenant_settings.router,
    webhooks.router,
    health.router,
    docs.router,
)
ABOUT = "SMS conversations between organizations and their leads."


def build(settings: Settings, resources: Resources | None = None) -> FastAPI:
    """The application. Resources that are given stay open after it; else it opens its own."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            held = resources
            if held is None:
                held = await stack.enter_async_context(opened(settings))
            app.state.resources = held
            app.state.keyring = ring = Keyring(held.database)
            stack.push_async_callback(ring.close)
            yield

    app = FastAPI(
        title="LeadSail SMS",
        version="1",
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses={"default": {"model": Refusal, "description": "Refused; `code` says why."}},
        generate_unique_id_function=_operation,
    )
    app.state.page_problem = None
    problems.install(app)
    app.add_exception_handler(idempotency.Replayed, idempotency.replay)
    app.add_middleware(Edge, https_only=settings.production)
    for router in ROUTERS:
        app.include_router(router)
    if assets := docs.assets():
        app.router.routes.append(assets)
    return app


def _operation(route: Any) -> str:
    """Operation ids as the routes' own names, the file's in front: unique and readable."""
    file = route.endpoint.__module__.rpartition(".")[2]
    return f"{file}-{route.name}".replace("_", "-")
