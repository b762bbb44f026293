"""The web process, put together."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp

from app import log, settings, traces
from app.access.keys import KeyCache
from app.domain import optout
from app.mcp import on_demand
from app.resources import Resources, open_resources
from app.settings import ConfigurationError, Settings
from app.store.redis_client import end_tasks
from app.web import (
    agent_hook,
    docs,
    dry_turns,
    event_hooks,
    events,
    experiments,
    exports,
    figures,
    guide,
    health,
    interactions,
    llms,
    messages,
    metrics,
    openapi,
    openings,
    outcomes,
    presence,
    problems,
    sms,
    team,
    trials,
    turns,
    uploads,
    versions,
    webhooks,
)
from app.web.areas import Area
from app.web.directory import (
    api_keys,
    audit,
    campaigns,
    canned_replies,
    consent,
    corpora,
    dnc,
    leads,
    may_text,
    phone_numbers,
    provider_accounts,
    saved_views,
    sms_agents,
    vendor,
    webhook_endpoints,
)
from app.web.directory import settings as tenant_settings
from app.web.envelope import Refusal
from app.web.feed import Feed
from app.web.hot_routes import HotRoute, HotRoutes
from app.web.joined_writes import JoinedProtocol
from app.web.limits import Edge
from app.web.page import (
    account,
    conversations,
    dependencies,
    live,
    media,
    new_conversation,
    notices,
    palette,
    render,
    scheduled_texts,
    sign_in,
    start,
    static_files,
    system,
    turn,
    writes,
)
from app.web.page import figures as figures_page
from app.web.page import leads as page_leads
from app.web.page import settings as page_settings
from app.web.page import team as page_team
from app.web.rates import Rates
from app.web.send_batches import build_send_batcher
from app.web.state import AppState, get_state, set_state

ROUTERS: tuple[APIRouter, ...] = (
    sms.send_router,
    webhooks.router,
    sms.router,
    messages.router,
    team.router,
    interactions.router,
    exports.router,
    turns.router,
    dry_turns.router,
    openings.router,
    outcomes.router,
    events.router,
    leads.router,
    dnc.router,
    may_text.router,
    consent.router,
    campaigns.router,
    provider_accounts.router,
    vendor.router,
    phone_numbers.router,
    sms_agents.router,
    webhook_endpoints.router,
    api_keys.router,
    canned_replies.router,
    saved_views.router,
    tenant_settings.router,
    audit.router,
    corpora.router,
    trials.router,
    experiments.router,
    figures.router,
    health.router,
    metrics.router,
    docs.router,
    guide.router,
    llms.router,
    sign_in.router,
    account.router,
    notices.router,
    palette.router,
    system.router,
    figures_page.router,
    *page_settings.ROUTERS,
    *page_leads.ROUTERS,
    start.router,
    live.router,
    page_team.router,
    uploads.router,
    media.router,
    new_conversation.router,
    turn.router,
    conversations.router,
    writes.router,
    scheduled_texts.router,
)
DESCRIPTION = """SMS conversations between organizations and their leads.

