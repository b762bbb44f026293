"""What leaves in one write, and what does not wait."""

import asyncio
from collections.abc import Sequence

from app.web.joined_writes import JoinedWrites


class Wire(asyncio.Transport):
    """The other end: keeps what each call of the system would carry."""

    def __init__(self) -> None:
        super().__init__()
        self.packets: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closed
        self.packets.append(bytes(data))

    def writelines(self, list_of_data: Sequence[bytes | bytearray | memoryview]) -> None:  # type: ignore[override]
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


async def test_the_head_and_the_body_of_an_answer_leave_together() -> None:
    wire = Wire()
    transport = JoinedWrites(wire)
    transport.write(b"head")
    transport.write(b"body")
    assert wire.packets == [b"headbody"]
    await asyncio.sleep(0)
    transport.write(b"next head")
    transport.write(b"next body")
    assert wire.packets == [b"headbody", b"next headnext body"]


async def test_a_head_alone_waits_for_one_step_of_the_event_loop() -> None:
    wire = Wire()
    transport = JoinedWrites(wire)
    transport.write(b"head of a stream")
    assert wire.packets == []
    await asyncio.sleep(0)
    assert wire.packets == [b"head of a stream"]


async def test_a_stream_that_never_rests_is_not_piled_up() -> None:
    wire = Wire()
    transport = JoinedWrites(wire)
    for _ in range(100):
        transport.write(b"chunk")
    assert len(b"".join(wire.packets)) == 100 * len(b"chunk")


async def test_an_empty_body_costs_no_write_and_loses_no_head() -> None:
    wire = Wire()
    transport = JoinedWrites(wire)
    transport.write(b"head")
    transport.write(b"")
    transport.write(b"")
    await asyncio.sleep(0)
    assert wire.packets == [b"head"]


async def test_what_is_held_leaves_before_the_connection_is_closed() -> None:
    wire = Wire()
    transport = JoinedWrites(wire)
    transport.write(b"head")
    transport.close()
    assert wire.packets == [b"head"]
    assert transport.is_closing()
    await asyncio.sleep(0)
    assert wire.packets == [b"head"]


async def test_what_is_held_when_the_connection_is_lost_is_dropped() -> None:
    wire = Wire()
    transport = JoinedWrites(wire)
    transport.write(b"head")
    wire.is_closed = True
    await asyncio.sleep(0)
    transport.write(b"head")
    transport.write(b"body")
    await asyncio.sleep(0)
    assert wire.packets == []
