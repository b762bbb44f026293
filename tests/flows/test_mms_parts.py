"""An MMS whose words come as a file: they are read as words, and layout files are dropped."""

from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.flows.carrier_posts import PROVIDERS, Part, open_line, post_text
from tests.makers import Data, Tenant, phone
from tests.world import served

FILES = {
    "stop": "STOP", "yes": "Yes, Tuesday works ☀\r\n", "long": "x" * 20_000, "stops": "Please stop texting me",
    "bom": "\ufeffHello", "page": "<html>Sign in</html>", "empty": " ",
}  # fmt: skip


async def show(request: Request) -> Response:
    name = request.path_params["name"].partition(".")[0]
    if name not in FILES:
        return Response(b"\x89PNG", media_type="image/png", status_code=200 if name == "picture" else 404)
    return PlainTextResponse(FILES[name], media_type="text/html" if name == "page" else "text/plain")


@pytest.fixture
async def files() -> AsyncIterator[str]:
    async with served(Starlette(routes=[Route("/{name}", show)])) as url:
        yield url


async def entries_from(tenant: Tenant, sender: str) -> list[Data]:
    found = await tenant.call("GET", f"/interactions?search={sender.removeprefix('+')}")
    threads = [await tenant.call("GET", f"/interactions/{thread['interactionId']}") for thread in found["interactions"]]
    return [entry for thread in threads for entry in thread["transcript"] if entry["role"] == "user"]


def parts_at(files: str, *names: str) -> list[Part]:
    types = {"smil": "application/smil", "txt": "text/plain; charset=utf-8", "png": "image/png"}
    return [Part(f"{files}/{name}", types[name.partition(".")[2]]) for name in names]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_words_of_an_mms_are_words_and_its_layout_is_nothing(
    tenant: Tenant, files: str, provider: str
) -> None:
    account, keys, number = await open_line(tenant, provider)
    sender = phone()
    parts = parts_at(files, "layout.smil", "yes.txt", "picture.png")
    assert (await post_text(tenant, account, keys, sender, number, "", *parts)).is_success
    [entry] = await entries_from(tenant, sender)
    assert entry["message"] == "Yes, Tuesday works ☀"
    assert [media["url"] for media in entry["media"]] == [f"{files}/picture.png"]
    assert not (await tenant.call("GET", f"/consent/{sender}"))["suppressed"]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_stop_in_a_text_file_is_obeyed_in_the_request(tenant: Tenant, files: str, provider: str) -> None:
    account, keys, number = await open_line(tenant, provider)
    sender = phone()
    parts = parts_at(files, "layout.smil", "stop.txt")
    assert (await post_text(tenant, account, keys, sender, number, "", *parts)).is_success
    assert (await tenant.call("GET", f"/consent/{sender}"))["causes"] == ["lead"]


@pytest.mark.parametrize(
    ("body", "names", "text", "media", "causes"),
    [
        ("Hi", ["stop.txt"], "Hi\nSTOP", [], ["lead"]),
        ("A subject", ["yes.txt", "stops.txt"], "A subject\nYes, Tuesday works ☀\nPlease stop texting me", [],
         ["lead"]),
        ("STOP", ["stop.txt"], "STOP", [], ["lead"]),  # said twice, stored once
        ("Hi", ["bom.txt"], "Hi\nHello", [], []),
        ("Hi", ["empty.txt"], "Hi", [], []),
        ("", ["layout.smil"], "", [], []),
        # What cannot be read as a short text stays an attachment.
        ("Hi", ["long.txt"], "Hi", ["long.txt"], []),
        ("Hi", ["missing.txt"], "Hi", ["missing.txt"], []),
        ("Hi", ["page.txt"], "Hi", ["page.txt"], []),
    ],
)  # fmt: skip
async def test_words_in_files_follow_the_text(
    tenant: Tenant, files: str, body: str, names: list[str], text: str, media: list[str], causes: list[str]
) -> None:
    account, keys, number = await open_line(tenant, "twilio")
    sender = phone()
    assert (await post_text(tenant, account, keys, sender, number, body, *parts_at(files, *names))).is_success
    [entry] = await entries_from(tenant, sender)
    assert entry["message"] == text
    assert [item["url"].rpartition("/")[2] for item in entry["media"]] == media
    assert (await tenant.call("GET", f"/consent/{sender}"))["causes"] == causes
