"""Pictures and files that people send from the page: stored, fetched by the carrier, and forgotten."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import httpx
import pytest

from app.resources import Resources
from app.store import sweeping
from tests.makers import Data, Tenant
from tests.web.people import Browser, form
from tests.world import World

PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 100
PDF = b"%PDF-1.7\n" + b"offer" * 100
File = tuple[str, bytes, str]


@pytest.fixture
async def ours(idle_world: World) -> Data:
    """The world's number, which can carry pictures."""
    path = f"/phone-numbers/{idle_world.number['phoneNumberId']}"
    return await idle_world.tenant.call("PATCH", path, {"capabilities": ["sms", "mms"]})


async def send(sam: Browser, path: str, files: list[File], **fields: str) -> httpx.Response:
    """Sends the form of a text at this address."""
    action, hidden = form(await sam.page(path), "/texts")
    return await sam.http.post(
        action,
        data=hidden | {"message": "Look!", "from": ""} | fields,
        files=[("files", file) for file in files],
        headers={"Origin": sam.origin},
    )


async def newest(world: World) -> Data:
    entry: Data = (await world.only_thread())["transcript"][-1]
    return entry


async def test_a_picture_goes_with_a_text_and_the_carrier_can_fetch_it(
    sam: Browser, idle_world: World, ours: Data, stranger: Browser
) -> None:
    thread = (await idle_world.send())["interactionId"]
    here = f"/conversations/{thread}"
    files = [("a.png", PNG, "text/html"), ("offer", PDF, "application/octet-stream")]
    answer = await send(sam, here, files, mediaUrls="\r\nhttps://example.com/b.gif \r\n")
    assert answer.status_code == 303, answer.text
    text = await newest(idle_world)
    urls = [one["url"] for one in text["media"]]
    assert [url.rpartition(".")[2] for url in urls] == ["png", "pdf", "gif"]
    page = await sam.page(here)
    shown = f"{here}/texts/{text['messageId']}/media"
    assert f'<img src="{shown}/0"' in page
    assert f'<img src="{shown}/1"' not in page
    own = await sam.get(f"{shown}/0")
    assert (own.content, own.headers["content-type"]) == (PNG, "image/png")

    stranger.http.cookies.clear()
    for url, content, content_type in zip(urls, (PNG, PDF), ("image/png", "application/pdf"), strict=False):
        fetched = await stranger.get(httpx.URL(url).path)
        assert (fetched.status_code, fetched.content) == (200, content)
        assert fetched.headers["content-type"] == content_type
        assert fetched.headers["content-disposition"].startswith("attachment;")
        assert fetched.headers["x-content-type-options"] == "nosniff"
        assert "private" in fetched.headers["cache-control"]
        assert "sandbox" in fetched.headers["content-security-policy"]
        assert len(httpx.URL(url).path.partition("/media/")[2].partition(".")[0]) == 32


async def test_a_first_text_has_a_picture(sam: Browser, idle_world: World, ours: Data) -> None:
    lead = await idle_world.tenant.lead()
    answer = await send(sam, f"/conversations/new?lead={lead['leadId']}", [("a.png", PNG, "image/png")])
    assert answer.status_code == 303, answer.text
    [thread] = (await idle_world.tenant.call("GET", f"/interactions/lead/{lead['leadId']}"))["interactions"]
    assert len(thread["transcript"][0]["media"]) == 1


async def test_the_same_form_sent_again_stores_its_files_once(
    sam: Browser, idle_world: World, ours: Data, resources: Resources
) -> None:
    thread = (await idle_world.send())["interactionId"]
    action, hidden = form(await sam.page(f"/conversations/{thread}"), "/texts")
    for _ in range(2):
        answer = await sam.http.post(
            action,
            data=hidden | {"message": "Look!", "from": ""},
            files=[("files", ("a.png", PNG, "image/png"))],
            headers={"Origin": sam.origin},
        )
        assert answer.status_code == 303
    assert await count_uploads(resources, idle_world.tenant) == 1


async def count_uploads(resources: Resources, tenant: Tenant) -> int:
    async with resources.database.system_tx() as tx:
        count: int = await tx.fetch_value("SELECT count(*) FROM uploads WHERE tenant_id = $1", tenant.tenant_id)
    return count


