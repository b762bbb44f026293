"""Asking carriers and agents, each a small server on loopback."""

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.agents.webhook import FailedPost, TakenTurn
from app.calls import agents, carriers
from app.domain.carriage import Account, OutgoingText
from app.domain.problems import Invalid, ProviderError
from app.wire.client import Wire
from tests.world import served

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
NOWHERE = "http://127.0.0.1:9"
TEXT = OutgoingText("msg_1", "+12125550151", "+12125551000", "Hi", (), f"{NOWHERE}/status", timedelta(hours=1))
SECRET = "whsec_c2VjcmV0IG9mIGFuIGFnZW50LCAzMiBieXRlcyE="


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    wire = Wire([ip_network("127.0.0.0/8")])
    yield wire
    await wire.close()


def build_account(base_url: str, provider: str = "simulator") -> Account:
    return Account("tenant_1", "acct_1", provider, {"secret": "a secret"}, base_url)


@pytest.fixture
async def carrier_url() -> AsyncIterator[str]:
    """A carrier of three pages of one inbound text each, and of numbers without an end."""

    async def list_texts(request: Request) -> Response:
        page = int(request.query_params.get("page", "1"))
        text = {"id": f"sim_{page}", "from": "+12125550151", "to": "+12125551000", "text": f"{page}"}
        text["sentAt"] = (NOW - timedelta(minutes=page)).isoformat()
        return JSONResponse({"texts": [text], "next": str(page + 1) if page < 3 else None})

    async def list_numbers(request: Request) -> Response:
        return JSONResponse({"numbers": [{"number": "+12125551000"}], "next": "again"})

    async def fail(request: Request) -> Response:
        return JSONResponse({}, 503)

    routes = [Route("/inbound", list_texts), Route("/numbers", list_numbers), Route("/broken/inbound", fail)]
    async with served(Starlette(routes=routes)) as url:
        yield url


async def test_pages_are_read_to_the_end_oldest_text_first(wire: Wire, carrier_url: str) -> None:
    renewals: list[None] = []

    async def renew() -> None:
        renewals.append(None)

    since = NOW - timedelta(hours=1)
    texts = await carriers.list_inbound_texts(wire, build_account(carrier_url), since, renew)
    assert [text.provider_id for text in texts] == ["sim_3", "sim_2", "sim_1"]
    assert len(renewals) == 2  # between three pages


async def test_what_happens_between_pages_ends_the_reading(wire: Wire, carrier_url: str) -> None:
    async def refuse() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        await carriers.list_inbound_texts(wire, build_account(carrier_url), NOW, refuse)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("{url}/broken", "answered 503"),
        (NOWHERE, "the connection was refused"),
        ("http://127.0.0.1:none", "the address is not valid"),
    ],
)
async def test_a_list_that_fails_says_why(wire: Wire, carrier_url: str, address: str, words: str) -> None:
    async def renew() -> None:
        pass

    account = build_account(address.format(url=carrier_url))
    with pytest.raises(carriers.ListFailure, match=f"^{words}$"):
        await carriers.list_inbound_texts(wire, account, NOW, renew)


async def test_a_list_of_numbers_without_an_end_is_refused(wire: Wire, carrier_url: str) -> None:
    with pytest.raises(ProviderError) as error:
        await carriers.list_numbers(wire, build_account(carrier_url))
    assert error.value.details == ["provider: the list of numbers does not end"]


async def test_a_carrier_without_a_list_of_numbers_is_named_so(wire: Wire) -> None:
    with pytest.raises(Invalid) as error:
        await carriers.list_numbers(wire, build_account(NOWHERE, provider="gone"))
    assert error.value.details == ["accountId: this provider does not list its numbers"]


async def test_a_text_that_is_too_late_is_not_sent(wire: Wire) -> None:
    assert await carriers.send_text(wire, build_account(NOWHERE), TEXT, time.monotonic() - 0.1) is None


async def test_a_text_that_surely_was_not_sent_may_be_sent_later(wire: Wire) -> None:
    result = await carriers.send_text(wire, build_account(NOWHERE), TEXT, time.monotonic() + 5)
    assert result
    assert (result.outcome.verdict, result.outcome.code, result.http_status) == ("later", "UNREACHABLE", None)


