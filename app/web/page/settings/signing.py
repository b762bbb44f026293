"""Signing secrets on the settings pages: made and stored once per form, and shown once."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from fastapi import APIRouter
from starlette.responses import Response

from app.commands import directory
from app.store.engine import Tx
from app.store.schema import Table
from app.web.page import forms
from app.web.page.forms import SubmittedForm
from app.web.page.settings.admin_request import AdminPost, AdminRequest
from app.web.signing import make_signing_secret

T = TypeVar("T")
R = TypeVar("R", bound=Table)


async def store_secret(
    admin: AdminRequest, form: SubmittedForm, store: Callable[[Tx, bytes], Awaitable[T]], get_id: Callable[[T], str]
) -> tuple[str, str | None]:
    """Makes a secret and stores it sealed. Returns the id of its row, and the secret; None: the form was sent
    before."""
    secret = make_signing_secret(admin.resources.seal)
    item_id, is_new = await admin.run_once(form, lambda tx: store(tx, secret.sealed), get_id)
    return item_id, secret.text if is_new else None


@dataclass(frozen=True, slots=True)
class SecretPage:
    """What is said where a secret is shown."""

    section: str
    about: str
    elsewhere: str
    """The page where another one can be made."""

    def show(self, admin: AdminRequest, item_id: str | None, secret: str | None, title: str) -> Response:
        """Shows the secret; None: it was shown before. `item_id` None: the section has one page."""
        return admin.show_page(
            "once",
            self.section,
            title=title,
            about=self.about,
            label="Signing secret",
            secret=secret,
            otherwise=f"You can make a new secret on {self.elsewhere}.",
            onward="/".join(filter(None, ("/settings", self.section, item_id))),
        )


def add_rotation_route(router: APIRouter, page: SecretPage, kind: type[R], get_name: Callable[[R], str]) -> None:
    """Adds the route that makes a new secret for an item; the old one signs for one more day."""

    @router.post("/{item_id}/rotate-secret")
    async def rotate_secret(admin: AdminPost, item_id: str) -> Response:
        name, secret = await store_secret(
            admin,
            await forms.read_form(admin.request, []),
            lambda tx, sealed_secret: directory.rotate_secret(tx, admin.caller, kind, item_id, sealed_secret),
            get_name,
        )
        return page.show(admin, item_id, secret, f"{name} has a new secret")
