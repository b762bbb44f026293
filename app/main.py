"""The web process, put together."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp

from app.access.keys import Keyring
from app.domain.idempotency import Replayed
from app.resources import Resources, opened
from app.settings import Settings
from app.web import (
    agent_hook,
    described,
    docs,
    events,
    exports,
    guide,
    health,
    idempotency,
    interactions,
    metrics,
    presence,
    problems,
    sms,
    turns,
    webhooks,
)
from app.web.directory import (
    api_keys,
    campaigns,
    canned_replies,
    consent,
    dnc,
    leads,
    phone_numbers,
    provider_accounts,
    sms_agents,
    vendor,
)
from app.web.directory import (
    settings as tenant_settings,
)
from app.web.envelope import Refusal
from app.web.feed import Feed
from app.web.limits import Edge
from app.web.page import (
    account,
    conversations,
    doors,
    live,
    media,
    render,
    sign_in,
    system,
    turn,
    writes,
)
from app.web.page import settings as page_settings
from app.web.rates import Rates
from app.web.sends import Hot, gatherer

ROUTERS: tuple[APIRouter, ...] = (
    sms.router,
    interactions.router,
    exports.router,
    turns.router,
    events.router,
    leads.router,
    dnc.router,
    consent.router,
    campaigns.router,
    provider_accounts.router,
    vendor.router,
    phone_numbers.router,
    sms_agents.router,
    api_keys.router,
    canned_replies.router,
    tenant_settings.router,
    health.router,
    metrics.router,
    docs.router,
    guide.router,
    sign_in.router,
    account.router,
    system.router,
    *page_settings.ROUTERS,
    live.router,
    media.router,
    turn.router,
    conversations.router,
    writes.router,
)
ABOUT = """SMS conversations between organizations and their leads.

The [guide](/guide) explains sending, agents and carriers step by step."""


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
            app.state.rates = rates = Rates(held.clock)
            app.state.sends = sends = gatherer(held.database)
            stack.push_async_callback(sends.close)
            app.state.accounts = webhooks.known_accounts()
            app.state.posts = posts = webhooks.gatherer(held.database)
            stack.push_async_callback(posts.close)
            app.state.reports = reports = webhooks.reports_gatherer(held.database)
            stack.push_async_callback(reports.close)
            app.state.feed = feed = Feed(held.database)
            beside = [asyncio.create_task(run) for run in (rates.run(), presence.keep(held.database))]
            yield
            await feed.close()
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    app = Service(
        https_only=settings.production,
        title="LeadSail SMS",
        version="1",
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # A slash too many is an unknown address. The framework would send the client on, to the
        # host that the request named, and the client would say key and text again there.
        redirect_slashes=False,
        responses={"default": {"model": Refusal}},  # for its schema; `described` says the rest
        generate_unique_id_function=_operation,
        # Not the framework's own: it would tell paths, and those hold phones.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.webhooks.include_router(agent_hook.webhooks)
    app.openapi = partial(described.describe, app, ROUTERS)  # type: ignore[method-assign]
    app.state.page_problem = render.problem
    app.state.leaving = False
    problems.install(app, [*webhooks.DOORS, *(r for each in ROUTERS for r in each.routes)])
    app.add_exception_handler(Replayed, idempotency.replay)
    app.add_exception_handler(doors.SignedOut, doors.to_sign_in)
    app.router.routes.extend(webhooks.DOORS)  # first: routes are tried one after the other
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", render.Static(directory=render.WEB / "static"))
    if assets := docs.assets():
        app.router.routes.append(assets)
    return app


class Service(FastAPI):
    """The application behind doors of our own: what they answer pays nothing for the framework."""

    def __init__(self, https_only: bool, **about: Any) -> None:
        super().__init__(**about)
        self._https_only = https_only

    def build_middleware_stack(self) -> ASGIApp:
        # Without the framework's outermost layer: it would answer in plain text what is
        # unexpected, before the edge can say it as a page or in the envelope.
        outermost = super().build_middleware_stack()
        assert isinstance(outermost, ServerErrorMiddleware)
        return Edge(Hot(webhooks.Doors(outermost.app)), https_only=self._https_only)


class Server(uvicorn.Server):
    """uvicorn that leaves in good order: it says that it is not ready, sends the listeners of
    event streams home, serves on for `linger` seconds after a first SIGTERM, and only then closes
    its door. uvicorn's own handler would leave the streams open, and raise the signal again."""

    def __init__(self, config: uvicorn.Config, linger: float) -> None:
        super().__init__(config)
        self._state: Any = config.app.state  # type: ignore[union-attr]  # it is a FastAPI
        self._linger = linger
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        again, self._state.leaving = self._state.leaving, True
        if self.started:
            self._loop.call_soon_threadsafe(self._state.feed.hush)
        if self.started and sig == signal.SIGTERM and not again:
            self._loop.call_soon_threadsafe(self._loop.call_later, self._linger, self._leave)
        else:
            self.force_exit = self.should_exit and sig == signal.SIGINT
            self._leave()

    def _leave(self) -> None:
        self.should_exit = True


def _operation(route: Any) -> str:
    """Operation ids as the routes' own names, the file's in front: unique and readable."""
    file = route.endpoint.__module__.rpartition(".")[2]
    return f"{file}-{route.name}".replace("_", "-")
