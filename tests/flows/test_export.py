"""Exports: everything of a thread or a lead, for people and spreadsheets."""

import csv
import io

import pytest

from app.web import exports
from tests.makers import Data
from tests.world import World


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def conversation(world: World) -> Data:
    sent = await world.send("Hi Jane")
    await world.status_is(sent["messageId"], "delivered")
    await world.text('=HYPERLINK("http://evil.example")\nand "more", you see')
    return sent


async def test_a_thread_is_exported_with_every_text(world: World) -> None:
    sent = await conversation(world)
    path = f"/interactions/{sent['interactionId']}/export"
    told = await world.tenant.call("GET", path)
    assert told["interaction"]["interactionId"] == sent["interactionId"]
    first, second = told["messages"]
    assert (first["message"], first["status"], first["toPhone"]) == (
        "Hi Jane", "delivered", world.phone,
    )  # fmt: skip
    assert (second["role"], second["fromPhone"]) == ("user", world.phone)

    answer = await world.tenant.ask("GET", path, params={"format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    name = f'attachment; filename="{sent["interactionId"]}.csv"'
    assert answer.headers["content-disposition"] == name
    first, second = rows(answer.text)
    assert (first["from"], first["to"]) == (world.ours, world.phone)
    assert second["message"] == '\'=HYPERLINK("http://evil.example")\nand "more", you see'


async def test_a_lead_is_exported_with_its_consent_and_all_its_threads(world: World) -> None:
    await conversation(world)
    other = await world.tenant.number(providerAccountId=world.account["accountId"])
    await world.send("From another number", **{"from": other["phoneNumber"]})
    await world.text("STOP")
    told = await world.tenant.call("GET", f"/leads/{world.lead['leadId']}/export")
    assert told["lead"]["email"] == "jane@example.com"
    assert told["consent"]["causes"] == ["lead"]
    said = {text["message"] for thread in told["interactions"] for text in thread["messages"]}
    assert {"Hi Jane", "From another number", "STOP"} <= said
    path = f"/leads/{world.lead['leadId']}/export?format=csv"
    table = rows((await world.tenant.ask("GET", path)).text)
    assert {"Hi Jane", "From another number", "STOP"} <= {row["message"] for row in table}
    assert len({row["interactionId"] for row in table}) == 2


async def test_a_lead_without_a_phone_has_no_consent_to_tell(world: World) -> None:
    lead = await world.tenant.lead(phone=None)
    told = await world.tenant.call("GET", f"/leads/{lead['leadId']}/export")
    assert (told["consent"], told["interactions"]) == (None, [])


async def test_a_long_thread_is_read_in_pages_and_told_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "TEXTS_PER_QUERY", 3)
    sent = await world.send("Text 0")
    for n in range(1, 7):
        await world.send(f"Text {n}")
    told = await world.tenant.call("GET", f"/interactions/{sent['interactionId']}/export")
    assert [text["message"] for text in told["messages"]] == [f"Text {n}" for n in range(7)]


async def test_another_format_is_refused_by_name(world: World) -> None:
    sent = await world.send("Hi")
    path = f"/interactions/{sent['interactionId']}/export?format=xlsx"
    answer = await world.tenant.ask("GET", path)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0].startswith("format:")
