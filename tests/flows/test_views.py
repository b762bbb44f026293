"""The views of the list: what waits, whose it is, what was read; and that the counts say the same."""

from dataclasses import dataclass

import pytest

from app.resources import Resources
from tests.flows.test_agent_mode import expire
from tests.makers import Data, Tenant, phone
from tests.web.people import add_person
from tests.web.test_directory import details
from tests.world import World


@dataclass(frozen=True, slots=True)
class Inbox:
    world: World
    resources: Resources
    jane: str

    @property
    def tenant(self) -> Tenant:
        return self.world.tenant

    async def shown(self, view: str, query: str = "") -> list[str]:
        """The threads of the view; the count must say as many."""
        path = f"/interactions?view={view}&personId={self.jane}{query}"
        threads: list[Data] = (await self.tenant.call("GET", path))["interactions"]
        if not query:
            counts = await self.tenant.call("GET", f"/views?personId={self.jane}")
            assert counts[view] == len(threads)
        return [thread["interactionId"] for thread in threads]

    async def talk(self, agent_mode: bool = False, name: str = "Ann") -> "Talk":
        lead = await self.tenant.lead(
            phone=phone(), campaignId=self.world.campaign["campaignId"], firstName=name, lastName="X"
        )
        body = {"leadId": lead["leadId"], "message": "Hi", "agentMode": agent_mode}
        sent = await self.tenant.call("POST", "/sms/send", body)
        return Talk(self, lead, sent["interactionId"], sent["messageId"])

    async def run_sql(self, sql: str, *args: object) -> None:
        async with self.resources.database.system_tx() as tx:
            await tx.execute(sql, *args)


@dataclass(frozen=True, slots=True)
class Talk:
    inbox: Inbox
    lead: Data
    id: str
    message_id: str

    async def hear(self, text: str = "Hello?") -> None:
        world = self.inbox.world
        assert await world.carrier.text(self.lead["phone"], world.ours, text) == 200

    async def answer(self) -> None:
        await self.inbox.tenant.call("POST", "/sms/send", {"leadId": self.lead["leadId"], "message": "Yes"})

    async def change(self, **fields: object) -> None:
        await self.inbox.tenant.call("PATCH", f"/interactions/{self.id}", fields)


@pytest.fixture
async def inbox(idle_world: World, resources: Resources) -> Inbox:
    jane = await add_person(resources, idle_world.tenant.tenant_id, "jane@example.com")
    return Inbox(idle_world, resources, jane)


async def test_a_lead_waits_until_somebody_answers(inbox: Inbox) -> None:
    talk = await inbox.talk()
    assert await inbox.shown("waiting") == []
    await talk.hear()
    await talk.hear("Anybody?")
    assert await inbox.shown("waiting") == [talk.id]
    await talk.answer()
    assert await inbox.shown("waiting") == []
    assert await inbox.shown("all") == [talk.id]


async def test_who_waits_longest_comes_first_from_the_first_text_that_is_not_answered(inbox: Inbox) -> None:
    first, second, third = [await inbox.talk() for _ in range(3)]
    for talk in (second, first, third):
        await talk.hear()
    since = (await inbox.world.thread(second.id))["waitingSince"]
    await second.hear("Still here")
    assert (await inbox.world.thread(second.id))["waitingSince"] == since
    assert await inbox.shown("waiting") == [second.id, first.id, third.id]
    page = await inbox.tenant.call("GET", "/interactions?view=waiting&limit=2")
    rest = await inbox.tenant.call("GET", f"/interactions?view=waiting&limit=2&cursor={page['nextCursor']}")
    assert [one["interactionId"] for one in rest["interactions"]] == [third.id]
    await second.answer()
    await second.hear("One more thing")
    assert await inbox.shown("waiting") == [first.id, third.id, second.id]


async def test_an_agent_that_answers_lets_nobody_wait_but_one_that_gave_up_does(inbox: Inbox) -> None:
    talk = await inbox.talk(agent_mode=True)
    await talk.hear()
    assert await inbox.shown("waiting") == []
    await inbox.run_sql("UPDATE interactions SET gave_up_at = clock_timestamp() WHERE interaction_id = $1", talk.id)
    assert await inbox.shown("waiting") == [talk.id]
    await talk.hear("Again")
    assert await inbox.shown("waiting") == []  # the agent gets another turn
    await talk.change(agentMode=False)
    assert await inbox.shown("waiting") == [talk.id]


async def test_a_lead_whose_agent_did_not_answer_in_time_waits(world: World, resources: Resources) -> None:
    inbox = Inbox(world, resources, await add_person(resources, world.tenant.tenant_id, "jane@example.com"))
    talk = await inbox.talk(agent_mode=True)
    await talk.change(status="qualified")
    await talk.hear()
    await world.turn_is(talk.id, "awaiting_reply")
    assert await inbox.shown("waiting") == []
    await expire(resources)
    await world.turn_is(talk.id, "expired")
    assert await inbox.shown("waiting") == [talk.id]


@pytest.mark.parametrize("status", ["completed", "disqualified"])
async def test_a_thread_that_a_person_closed_waits_again_when_the_lead_writes(inbox: Inbox, status: str) -> None:
    talk = await inbox.talk()
    await talk.hear()
    await talk.change(status=status)
    assert await inbox.shown("waiting") == []
    await talk.hear("One more question")
    assert await inbox.shown("waiting") == [talk.id]


async def test_who_opted_out_waits_for_nobody(inbox: Inbox) -> None:
    talk = await inbox.talk()
    await talk.hear()
    await talk.hear("STOP")
    assert await inbox.shown("waiting") == []


