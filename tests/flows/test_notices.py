"""People are told what needs one: quietly, by the ways that each chose."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app import worker
from app.calls.notices import NotTold, send_mail
from app.domain.notices import NoticeKind, NoticeWay
from app.resources import Resources
from app.store import notices
from app.wire.client import Wire
from app.wire.mail import MailClient, read_server
from tests.flows.test_events import settle
from tests.mail_server import MailServerDouble, taking_mail
from tests.web.people import add_person
from tests.world import World, served, until

EMAIL = "sam@example.com"
DUE_NOW_SQL = "UPDATE notice_ways SET due_at = clock_timestamp() WHERE tenant_id = $1 AND lease IS NULL"
FAILED_TURN_SQL = """
INSERT INTO tenant_events (tenant_id, type, name, interaction_id, data) VALUES ($1, 'turn', 'turn.failed', $2, $3)
"""
REFUSED_ACCOUNT_SQL = """
UPDATE provider_accounts SET paused_at = clock_timestamp(), paused_reason = 'suspended' WHERE tenant_id = $1
"""
FOLLOW_UP_SQL = """
UPDATE interactions SET status = 'follow_up', last_change = $3 WHERE tenant_id = $1 AND interaction_id = $2
"""


@dataclass(slots=True)
class Hook:
    """A chat's incoming webhook as a double at the wire."""

    url: str = ""
    texts: list[str] = field(default_factory=list)
    status: int = 200
    tries: int = 0

    async def take(self, request: Request) -> Response:
        self.tries += 1
        if self.status == 200:
            self.texts.append(json.loads(await request.body())["text"])
        return Response("ok", self.status)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    double = Hook()
    async with served(Starlette(routes=[Route("/in", double.take, methods=["POST"])])) as url:
        double.url = f"{url}/in"
        yield double


@pytest.fixture
async def mail_server() -> AsyncIterator[MailServerDouble]:
    async with taking_mail() as double:
        yield double


@pytest.fixture
async def sam_id(resources: Resources, idle_world: World) -> str:
    return await add_person(resources, idle_world.tenant.tenant_id, EMAIL)


@pytest.fixture
async def mailing(resources: Resources, mail_server: MailServerDouble) -> AsyncIterator[Resources]:
    """What a process holds that knows a mail server."""
    mail = MailClient(read_server(mail_server.url), "LeadSail <notices@example.com>")
    yield replace(resources, mail=mail)
    mail.close()


@asynccontextmanager
async def working_with(*all_resources: Resources) -> AsyncIterator[None]:
    """A worker for each of the resources, once the feed tells all that was written before."""
    await settle(all_resources[0])
    all_loops = [worker.build_loops(resources) for resources in all_resources]
    tasks = [asyncio.create_task(loops.run()) for loops in all_loops]
    try:
        yield
    finally:
        for loops in all_loops:
            loops.stop()
        await asyncio.gather(*tasks)


async def choose(
    resources: Resources,
    world: World,
    user_id: str,
    way: NoticeWay,
    kinds: Sequence[NoticeKind] = ("needs_person",),
    url: str | None = None,
) -> None:
    async with resources.database.tenant_tx(world.tenant.tenant_id) as tx:
        sealed_url = resources.seal.close(url.encode()) if url else None
        await notices.save_way(tx, world.tenant.tenant_id, user_id, way, kinds, sealed_url)


async def open_thread(world: World, **lead: str) -> str:
    """A thread with a lead of its own; returns its id."""
    made = await world.tenant.lead(campaignId=world.campaign["campaignId"], **lead)
    sent = await world.tenant.call("POST", "/sms/send", {"leadId": made["leadId"], "message": "Do you own it?"})
    interaction_id: str = sent["interactionId"]
    return interaction_id


async def need_person(world: World, interaction_id: str) -> None:
    await world.tenant.call("PATCH", f"/interactions/{interaction_id}", {"status": "follow_up"})


async def make_due(resources: Resources, world: World) -> None:
    async with resources.database.system_tx() as tx:
        await tx.execute(DUE_NOW_SQL, world.tenant.tenant_id)


async def get_way(resources: Resources, world: World, user_id: str) -> notices.WaySettings:
    async with resources.database.read_tx(world.tenant.tenant_id) as read:
        [way] = await notices.list_ways(read, world.tenant.tenant_id, user_id)
    return way


async def test_nobody_is_told_anything_unless_they_choose_it(
    idle_world: World, mailing: Resources, mail_server: MailServerDouble, hook: Hook, sam_id: str
) -> None:
    await choose(mailing, idle_world, sam_id, "hook", ["account_failing"], hook.url)
    thread_id = await open_thread(idle_world)
    await need_person(idle_world, thread_id)
    async with working_with(mailing):
        await asyncio.sleep(2.5)
    assert (mail_server.messages, hook.tries) == ([], 0)