@pytest.mark.parametrize(
    ("files", "fields", "said"),
    [
        ([("a.png", b"<html>", "image/png")], {}, "“a.png” is not a JPEG, PNG, GIF, WebP, MP4, 3GP, PDF or vCard file"),
        ([("a.png", b"", "image/png")], {}, "“a.png” is not a JPEG"),
        ([("a.png", PNG, "image/png")] * 11, {}, "a text takes up to 10"),
        (
            [("a.png", PNG, "image/png")] * 2,
            {"mediaUrls": "\n".join(f"https://example.com/{n}.png" for n in range(9))},
            "a text takes up to 10",
        ),
        (
            [("a.png", PNG + bytes(1_000_000), "image/png")],
            {},
            "the files have 1 MB; this number carries up to 1 MB",
        ),
        ([("a.png", PNG + bytes(2_600_000), "image/png")] * 2, {}, None),
    ],
    ids=["page", "empty", "many", "many-addresses", "large", "too-large"],
)
async def test_a_file_that_cannot_be_sent_is_said_and_the_text_stays(
    sam: Browser, idle_world: World, ours: Data, resources: Resources, files: list[File], fields: Any, said: str | None
) -> None:
    thread = (await idle_world.send())["interactionId"]
    answer = await send(sam, f"/conversations/{thread}", files, **fields)
    assert answer.status_code == (400 if said else 413)
    if said:
        assert said in unescape(answer.text)
        assert "Choose your files again." in answer.text
        assert "Look!</textarea>" in answer.text
    assert len((await idle_world.only_thread())["transcript"]) == 1
    assert await count_uploads(resources, idle_world.tenant) == 0


async def test_what_a_number_carries_is_told_before_it_is_sent(sam: Browser, idle_world: World) -> None:
    thread = (await idle_world.send())["interactionId"]
    page = await sam.page(f"/conversations/{thread}")
    assert "You have no number that can send pictures (MMS)." in page
    await idle_world.tenant.number(
        providerAccountId=idle_world.account["accountId"], capabilities=["sms", "mms"], label="Pictures"
    )
    page = await sam.page(f"/conversations/{thread}")
    assert "cannot send pictures. Choose another number." in page
    assert sorted(re.findall(r'data-bytes="(\d+)"', page)) == ["0", "1000000"]
    answer = await send(sam, f"/conversations/{thread}", [("a.png", PNG, "image/png")])
    assert answer.status_code == 400
    assert "Pictures and files: the sender cannot carry media" in answer.text


async def test_an_upload_is_forgotten_with_its_lead_and_after_its_time(
    sam: Browser, idle_world: World, ours: Data, resources: Resources
) -> None:
    world = idle_world
    thread = (await world.send())["interactionId"]
    here = f"/conversations/{thread}"
    await send(sam, here, [("a.png", PNG, "image/png")])
    url = httpx.URL((await newest(world))["media"][0]["url"]).path
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE uploads SET created_at = created_at - interval '10 years' WHERE tenant_id = $1",
                         world.tenant.tenant_id)  # fmt: skip
    nine_years = dict.fromkeys(sweeping.RETENTION, timedelta(days=9 * 365))
    removed = {table: rows async for table, rows in sweeping.prune(resources.database, nine_years)}
    assert removed["uploads"] == 1
    assert (await sam.get(url)).status_code == 404

    await send(sam, here, [("a.png", PNG, "image/png")])
    await world.tenant.call("POST", f"/leads/{world.lead['leadId']}/erase")
    assert await count_uploads(resources, world.tenant) == 0


async def test_an_upload_goes_though_another_lead_has_the_phone(
    sam: Browser, idle_world: World, ours: Data, resources: Resources
) -> None:
    world = idle_world
    thread = (await world.send())["interactionId"]
    await send(sam, f"/conversations/{thread}", [("a.png", PNG, "image/png")])
    await world.tenant.lead(phone=world.phone, firstName="Heir")
    await world.tenant.call("POST", f"/leads/{world.lead['leadId']}/erase")
    assert await count_uploads(resources, world.tenant) == 0
    assert (await world.thread(thread))["transcript"][-1]["media"] == []


@pytest.mark.parametrize("name", ["x", "x.png", "." * 40, "a" * 5000, "%00"])
async def test_an_address_that_nobody_was_given_is_nothing(stranger: Browser, name: str) -> None:
    assert (await stranger.get(f"/media/{name}")).status_code in (400, 404)