async def test_a_text_that_failed_waits_for_a_person(inbox: Inbox) -> None:
    talk = await inbox.talk()
    await inbox.run_sql(
        "UPDATE messages SET status = 'failed', error_code = 'unreachable' WHERE message_id = $1", talk.message_id
    )
    assert await inbox.shown("waiting") == [talk.id]
    await talk.change(snoozedUntil="reply")
    assert await inbox.shown("waiting") == []


async def test_a_possible_opt_out_is_held_and_waits(inbox: Inbox) -> None:
    talk = await inbox.talk(agent_mode=True)
    await talk.hear("wrong number")
    assert await inbox.shown("held") == [talk.id]
    assert await inbox.shown("waiting") == [talk.id]


async def test_mine_is_what_is_assigned_to_me_and_still_open(inbox: Inbox) -> None:
    talks = [await inbox.talk() for _ in range(4)]
    for talk in talks[:3]:
        await talk.change(assignedTo=inbox.jane)
    await talks[0].change(status="completed")
    await talks[1].change(snoozedUntil="reply")
    assert await inbox.shown("mine") == [talks[2].id]
    assert await inbox.shown("snoozed") == [talks[1].id]
    assert len((await inbox.tenant.call("GET", f"/interactions?assignedTo={inbox.jane}"))["interactions"]) == 3


async def test_each_person_has_read_for_themselves(inbox: Inbox) -> None:
    omar = await add_person(inbox.resources, inbox.tenant.tenant_id, "omar@example.com")
    talk = await inbox.talk()
    assert await inbox.shown("unread") == []  # our own text is nobody's news
    await talk.hear()
    assert await inbox.shown("unread") == [talk.id]
    await inbox.tenant.call("POST", f"/interactions/{talk.id}/read", {"throughSeq": 2, "personId": inbox.jane})
    assert await inbox.shown("unread") == []
    assert (await inbox.tenant.call("GET", f"/views?personId={omar}"))["unread"] == 1
    await talk.answer()
    await inbox.tenant.call("POST", f"/interactions/{talk.id}/notes", {"text": "She called"})
    assert await inbox.shown("unread") == []  # neither a text of ours nor a note
    await inbox.tenant.call("POST", f"/interactions/{talk.id}/unread", {"personId": inbox.jane})
    assert await inbox.shown("unread") == [talk.id]
    await inbox.tenant.call("POST", f"/interactions/{talk.id}/read", {"throughSeq": 99, "personId": inbox.jane})
    await talk.hear("Me again")
    assert await inbox.shown("unread") == [talk.id]


async def test_unread_by_nobody_in_particular_is_what_the_count_of_the_thread_says(inbox: Inbox) -> None:
    talk = await inbox.talk()
    await talk.hear()
    await talk.hear("Hello?")
    path = f"/interactions/{talk.id}"
    assert (await inbox.tenant.call("POST", f"{path}/read", {"throughSeq": 9}))["unreadCount"] == 0
    assert (await inbox.tenant.call("POST", f"{path}/unread", {}))["unreadCount"] == 1
    assert len((await inbox.tenant.call("GET", "/interactions?unread=true"))["interactions"]) == 1


async def test_a_view_is_narrowed_and_searched(inbox: Inbox) -> None:
    ann, bob = await inbox.talk(name="Ann"), await inbox.talk(name="Bob")
    for talk in (ann, bob):
        await talk.hear(f"I am {talk.lead['firstName']}")
    await bob.change(status="qualified")
    assert await inbox.shown("waiting", "&status=qualified") == [bob.id]
    assert await inbox.shown("waiting", "&search=Ann") == [ann.id]
    assert await inbox.shown("waiting", "&search=bob&in=messages") == [bob.id]
    assert await inbox.shown("unread", "&assignedTo=nobody") == [bob.id, ann.id]
    assert await inbox.shown("snoozed", "&search=Ann") == []


async def test_a_personal_view_needs_a_person_of_the_tenant(inbox: Inbox, other_tenant: Tenant) -> None:
    stranger = await add_person(inbox.resources, other_tenant.tenant_id, "eve@example.com")
    assert details(await inbox.tenant.ask("GET", "/interactions?view=mine")) == ["personId: is needed for this view"]
    for method, path, body in (
        ("GET", f"/views?personId={stranger}", None),
        ("POST", f"/interactions/{(await inbox.talk()).id}/unread", {"personId": stranger}),
    ):
        assert details(await inbox.tenant.ask(method, path, body)) == ["personId: does not exist"]
    counts = await inbox.tenant.call("GET", "/views")
    assert (counts["mine"], counts["unread"]) == (None, None)


async def test_saved_views_are_everybodys_or_a_persons(inbox: Inbox) -> None:
    tenant = inbox.tenant
    body = {"name": "Spring", "filter": {"view": "waiting", "campaign": ["spring"]}}
    shared = await tenant.call("POST", "/saved-views", body)
    own = await tenant.call("POST", "/saved-views", body | {"name": "Own", "personId": inbox.jane})
    assert (shared["personId"], own["personId"]) == (None, inbox.jane)
    changed = await tenant.call("PATCH", f"/saved-views/{own['savedViewId']}", {"filter": {"assigned": "nobody"}})
    assert (changed["name"], changed["filter"]["assigned"], changed["filter"]["view"]) == ("Own", "nobody", None)
    page = await tenant.call("GET", "/saved-views")
    assert [view["name"] for view in page["savedViews"]] == ["Own", "Spring"]
    await tenant.call("DELETE", f"/saved-views/{own['savedViewId']}")
    assert (await tenant.ask("GET", f"/saved-views/{own['savedViewId']}")).status_code == 404
    refused = await tenant.ask("POST", "/saved-views", body | {"filter": {"view": "other"}})
    assert details(refused)[0].startswith("filter.view: ")