async def test_a_thread_that_needs_a_person_is_told_by_mail_and_hook_without_words_or_phones(
    idle_world: World, mailing: Resources, mail_server: MailServerDouble, hook: Hook, sam_id: str
) -> None:
    thread_id = await open_thread(idle_world, firstName="<!channel> Jo&Co\nBcc: x", phone="+12125550155")
    await choose(mailing, idle_world, sam_id, "email")
    await choose(mailing, idle_world, sam_id, "hook", url=hook.url)
    await need_person(idle_world, thread_id)
    async with working_with(mailing):

        async def both() -> bool:
            return bool(mail_server.messages and hook.texts)

        await until(both)
    [message] = mail_server.messages
    assert (message["To"], message["From"]) == (EMAIL, "LeadSail <notices@example.com>")
    assert (message["Subject"], message["Bcc"]) == ("LeadSail SMS: 1 notice", None)
    assert message["Message-ID"].endswith("@example.com>")
    address = f"{mailing.settings.base_url}/conversations/{thread_id}"
    assert f"needs a person: the status is “Follow up”. {address}" in message.get_content()
    [text] = hook.texts
    assert text.startswith("&lt;!channel&gt; Jo&amp;Co Bcc: x needs a person")
    for told in (message.as_string(), text):
        assert "+12125550155" not in told
        assert "own it" not in told


async def test_two_workers_send_one_digest_and_the_next_a_minute_later(
    idle_world: World, mailing: Resources, hook: Hook, sam_id: str
) -> None:
    threads = [await open_thread(idle_world, firstName=f"Lead {n}") for n in range(3)]
    await choose(mailing, idle_world, sam_id, "hook", url=hook.url)
    await need_person(idle_world, threads[0])
    async with working_with(mailing, mailing):

        async def first() -> bool:
            return bool(hook.texts)

        await until(first)
        for thread_id in threads[1:]:
            await need_person(idle_world, thread_id)
        await asyncio.sleep(2.5)
        assert len(hook.texts) == 1

        async def second() -> bool:
            await make_due(mailing, idle_world)
            return len(hook.texts) > 1

        await until(second)
        await asyncio.sleep(1.5)
    assert hook.tries == 2
    assert [line.split(" needs")[0] for line in hook.texts[1].splitlines()] == ["Lead 2", "Lead 1"]


async def test_a_mail_server_that_fails_is_tried_again_and_shown(
    idle_world: World, mailing: Resources, mail_server: MailServerDouble, sam_id: str
) -> None:
    mail_server.is_broken = True
    threads = [await open_thread(idle_world, firstName=name) for name in ("Ann", "Bob")]
    await choose(mailing, idle_world, sam_id, "email")
    await need_person(idle_world, threads[0])
    async with working_with(mailing):

        async def failing() -> notices.WaySettings | None:
            way = await get_way(mailing, idle_world, sam_id)
            return way if way.failure else None

        way = await until(failing)
        assert way.failure == "the mail server answered 451"
        assert (way.failing_since, way.sent_at is None) != (None, False)
        mail_server.is_broken = False
        await need_person(idle_world, threads[1])

        async def told() -> bool:
            await make_due(mailing, idle_world)
            return len(mail_server.messages) == 1

        await until(told)

        async def well() -> bool:
            return (await get_way(mailing, idle_world, sam_id)).failure is None

        await until(well)
    text = mail_server.texts_to(EMAIL)[0]
    assert "Ann needs" in text
    assert "Bob needs" in text


async def test_a_digest_is_cut_short_and_an_agent_is_one_line(
    idle_world: World, mailing: Resources, hook: Hook, sam_id: str
) -> None:
    threads = [await open_thread(idle_world, firstName=f"Lead {n}") for n in range(24)]
    await choose(mailing, idle_world, sam_id, "hook", ["needs_person", "agent_down"], hook.url)
    for thread_id in threads:
        await need_person(idle_world, thread_id)
    agent_id = idle_world.smsagent["smsAgentId"]
    for _ in range(2):
        await idle_world.tenant.call("POST", f"/sms-agents/{agent_id}/pause", {"reason": "odd"})
        await idle_world.tenant.call("POST", f"/sms-agents/{agent_id}/resume")
    await idle_world.tenant.call("POST", f"/sms-agents/{agent_id}/pause", {"reason": "odd"})
    async with working_with(mailing):

        async def told() -> bool:
            return bool(hook.texts)

        await until(told)
    lines = hook.texts[0].splitlines()
    assert lines[0].startswith("The agent “")
    assert "is paused. " in lines[0]
    assert sum("The agent" in line for line in lines) == 1
    assert len(lines) == 21
    assert lines[-1].startswith("And 5 more. ")


