"""Signing secrets on the settings pages: made and stored once per form, and shown once."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.responses import Response

from app.store.engine import Tx
from app.web.page.forms import SubmittedForm
from app.web.page.settings.admin_request import AdminRequest
from app.web.signing import make_signing_secret

T = TypeVar("T")


async def store_secret(
    admin: AdminRequest, form: SubmittedForm, store: Callable[[Tx, bytes], Awaitable[T]], get_id: Callable[[T], str]
) -> tuple[str, str | None]:
    """Makes a secret and stores it sealed. Returns the id of its row, and the secret; None: the form was sent
    before."""
    secret = make_signing_secret(admin.resources.seal)
    item_id, is_new = await admin.run_once(form, lambda tx: store(tx, secret.sealed), get_id)
    return item_id, secret.text if is_new else None


def show_secret(
    admin: AdminRequest, section: str, item_id: str | None, secret: str | None, *, title: str, about: str, page: str
) -> Response:
    """The page that shows the secret. `item_id` None: the section has one page. `page`: where another one can be
    made."""
    return admin.show_page(
        "once",
        section,
        title=title,
        about=about,
        label="Signing secret",
        secret=secret,
        otherwise=f"You can make a new secret on {page}.",
        onward="/".join(filter(None, ("/settings", section, item_id))),
    )
