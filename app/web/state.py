"""What one application holds, with its types: `app.state` of the framework has none."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from app.access.keys import KeyCache
from app.domain.problems import Problem
from app.resources import Resources
from app.web.feed import Feed
from app.web.rates import Rates
from app.web.refused_webhooks import RefusedWebhooks

if TYPE_CHECKING:
    from app.web.send_batches import SendBatcher
    from app.web.webhooks import AccountCache, PostBatcher, ReportBatcher

ProblemRenderer = Callable[[Request, Problem], Response]


@dataclass
class AppState:
    """The first are known when the application is built, the others when it starts."""

    render_problem: ProblemRenderer
    """Renders a problem as a page for a person."""
    methods_by_path: list[tuple[re.Pattern[str], set[str]]] = field(default_factory=list)
    versioned_paths: frozenset[str] = frozenset()
    """Whose answers carry an `ETag`."""
    is_leaving: bool = False
    """Whether the process was told to stop."""
    resources: Resources = field(init=False)
    key_cache: KeyCache = field(init=False)
    rates: Rates = field(init=False)
    send_batcher: "SendBatcher" = field(init=False)
    account_cache: "AccountCache" = field(init=False)
    refused_webhooks: RefusedWebhooks = field(default_factory=RefusedWebhooks)
    post_batcher: "PostBatcher" = field(init=False)
    report_batcher: "ReportBatcher" = field(init=False)
    feed: Feed = field(init=False)


def set_state(app: Starlette, state: AppState) -> None:
    app.state.app_state = state


def get_state(app: Starlette) -> AppState:
    state: AppState = app.state.app_state
    return state