async def test_an_agent_that_failed_and_an_account_that_is_refused_are_told_by_name(
    idle_world: World, mailing: Resources, hook: Hook, sam_id: str
) -> None:
    tenant_id, thread_id = idle_world.tenant.tenant_id, await open_thread(idle_world)
    await choose(mailing, idle_world, sam_id, "hook", ["agent_down", "account_failing"], hook.url)
    async with mailing.database.system_tx() as tx:
        agent_data = {"smsAgentId": idle_world.smsagent["smsAgentId"], "reason": "HTTP 500"}
        await tx.execute(FAILED_TURN_SQL, tenant_id, thread_id, agent_data)
        await tx.execute(REFUSED_ACCOUNT_SQL, tenant_id)
    async with working_with(mailing):

        async def told() -> bool:
            return bool(hook.texts)

        await until(told)
    account, agent = hook.texts[0].splitlines()
    base_url, name = mailing.settings.base_url, idle_world.smsagent["name"]
    assert agent == (
        f"The agent “{name}” could not be reached. {base_url}/settings/agents/{idle_world.smsagent['smsAgentId']}"
    )
    assert account.startswith(f"The carrier refuses the account “{idle_world.account['name']}”; its texts wait. ")
    assert account.endswith(f"/settings/accounts/{idle_world.account['accountId']}")


async def test_people_are_not_told_what_they_did_themselves_nor_after_they_left(
    idle_world: World, mailing: Resources, hook: Hook, sam_id: str
) -> None:
    thread_id = await open_thread(idle_world)
    await choose(mailing, idle_world, sam_id, "hook", url=hook.url)
    async with mailing.database.tenant_tx(idle_world.tenant.tenant_id) as tx:
        await tx.execute(FOLLOW_UP_SQL, idle_world.tenant.tenant_id, thread_id, {"actor": f"person:{sam_id}"})
    async with working_with(mailing):
        await asyncio.sleep(2.5)
        assert hook.tries == 0
        async with mailing.database.system_tx() as tx:
            await tx.execute("UPDATE users SET active = false WHERE user_id = $1", sam_id)
        await need_person(idle_world, await open_thread(idle_world))
        await asyncio.sleep(2.5)
    assert hook.tries == 0


async def test_no_hook_leads_inside(idle_world: World, mailing: Resources, hook: Hook, sam_id: str) -> None:
    await choose(mailing, idle_world, sam_id, "hook", url=hook.url)
    await need_person(idle_world, await open_thread(idle_world))
    wire = Wire()
    async with working_with(replace(mailing, wire=wire)):

        async def refused() -> str | None:
            return (await get_way(mailing, idle_world, sam_id)).failure

        assert await until(refused) == "the address is not a public one"
    await wire.close()
    assert hook.tries == 0


async def test_a_worker_that_died_leaves_its_digest_to_another(
    idle_world: World, mailing: Resources, hook: Hook, sam_id: str
) -> None:
    await choose(mailing, idle_world, sam_id, "hook", url=hook.url)
    await need_person(idle_world, await open_thread(idle_world))

    async def leased() -> bool:
        async with mailing.database.system_tx() as tx:
            return bool(await notices.claim(tx, ["hook"], 9, "dead", timedelta(minutes=1)))

    await until(leased)  # its worker dies here
    async with mailing.database.system_tx() as tx:
        await tx.execute("UPDATE notice_ways SET due_at = clock_timestamp() WHERE lease = 'dead'")
    async with working_with(mailing):

        async def told() -> bool:
            return bool(hook.texts)

        await until(told)
    assert hook.tries == 1


async def test_after_a_restore_nobody_misses_what_happens_then(
    idle_world: World, resources: Resources, sam_id: str
) -> None:
    """The cursor comes from another server, whose transactions were further on."""
    await choose(resources, idle_world, sam_id, "hook", url="https://hooks.example.com/x")
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE notice_ways SET transaction = '999999999999', event_id = 5")
    await need_person(idle_world, await open_thread(idle_world))

    async def claimed() -> bool:
        async with resources.database.system_tx() as tx:
            return bool(await notices.claim(tx, ["hook"], 9, "lease", timedelta(minutes=1)))

    await until(claimed)


async def test_an_address_with_a_line_break_adds_no_header(mailing: Resources, mail_server: MailServerDouble) -> None:
    assert mailing.mail
    for to, subject in (("a@example.com\r\nBcc: b@example.com", "Hi"), ("a@example.com", "Hi\nBcc: b@example.com")):
        with pytest.raises(NotTold):
            await send_mail(mailing.mail, to, subject, ["Hello"], "d1")
    assert mail_server.messages == []
