"""What is too large, too deep or too slow, and what pretends to be something else on its way
into a header or a terminal."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.providers import REGISTRY
from app.settings import Settings
from app.web.limits import Edge
from app.web.page import render
from app.web.state import AppState, set_state
from tests.makers import Tenant
from tests.security.walk import DOCUMENT, OPERATIONS, nobodys
from tests.service import Api
from tests.test_cli import ran
from tests.web.people import browser
from tests.world import served, until

JSON = {"Content-Type": "application/json"}
KIB = 1024


async def raw(url: str, *parts: bytes, pause: float = 0.0) -> bytes:
    """What the server says to these bytes, sent as they are, until it closes or is silent."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    said = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        async with asyncio.timeout(2):
            while chunk := await reader.read(65_536):
                said += chunk
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return said


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/api/v1/leads", 64 * KIB),
        ("/api/v1/sms/send", 64 * KIB),
        ("/webhooks/simulator/nobody/inbound", 128 * KIB),
        ("/api/v1/sms/send/bulk", 16 * KIB * KIB),
        ("/sign-in", 64 * KIB),
    ],
)
async def test_a_body_over_its_limit_is_refused_and_one_at_it_is_judged(tenant: Tenant, path: str, limit: int) -> None:
    async def ask(size: int) -> int:
        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, size, 64 * KIB):
                yield b" " * min(64 * KIB, size - start)

        headers = {"X-API-Key": tenant.key, **JSON}
        return (await tenant.http.post(path, content=chunks(), headers=headers)).status_code

    assert await ask(limit + 1) == 413
    assert await ask(limit) in (400, 403, 404)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
async def test_no_route_follows_json_into_the_depths(tenant: Tenant, opening: bytes) -> None:
    asked = 0
    for operation in OPERATIONS:
        if operation.body is not None:
            answer = await tenant.ask(
                operation.method.upper(), operation.path.format_map(nobodys()),
                content=opening * 10_000, headers=JSON,
            )  # fmt: skip
            assert answer.status_code == 400, operation.name
            asked += 1
    assert asked > 20


@pytest.mark.parametrize("length", ["-1", "99999999999999999999999", "1e3", "0x10", "5, 6", ""])
async def test_a_length_that_is_none_breaks_nothing(api: Api, length: str) -> None:
    head = f"POST /api/v1/leads HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
    said = await raw(api.url, head.encode(), b"hello")
    assert b" 500 " not in said.split(b"\r\n")[0]
    assert (await api.http.get("/health/live")).is_success


async def test_a_smuggled_second_request_is_not_answered(tenant: Tenant, api: Api) -> None:
    """Two lengths that disagree: whoever stands in front may have believed the other one."""
    inner = (
        f"GET /api/v1/leads HTTP/1.1\r\nHost: x\r\nX-API-Key: {tenant.key}\r\n\r\n"
    )  # fmt: skip
    for lengths in ("Content-Length: 4\r\nContent-Length: 0",
                    "Content-Length: 4\r\nTransfer-Encoding: chunked"):  # fmt: skip
        head = f"POST /nothing HTTP/1.1\r\nHost: x\r\n{lengths}\r\n\r\n0\r\n\r\n{inner}"
        said = await raw(api.url, head.encode())
        assert b'"leads"' not in said, lengths


# Time.


async def echo(request: Request) -> Response:
    return JSONResponse({"size": len(await request.body())})


async def test_a_body_that_drips_is_given_up_and_the_connection_closed() -> None:
    inner = Starlette(routes=[Route("/api/v1/echo", echo, methods=["POST"])])
    app = Starlette()
    for one in (app, inner):
        set_state(one, AppState(render.problem))
    app.mount("/", Edge(inner, body_within=0.3))
    head = b"POST /api/v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    async with served(app) as url:
        quick = await raw(url, head.replace(b"1000", b"2"), b"ok")
        assert b'{"size":2}' in quick
        slow = await raw(url, head, *[b"."] * 4, pause=0.03)
        assert slow.startswith(b"HTTP/1.1 400 ")
        assert b"did not come in time" in slow
        assert b"connection: close" in slow.lower()


