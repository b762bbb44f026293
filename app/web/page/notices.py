"""What needs the signed-in person, and how they are told of it."""

import secrets
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.access import sessions
from app.access.sealing import Unsealable
from app.access.sessions import Person
from app.calls.notices import NotTold, post_to_hook, send_mail
from app.commands import notices as commands
from app.domain.notices import TEST_WORDS, NoticeKind, NoticeWay, build_notices
from app.domain.problems import Invalid, Problem
from app.resources import Resources
from app.store import notices
from app.web.dependencies import AppResources
from app.web.page import render
from app.web.page.account import render_account
from app.web.page.dependencies import FormSender, SameOrigin, SignedIn, Token

router = APIRouter(include_in_schema=False)
MAX_SHOWN = 50
Kinds = Annotated[list[NoticeKind], Form(default_factory=list, max_length=10)]


@router.get("/notices")
async def show_notices(request: Request, person: SignedIn, token: Token, resources: AppResources) -> Response:
    """Shows the newest notices, and notes that they were seen."""
    async with resources.database.tenant_tx(person.tenant_id) as tx:
        events = await notices.list_newest(tx, person.tenant_id, person.user_id)
        shown = build_notices(events, "admin" if person.admin else "member")[:MAX_SHOWN]
        if shown and shown[0].event.is_new:
            await notices.mark_seen(tx, person.tenant_id, person.user_id, shown[0].event)
    return render.page(
        request,
        "notices.html",
        person=replace(person, unseen_notices=None if person.unseen_notices is None else 0),
        csrf=sessions.csrf_token(token),
        notices=shown,
    )


@router.post("/account/notices/{way}", dependencies=[SameOrigin])
async def save_way(
    request: Request,
    way: NoticeWay,
    person: FormSender,
    token: Token,
    resources: AppResources,
    kinds: Kinds,
    url: Annotated[str, Form(max_length=4096)] = "",
) -> Response:
    try:
        sealed_url = _seal_url(resources, url.strip()) if way == "hook" and kinds else None
        async with resources.database.tenant_tx(person.tenant_id) as tx:
            await commands.save(tx, person.caller, way, kinds, sealed_url)
    except Problem as problem:
        return await render_account(request, person, token, resources, problem, faulty_way=way)
    return RedirectResponse("/account?done=notices", 303)


@router.post("/account/notices/{way}/test", dependencies=[SameOrigin])
async def test_way(
    request: Request, way: NoticeWay, person: FormSender, token: Token, resources: AppResources
) -> Response:
    try:
        await _send_test(resources, person, way)
    except (NotTold, Unsealable, Problem) as error:
        problem = Invalid(f"The test did not arrive: {error}.")
        return await render_account(request, person, token, resources, problem, faulty_way=way)
    return RedirectResponse("/account?done=test", 303)


def _seal_url(resources: Resources, url: str) -> bytes | None:
    """Raises `Invalid`."""
    if not url:
        return None
    commands.require_hook_url(url, allows_http=not resources.settings.is_production)
    return resources.seal.close(url.encode())


async def _send_test(resources: Resources, person: Person, way: NoticeWay) -> None:
    """Raises `NotTold`."""
    if way == "email" and resources.mail:
        digest_id = f"{person.user_id}.test.{secrets.token_hex(8)}"
        await send_mail(resources.mail, person.email, "LeadSail SMS: a test", [TEST_WORDS], digest_id)
        return
    async with resources.database.read_tx(person.tenant_id) as read:
        sealed_url = await notices.get_address(read, person.tenant_id, person.user_id)
    if way != "hook" or sealed_url is None:
        raise NotTold("nothing is configured")
    await post_to_hook(resources.wire, resources.seal.open(sealed_url).decode(), [TEST_WORDS])
