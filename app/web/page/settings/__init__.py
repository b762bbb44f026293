"""Settings for admins: plain forms that use the same models and commands as the JSON API.

A refusal is shown beside its field. The form keeps what was typed, except secrets."""

from fastapi import APIRouter

from app.web.page.settings import (
    accounts,
    agents,
    audit,
    campaigns,
    canned,
    experiments,
    general,
    imports,
    keys,
    numbers,
    people,
    trials,
    webhooks,
)

ROUTERS: tuple[APIRouter, ...] = (
    general.router,
    people.router,
    accounts.router,
    numbers.router,
    agents.router,
    campaigns.router,
    webhooks.router,
    keys.router,
    canned.router,
    trials.router,
    experiments.router,
    imports.router,
    audit.router,
)
