"""A request by an admin for a settings page, and what all settings pages share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.web.dependencies import AppResources
from app.web.page.dependencies import Admin, AdminFormSender, SameOrigin, Token
from app.web.page.page_request import PageRequest

SECTIONS = {
    "general": "General",
    "people": "People",
    "accounts": "Provider accounts",
    "numbers": "Phone numbers",
    "agents": "SMS agents",
    "campaigns": "Campaigns",
    "webhooks": "Webhooks",
    "keys": "API keys",
    "canned": "Canned replies",
    "trials": "Trials",
    "experiments": "A/B tests",
    "imports": "Imports",
    "audit": "Audit",
}
DONE_MESSAGES = {
    "added": "Added.",
    "saved": "Saved.",
    "removed": "Removed.",
    "paused": "Paused. Queued texts wait.",
    "resumed": "Resumed. Queued texts are sent now.",
    "endpoint-paused": "Paused. Events wait.",
    "endpoint-resumed": "Resumed. Events are sent now.",
    "stopped": "Stopped. What was under way counts as failed.",
    "experiment-stopped": "Saved. New turns of all leads go to this side.",
    "rewound": "Rewound. Events are sent again.",
    "revoked": "Revoked. The key stops working within five seconds.",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a list."""

    id: str
    name: str
    facts: Sequence[str]
    marks: Sequence[tuple[str, str]] = ()
    """Badges: (kind, words)."""


@dataclass(frozen=True, slots=True)
class AdminRequest(PageRequest):
    """A request by a signed-in admin."""

    def show_page(self, template: str, section: str, status: int = 200, /, **context: Any) -> Response:
        return self.render_page(
            f"settings/{template}",
            status,
            sections=SECTIONS,
            section=section,
            done=DONE_MESSAGES.get(self.request.query_params.get("done", "")),
            **context,
        )


def redirect_back(path: str, done_key: str) -> Response:
    """Redirects to a settings page that shows the message of `done_key`."""
    return RedirectResponse(f"/settings/{path}?done={done_key}", 303)


async def require_admin_get(request: Request, person: Admin, token: Token, resources: AppResources) -> AdminRequest:
    return AdminRequest(request, person, token, resources)


async def require_admin_post(
    _: Annotated[None, SameOrigin], request: Request, person: AdminFormSender, token: Token, resources: AppResources
) -> AdminRequest:
    """Returns the request of an admin's form. Raises `Forbidden` unless the form came from this site."""
    return AdminRequest(request, person, token, resources)


AdminGet = Annotated[AdminRequest, Depends(require_admin_get)]
AdminPost = Annotated[AdminRequest, Depends(require_admin_post)]
"""The parameter of every route that writes."""
PauseReason = Annotated[str, Form(max_length=500)]