The [guide](/guide) explains sending, agents and carriers step by step."""


def create_app() -> FastAPI:
    """The application for `uvicorn --factory app.main:create_app`: it reads the environment as
    `python -m app web` does, and opens what it needs when the server starts it."""
    try:
        configuration = settings.load()
        settings.require_servers(configuration)
    except ConfigurationError as error:
        sys.exit(f"leadsail-sms: {error}")
    log.configure(configuration.is_production, configuration.log_level)
    return build_app(configuration)


def build_app(configuration: Settings, resources: Resources | None = None, with_mcp: bool = False) -> FastAPI:
    """The application. Resources that are given stay open after it; else it opens its own. `with_mcp`: the
    tools for assistants are loaded at its start, and not when the first one asks."""
    state = AppState(render.problem)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app_resources = resources
            if app_resources is None:
                stack.enter_context(traces.export_traces(configuration, "web"))
                app_resources = await stack.enter_async_context(open_resources(configuration))
                stack.enter_context(release_listeners_on_signals(state))
            database = app_resources.database
            state.resources = app_resources
            state.key_cache = KeyCache(database)
            stack.push_async_callback(state.key_cache.close)
            state.rates = Rates(app_resources.clock)
            state.send_batcher = build_send_batcher(database)
            stack.push_async_callback(state.send_batcher.close)
            optout.load_model()  # else the first text of a lead would hold up the event loop
            state.account_cache = webhooks.build_account_cache()
            state.post_batcher = webhooks.build_post_batcher(database)
            stack.push_async_callback(state.post_batcher.close)
            state.report_batcher = webhooks.build_report_batcher(database)
            stack.push_async_callback(state.report_batcher.close)
            state.feed = Feed(database)
            stack.push_async_callback(tools.close)
            if with_mcp:
                await tools.open()
            background_tasks = [
                asyncio.create_task(run)
                for run in (state.rates.run(), presence.keep_presence(database), render.load_templates())
            ]
            yield
            await state.feed.close()
            await end_tasks(background_tasks)

    app = Service(
        https_only=configuration.is_production,
        title="LeadSail SMS",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # A slash too many is an unknown address. The framework would send the client on, to the
        # host that the request named, and the client would say key and text again there.
        redirect_slashes=False,
        responses={"default": {"model": Refusal}},  # for its schema; `openapi` says the rest
        generate_unique_id_function=openapi.build_operation_id,
        # Not the framework's own: it would tell paths, and those hold phones.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.webhooks.include_router(agent_hook.webhooks)
    app.webhooks.include_router(event_hooks.webhooks)
    app.openapi = partial(openapi.describe_api, app, ROUTERS, configuration.public_base_url)  # type: ignore[method-assign]
    set_state(app, state)
    routes = [route for router in ROUTERS for route in router.routes]
    state.versioned_paths = versions.find_versioned_paths(routes)
    problems.install_handlers(app, routes)
    app.add_exception_handler(dependencies.SignedOut, dependencies.redirect_to_sign_in)
    for router in ROUTERS:
        app.include_router(Area(router))
    app.mount("/static", static_files.Static(directory=static_files.STATIC_FOLDER))
    if assets := docs.mount_assets():
        app.router.routes.append(assets)
    tools = on_demand.McpOnDemand(app, app.version)
    if on_demand.is_installed():
        app.router.routes.append(Route(on_demand.PATH, tools))
    return app


class Service(FastAPI):
    """The application behind doors of our own: what they answer pays nothing for the framework."""

    def __init__(self, https_only: bool, **options: Any) -> None:
        super().__init__(**options)
        self._https_only = https_only

    def build_middleware_stack(self) -> ASGIApp:
        # Without the framework's outermost layer: it would answer in plain text what is
        # unexpected, before the edge can say it as a page or in the envelope.
        outermost = super().build_middleware_stack()
        assert isinstance(outermost, ServerErrorMiddleware)
        hot_routes = [route for router in ROUTERS for route in router.routes if isinstance(route, HotRoute)]
        return Edge(HotRoutes(outermost.app, hot_routes), https_only=self._https_only)


@contextmanager
def release_listeners_on_signals(state: AppState) -> Iterator[None]:
    """While inside, the first word of a server's stop reaches us too. It would wait for event
    streams to end by themselves: their listeners are sent home."""
    event_loop = asyncio.get_running_loop()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def release_listeners(number: int, frame: FrameType | None) -> None:
        state.is_leaving = True  # what watches /health/ready is told
        event_loop.call_soon_threadsafe(state.feed.release_listeners)
        handler = handlers[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in handlers:
        signal.signal(number, release_listeners)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


class Server(uvicorn.Server):
    """uvicorn that leaves in good order: it says that it is not ready, sends the listeners of
    event streams home, serves on for `linger` seconds after a first SIGTERM, and only then closes
    its door. uvicorn's own handler would leave the streams open, and raise the signal again."""

    protocol = JoinedProtocol

    def __init__(self, config: uvicorn.Config, linger: float) -> None:
        super().__init__(config)
        assert isinstance(config.app, FastAPI)
        self._state = get_state(config.app)
        self._linger = linger
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        is_repeated, self._state.is_leaving = self._state.is_leaving, True
        if self.started:
            self._loop.call_soon_threadsafe(self._state.feed.release_listeners)
        if self.started and sig == signal.SIGTERM and not is_repeated:
            self._loop.call_soon_threadsafe(self._loop.call_later, self._linger, self._stop_serving)
        else:
            self.force_exit = self.should_exit and sig == signal.SIGINT
            self._stop_serving()

    def _stop_serving(self) -> None:
        self.should_exit = True
