"""Settings, for admins: plain forms over the same bodies and commands as the JSON API. What a
command refuses stands beside the field it names; what was typed is kept, secrets are not."""

from fastapi import APIRouter

from app.web.page.settings import (
    accounts,
    agents,
    campaigns,
    canned,
    general,
    keys,
    numbers,
    people,
)

ROUTERS: tuple[APIRouter, ...] = (
    general.router,
    people.router,
    accounts.router,
    numbers.router,
    agents.router,
    campaigns.router,
    keys.router,
    canned.router,
)
