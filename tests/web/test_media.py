"""Attachments on the page: the carrier's credentials stay with the carrier, and what comes back
is never run."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from app.commands import receive
from app.commands.receive import InboundPost
from app.domain.carriage import Account, InboundText, Media
from app.resources import Resources
from tests.makers import Tenant, phone
from tests.web.people import Browser
from tests.world import served

PIXEL = b"\x89PNG\r\n\x1a\n-"


@dataclass(slots=True)
class Host:
    """A machine that holds files: the carrier's, or the storage behind it."""

    url: str = ""
    leads_to: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Each path, and the credentials that came with it."""

    async def answer(self, request: Request) -> Response:
        name = request.path_params["name"]
        self.asked.append((name, request.headers.get("authorization")))
        if name == "moved.png":
            return RedirectResponse(f"{self.leads_to}/a.png", 307)
        if name == "round":
            return RedirectResponse(f"{self.url}/round", 302)
        if name == "huge.png":
            return Response(b"x" * (6 << 20), media_type="image/png")
        if name == "page.html":
            return Response("<script>alert(1)</script>", media_type="text/html")
        if name == "gone":
            return Response(status_code=404)
        return Response(PIXEL, media_type="image/png")


async def _host() -> AsyncIterator[Host]:
    host = Host()
    async with served(Starlette(routes=[Route("/{name}", host.answer)])) as url:
        host.url = url
        yield host


carriers_host = pytest.fixture(_host, name="carriers_host")
storage = pytest.fixture(_host, name="storage")


@pytest.fixture
async def shown(sam: Browser, tenant: Tenant, resources: Resources, carriers_host: Host, storage: Host) -> "Shown":
    carriers_host.leads_to = storage.url
    account = await tenant.account(baseUrl=carriers_host.url)
    number = await tenant.number(providerAccountId=account["accountId"])
    known = Account(tenant.tenant_id, account["accountId"], "simulator", {})
    return Shown(sam, tenant, resources, known, number["phoneNumber"])


@dataclass(slots=True)
class Shown:
    """A thread with an attachment, looked at by Sam."""

    sam: Browser
    tenant: Tenant
    resources: Resources
    account: Account
    ours: str

    async def place(self, url: str, content_type: str | None = "image/png") -> tuple[str, str]:
        """The thread's page, and the attachment's address on it."""
        lead = await self.tenant.lead(phone=phone())
        media = (Media(url, content_type),)
        text = InboundText(f"sim_{url}", lead["phone"], self.ours, "", media)
        async with self.resources.database.system_tx() as tx:
            await receive.receive_texts(tx, [InboundPost(self.account, [text])])
        path = f"/interactions/lead/{lead['leadId']}"
        [thread] = (await self.tenant.call("GET", path))["interactions"]
        here = f"/conversations/{thread['interactionId']}"
        [entry] = thread["transcript"]
        return await self.sam.page(here), f"{here}/texts/{entry['messageId']}/media/0"

    async def fetch(self, url: str) -> httpx.Response:
        _, file = await self.place(url)
        return await self.sam.get(file)


async def test_an_image_is_shown_by_way_of_us(shown: Shown, carriers_host: Host) -> None:
    page, file = await shown.place(f"{carriers_host.url}/a.png")
    assert f'<img src="{file}"' in page
    assert carriers_host.url not in page
    answer = await shown.sam.get(file)
    assert (answer.status_code, answer.content) == (200, PIXEL)
    assert answer.headers["content-type"] == "image/png"
    assert "sandbox" in answer.headers["content-security-policy"]
    [(_, credentials)] = carriers_host.asked
    assert credentials


async def test_credentials_do_not_follow_to_another_host(shown: Shown, carriers_host: Host, storage: Host) -> None:
    assert (await shown.fetch(f"{carriers_host.url}/moved.png")).content == PIXEL
    assert (await shown.fetch(f"{storage.url}/b.png")).content == PIXEL
    assert storage.asked == [("a.png", None), ("b.png", None)]


async def test_what_is_no_image_is_saved_and_not_run(shown: Shown, carriers_host: Host) -> None:
    page, file = await shown.place(f"{carriers_host.url}/page.html", "text/html")
    assert f'<img src="{file}"' not in page
    answer = await shown.sam.get(file)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment"


@pytest.mark.parametrize(
    "url",
    [
        "{host}/gone", "{host}/round", "{host}/huge.png", "http://127.0.0.1:1/a.png",
        "http://10.1.2.3/a.png", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd",
        "javascript:alert(1)", "https://user:secret@example.com/a.png", "http://[::1", "",
    ],
)  # fmt: skip
async def test_what_cannot_be_fetched_is_said_and_nothing_else(shown: Shown, carriers_host: Host, url: str) -> None:
    answer = await shown.fetch(url.format(host=carriers_host.url))
    assert answer.status_code == 502
    assert "cannot be fetched" in answer.text


async def test_only_the_tenants_people_see_an_attachment(shown: Shown, stranger: Browser, carriers_host: Host) -> None:
    _, file = await shown.place(f"{carriers_host.url}/a.png")
    assert (await shown.sam.get(file[:-1] + "1")).status_code == 404
    assert (await shown.sam.get(file.replace("msg_", "msg_x"))).status_code == 404
    stranger.http.cookies.clear()
    assert (await stranger.get(file)).status_code == 303
