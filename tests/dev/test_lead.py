"""`lead`: somebody chats as a lead of the demo."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.demo.data import NUMBER, Addresses, Demo, get_demo_file
from tests.test_cli import ran
from tests.world import World, agent, carrier, idle_world, working, world

__all__ = ["agent", "carrier", "idle_world", "working", "world"]


def demo_of(world: World) -> Demo:
    """The file that `up` would have written, for this world."""
    empty: dict[str, Any] = dict.fromkeys((name for name in Demo.__slots__ if name != "addresses"), "")
    api = str(world.tenant.http.base_url).rstrip("/")
    return Demo(**{**empty, "api_key": world.tenant.key, "addresses": Addresses(api, world.carrier.url, "")})


async def run_lead(folder: Path, name: str, typed: str) -> tuple[int | None, str]:
    status, out, err = await ran(None, "lead", "--as", name, typed=typed, DATA_DIR=str(folder))
    return status, out + err


async def test_somebody_chats_as_a_lead_of_the_demo(world: World, tmp_path: Path) -> None:
    await world.tenant.lead(leadId="lead_jane", firstName="Jane", lastName="Miller", phone="+12125551234")
    number = await world.tenant.number(phoneNumber=NUMBER, providerAccountId=world.account["accountId"])
    await world.tenant.call(
        "PATCH", f"/sms-agents/{world.smsagent['smsAgentId']}", {"phoneNumberId": number["phoneNumberId"]}
    )
    world.carrier.known.inbound_urls[NUMBER] = world.account["webhooks"]["inbound"]
    get_demo_file(tmp_path).write_text(json.dumps(asdict(demo_of(world))))
    status, out = await run_lead(tmp_path, "JANE", "Hello\n:new\n")
    assert status == 0, out
    assert "You are Jane Miller, +12125551234." in out
    assert "lead> Hello" in out
    assert "you are Jane; :quit, and begin again with another --as" in out
    [thread] = (await world.tenant.call("GET", "/interactions/lead/lead_jane"))["interactions"]
    assert [entry["message"] for entry in thread["transcript"]] == ["Hello"]
    await world.tenant.call("PATCH", "/leads/lead_jane", {"lastName": None})
    _, out = await run_lead(tmp_path, "JANE", "")
    assert "You are Jane, +12125551234." in out
    status, out = await run_lead(tmp_path, "nobody", "")
    assert (status, "--as: no lead is called nobody; there are " in out) == (2, True), out
