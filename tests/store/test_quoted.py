"""Our texts and our name are read only for texts that may quote them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from app.resources import Resources
from app.store import inbox
from app.store.inbox import IncomingText
from tests.makers import phone
from tests.world import World, agent, carrier, idle_world

__all__ = ["agent", "carrier", "idle_world"]


async def test_the_last_three_texts_of_the_thread_are_read_for_one_that_may_quote(
    idle_world: World, resources: Resources
) -> None:
    world = idle_world
    for n in range(4):
        await world.send(f"Text {n}")
    await world.text("Yes")
    later = await world.send("Text 4")
    await world.tenant.call("POST", f"/messages/{later['messageId']}/cancel")
    await world.send("Text 5", sendAt=(datetime.now(UTC) + timedelta(days=2)).isoformat())
    account = world.account["accountId"]
    async with resources.database.system_tx() as tx:
        text = IncomingText(
            world.tenant.tenant_id, account, world.ours, world.phone, tx.hash_phone(world.phone), "id", may_quote=True
        )
        plain, stranger = replace(text, may_quote=False), replace(text, lead_phone=phone())
        routes = await inbox.remember_new(tx, [text, plain, stranger])
    assert [route.our_texts for route in routes] == [["Text 3", "Text 2", "Text 1", "Tenant"], [], ["Tenant"]]