async def test_a_request_that_cannot_be_built_is_told_apart_from_one_that_failed(wire: Wire) -> None:
    with pytest.raises(carriers.RequestNotBuilt) as error:
        await carriers.send_text(wire, build_account("http://127.0.0.1:none"), TEXT, time.monotonic() + 5)
    assert error.value.__cause__


async def test_whatever_goes_wrong_with_an_agent_is_a_failed_attempt(wire: Wire) -> None:
    async def post(url: str, secret: str = SECRET) -> agents.PostResult:
        return await agents.post_turn(wire, "turn_1", url, [secret], NOW, b"{}")

    assert (await post("http://127.0.0.1:none")).answer == FailedPost("InvalidURL")
    assert isinstance((await post(NOWHERE, "whsec_no base64")).answer, FailedPost)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def say(words: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(words)
        await writer.drain()
        writer.close()

    return talk


@pytest.mark.parametrize(
    ("talk", "why"),
    [
        pytest.param(reset, "the connection was reset", id="reset"),
        pytest.param(say(b""), "the connection was closed before the answer was complete", id="closed"),
        pytest.param(say(b"220 mail.example ESMTP\r\n"), "the answer is not HTTP", id="mail"),
        pytest.param(say(b"\x15\x03\x03\x00\x02\x02F"), "the answer is not HTTP", id="tls"),
        pytest.param(say(b"HTTP/1.1 OK\r\n\r\n"), "the answer is not HTTP", id="no status"),
        pytest.param(
            say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
            "the connection was closed before the answer was complete",
            id="half",
        ),
    ],
)
async def test_an_agent_that_breaks_off_is_told_by_what_broke(wire: Wire, talk: Talk, why: str) -> None:
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert (await agents.post_turn(wire, "turn_1", url, [SECRET], NOW, b"{}")).answer == FailedPost(why)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (NOWHERE, "the connection was refused"),
        ("http://nobody.invalid/", "the name could not be resolved"),
        ("http://10.1.2.3/", "the address is not a public one"),
        ("ftp://127.0.0.1/", "only http and https addresses without a user name can be called"),
    ],
)
async def test_an_agent_that_cannot_be_reached_is_told_by_the_reason(wire: Wire, url: str, why: str) -> None:
    assert (await agents.post_turn(wire, "turn_1", url, [SECRET], NOW, b"{}")).answer == FailedPost(why)


@pytest.mark.parametrize("url", ["http://[::1", "http://a\x00b/", NOWHERE], ids=["bracket", "nul", "nowhere"])
async def test_a_judge_that_cannot_be_asked_has_not_passed_the_answer(wire: Wire, url: str) -> None:
    result = await agents.ask_judge(wire, "trial_1", url, [SECRET], NOW, b"{}")
    assert (result.check, result.passed, bool(result.detail)) == ("judge", False, True)


async def test_an_agent_whose_certificate_nobody_signed_is_told_so(wire: Wire, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(write_certificate(tmp_path))
    server = await asyncio.start_server(say(b""), "127.0.0.1", 0, ssl=context)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        result = await agents.post_turn(wire, "turn_1", url, [SECRET], NOW, b"{}")
    assert result.answer == FailedPost("the TLS certificate is not valid: self-signed certificate")


def write_certificate(folder: Path) -> Path:
    """A certificate that signs itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=9))
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    key_bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(certificate.public_bytes(Encoding.PEM) + key_bytes)
    return file


async def test_an_agents_answer_is_read_and_recorded(wire: Wire) -> None:
    async def answer(request: Request) -> Response:
        return JSONResponse({"reply": request.headers.get("webhook-kind", "live")})

    async with served(Starlette(routes=[Route("/", answer, methods=["POST"])])) as url:
        result = await agents.post_turn(wire, "turn_1", f"{url}/", [SECRET], NOW, b"{}", "replay")
    assert (result.answer, result.http_status) == (TakenTurn(texts=("replay",)), 200)
    assert result.recorded_answer == '{"reply":"replay"}'
    assert result.duration_ms == int(result.seconds * 1000)