async def test_a_caller_who_leaves_in_mid_body_is_no_fault_of_ours(
    api: Api, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    host, port = api.url.removeprefix("http://").split(":")
    for path in ("/webhooks/simulator/nobody/status", "/api/v1/leads"):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode())
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.transport.abort()

    said: list[str] = []

    async def noted() -> bool:
        said.extend(capsys.readouterr().out.splitlines())
        return len([line for line in said if "status=" in line]) == 2

    await until(noted)
    assert all("status=0" in line for line in said), said
    assert caplog.messages == []


# Headers.


@pytest.mark.parametrize("value", ["a%0d%0aX-Evil:%201", "/x\r\nX-Evil: 1", "//evil.example"])
async def test_where_to_go_next_is_no_way_to_write_headers(api: Api, value: str) -> None:
    one = browser(api.url)
    for answer in (
        await one.get(f"/conversations/{value}" if "\r" not in value else "/conversations/x"),
        await one.post("/sign-in", email="a@example.com", password="x", next=value),
    ):
        assert "x-evil" not in answer.headers
    await one.http.aclose()


@pytest.mark.parametrize("given", ["two words 12345", "a" * 65, "ünïcödé-id", "semi;colon-1"])
async def test_a_request_id_that_is_not_plainly_one_is_replaced(api: Api, given: str) -> None:
    headers = {"X-Request-Id": given.encode("latin-1")}
    answer = await api.http.get("/health/live", headers=headers)  # type: ignore[arg-type]
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("provider", REGISTRY)
async def test_a_credential_is_no_way_to_write_headers(tenant: Tenant, provider: str) -> None:
    heard: list[Any] = []

    async def hear(request: Request) -> Response:
        heard.append(dict(request.headers))
        return JSONResponse({})

    anywhere = Starlette(routes=[Route("/{path:path}", hear, methods=["GET", "POST"])])
    names = REGISTRY[provider].CREDENTIALS
    async with served(anywhere) as url:
        for evil in ("x\r\nX-Evil: 1", "x\nX-Evil: 1", "x\rX-Evil: 1", "x\x00", "ключ"):
            credentials = dict.fromkeys(names, evil)
            body = {"provider": provider, "name": "T", "credentials": credentials, "baseUrl": url}
            made = await tenant.ask("POST", "/provider-accounts", body)
            if made.is_error:
                assert made.status_code == 400
                continue
            path = f"/provider-accounts/{made.json()['data']['accountId']}/sync-numbers"
            answer = await tenant.ask("POST", path)
            assert answer.status_code in (200, 400, 502), (evil, answer.text)
    assert not [headers for headers in heard if "x-evil" in headers]


# Files.


def test_only_exports_answer_what_a_spreadsheet_might_run() -> None:
    """All else is JSON: there is no cell to begin with `=`. Exports have tests of their cells."""
    kinds = {
        (operation["operationId"], kind)
        for item in DOCUMENT["paths"].values()
        for operation in item.values()
        for response in operation["responses"].values()
        for kind in response.get("content", {})
    }
    assert {name for name, kind in kinds if kind == "text/csv"} == {"exportInteraction", "exportLead", "listFigures"}
    assert {kind for _, kind in kinds} == {"application/json", "text/csv"}


async def test_an_imports_report_is_no_way_to_the_terminal(
    tenant: Tenant, configuration: Settings, tmp_path: Path
) -> None:
    escape = "\x1b]0;owned\x07\x1b[2J"
    rows = [
        "leadId,firstName,phone,timezone",
        f"=cmd|' /C calc'!A0,{escape},+12125550123,",
        f"{escape},Jane,+12125550124,",
        f"ok,Jane,{escape}12,",
        f"ok2,Jane,+12125550125,{escape}",
        f"a,b,c,d,{escape}",
        "good,=1+1,+12125550126,",
    ]
    file = tmp_path / "leads.csv"
    file.write_text("\n".join(rows))
    _, out, err = await ran(configuration, "leads", "import", str(file), "--tenant", tenant.tenant_id)
    assert "\x1b" not in out + err
    assert "line 3" in err
    lead = await tenant.call("GET", "/leads/good")
    assert lead["firstName"] == "=1+1", "kept as given; it is shown as text and never run"
