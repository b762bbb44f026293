"""The outbound client against raw servers that behave badly, each on loopback."""

import asyncio
import contextlib
import gzip
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import ip_network

import httpx
import pytest

from app.wire.client import CONNECTIONS_PER_HOST, AnswerLost, NotSent, TooLate, Wire

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(slots=True)
class Peer:
    """A server's address, every request that reached it whole, and how many dialled."""

    port: int = 0
    requests: list[tuple[bytes, bytes]] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


Script = Callable[[Peer, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def peer(script: Script) -> AsyncIterator[Peer]:
    """A server that reads each request whole, then plays `script`."""
    known = Peer()
    serving: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        known.connections += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n")
                     if line.startswith(b"content-length:")), 0,
                )  # fmt: skip
                known.requests.append((head, await reader.readexactly(length)))
                await script(known, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client left
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(converse(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    known.port = server.sockets[0].getsockname()[1]
    try:
        yield known
    finally:
        server.close()
        for task in list(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def answering(*answers: bytes) -> Script:
    """Plays the answers one after the other, the last one for ever."""
    left = list(answers)

    async def script(_: Peer, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        await writer.drain()

    return script


async def hang(_: Peer, __: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def hang_in_the_body(_: Peer, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf")
    await asyncio.sleep(60)


async def drip(_: Peer, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _byte in range(1000):
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.05)


async def close_without_answer(_: Peer, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def reset(_: Peer, writer: asyncio.StreamWriter) -> None:
    made: socket.socket = writer.get_extra_info("socket")
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def end_in_the_body(_: Peer, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()
    writer.close()


async def flood(known: Peer, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")
    for _part in range(1024):
        writer.write(b"x" * 65_536)
        await writer.drain()
    raise AssertionError("the client read 64 MiB")


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    made = Wire(LOOPBACK)
    yield made
    await made.close()


async def post(wire: Wire, url: str, deadline: float = 2.0) -> httpx.Response:
    return await wire.exchange(httpx.Request("POST", url, content=b"text"), deadline)


async def test_a_request_arrives_as_it_was_built(wire: Wire) -> None:
    async with peer(answering(OK)) as there:
        request = httpx.Request(
            "POST", f"{there.url}/a%2Fb%7E?to=%2B1&q=a%20b&w=c+d", json={"text": "é"},
            headers={"Authorization": "Bearer key", "webhook-id": "turn_1"},
        )  # fmt: skip
        answer = await wire.exchange(request, 2)
    head, body = there.requests[0]
    assert head.startswith(b"POST /a%2Fb%7E?to=%2B1&q=a%20b&w=c+d HTTP/1.1\r\n")
    headers = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
    assert headers[b"authorization"] == b"bearer key"
    assert headers[b"webhook-id"] == b"turn_1"
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"host"] == f"127.0.0.1:{there.port}".encode()
    assert headers[b"accept-encoding"] == b"identity"
    assert body == request.content
    assert (answer.status_code, answer.text, answer.request) == (200, "ok", request)
    assert answer.extensions["truncated"] is False


@pytest.mark.parametrize("script", [hang, hang_in_the_body, drip])
async def test_one_deadline_holds_over_the_whole_exchange(wire: Wire, script: Script) -> None:
    async with peer(script) as there:
        begun = time.monotonic()
        with pytest.raises(AnswerLost):
            await post(wire, there.url, deadline=0.4)
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize("script", [close_without_answer, reset, end_in_the_body, answering(b"no HTTP at all\r\n\r\n")])
async def test_a_broken_exchange_is_lost_and_the_post_arrives_once(wire: Wire, script: Script) -> None:
    async with peer(script) as there:
        with pytest.raises(AnswerLost):
            await post(wire, there.url)
        await asyncio.sleep(0.1)
        assert len(there.requests) == 1


async def test_a_post_on_a_kept_connection_that_breaks_is_not_repeated(wire: Wire) -> None:
    async def once_then_close(known: Peer, writer: asyncio.StreamWriter) -> None:
        if len(known.requests) == 1:
            writer.write(OK)
        else:
            writer.close()

    async with peer(once_then_close) as there:
        assert (await post(wire, there.url)).status_code == 200
        with pytest.raises(AnswerLost):
            await post(wire, there.url)
        await asyncio.sleep(0.1)
        assert (len(there.requests), there.connections) == (2, 1)


async def test_a_refused_connection_is_not_sent(wire: Wire) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(NotSent, match="refused"):
        await post(wire, f"http://127.0.0.1:{port}/")


async def test_a_name_that_does_not_resolve_is_not_sent(wire: Wire) -> None:
    with pytest.raises(NotSent, match="resolved"):
        await post(wire, "http://nobody.invalid/", deadline=10)


async def test_a_tls_handshake_that_fails_is_not_sent(wire: Wire) -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        with pytest.raises(NotSent, match="the TLS handshake failed"):
            await post(wire, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


async def test_a_deadline_that_passes_before_the_request_begins_is_not_sent(wire: Wire) -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # never a word of TLS
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server:
        with pytest.raises(NotSent, match="deadline"):
            await post(wire, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", 0.3)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_returned_and_not_followed(wire: Wire, status: int) -> None:
    async with peer(answering(OK)) as elsewhere:
        moved = f"HTTP/1.1 {status} Moved\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\n\r\n"
        async with peer(answering(moved.encode())) as there:
            answer = await post(wire, there.url)
        assert answer.status_code == status
        assert elsewhere.connections == 0


async def test_an_answer_over_the_cap_is_cut_and_marked(wire: Wire) -> None:
    async with peer(flood) as there:
        answer = await wire.exchange(httpx.Request("GET", there.url), 5)
        assert len(answer.content) == 65_536
        assert answer.extensions["truncated"] is True


@pytest.mark.parametrize(("size", "truncated"), [(99, False), (100, False), (101, True)])
async def test_the_cap_counts_bytes_exactly(wire: Wire, size: int, truncated: bool) -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    async with peer(answering(said)) as there:
        answer = await wire.exchange(httpx.Request("GET", there.url), 2, cap=100)
    assert len(answer.content) == min(size, 100)
    assert answer.extensions["truncated"] is truncated


async def test_a_compressed_answer_is_not_unpacked(wire: Wire) -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with peer(answering(head + bomb)) as there:
        answer = await wire.exchange(httpx.Request("GET", there.url), 2)
    assert answer.content == bomb


async def test_odd_bytes_in_a_header_do_not_lose_the_answer(wire: Wire) -> None:
    said = b"HTTP/1.1 201 Created\r\nX-Region: Z\xfcrich\r\nContent-Length: 2\r\n\r\nok"
    async with peer(answering(said)) as there:
        assert (await post(wire, there.url)).status_code == 201


async def test_the_answer_s_headers_arrive_repeated_ones_too(wire: Wire) -> None:
    said = b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nA: 1\r\na: 2\r\nContent-Length: 0\r\n\r\n"
    async with peer(answering(said)) as there:
        answer = await post(wire, there.url)
    assert answer.headers["retry-after"] == "7"
    assert answer.headers.get_list("a") == ["1", "2"]


async def test_cookies_are_not_kept(wire: Wire) -> None:
    said = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok"
    async with peer(answering(said)) as there:
        await post(wire, there.url)
        await post(wire, there.url)
    assert b"cookie" not in there.requests[1][0].lower()


async def test_a_proxy_of_the_environment_is_ignored(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    async with peer(answering(OK)) as proxy, peer(answering(OK)) as there:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert (await post(wire, there.url)).status_code == 200
        assert (proxy.connections, there.connections) == (0, 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f000001", "127.1", "[::1]"])
async def test_without_leave_no_way_of_writing_loopback_is_dialled(host: str) -> None:
    guarded = Wire()
    async with peer(answering(OK)) as there:
        with pytest.raises(NotSent):
            await post(guarded, f"http://{host}:{there.port}/")
        assert there.connections == 0
    await guarded.close()


async def test_a_forbidden_address_is_named_as_the_reason() -> None:
    guarded = Wire()
    with pytest.raises(NotSent, match="not a public one"):
        await post(guarded, "http://169.254.169.254/latest/meta-data/")
    await guarded.close()


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/passwd", "http://me:secret@127.0.0.1/", "/relative"])
async def test_only_plain_http_addresses_are_called(wire: Wire, url: str) -> None:
    with pytest.raises(NotSent):
        await post(wire, url)


async def test_many_exchanges_run_at_once(wire: Wire) -> None:
    all_are_there = asyncio.Barrier(CONNECTIONS_PER_HOST)

    async def patient(_: Peer, writer: asyncio.StreamWriter) -> None:
        await all_are_there.wait()
        writer.write(OK)

    async with peer(patient) as there:
        answers = await asyncio.gather(*(post(wire, there.url, 15) for _ in range(CONNECTIONS_PER_HOST)))
        assert {answer.status_code for answer in answers} == {200}


async def test_what_finds_no_free_connection_in_time_does_not_begin(wire: Wire) -> None:
    by = time.monotonic() + 2

    async def slow(_: Peer, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(by + 0.1 - time.monotonic())
        writer.write(OK)

    async with peer(slow) as there:
        request = httpx.Request("POST", there.url, content=b"text")
        ended = await asyncio.gather(
            *(wire.exchange(request, 10, begin_by=by) for _ in range(CONNECTIONS_PER_HOST + 10)),
            return_exceptions=True,
        )
        assert sum(isinstance(one, TooLate) for one in ended) == 10
        assert len(there.requests) == CONNECTIONS_PER_HOST
        assert (await post(wire, there.url)).status_code == 200
        assert there.connections == CONNECTIONS_PER_HOST  # what came too late left its connection usable


async def test_what_is_late_already_dials_nobody(wire: Wire) -> None:
    async with peer(answering(OK)) as there:
        with pytest.raises(TooLate):
            await wire.exchange(httpx.Request("POST", there.url), 5, begin_by=time.monotonic() - 0.1)
        assert there.connections == 0
