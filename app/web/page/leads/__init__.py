"""The leads pages: list, add, edit, merge, erase, and what may not be done.

The forms use the models and commands of the JSON API. Whoever may write to leads may also edit them;
what cannot be undone is for admins."""

from fastapi import APIRouter

from app.web.page.leads import consent, editing, erasing, ledger, listing, merging

ROUTERS: tuple[APIRouter, ...] = (
    listing.router,
    editing.router,
    merging.router,
    erasing.router,
    consent.router,
    ledger.router,
)
