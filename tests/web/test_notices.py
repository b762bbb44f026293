"""What people choose to be told, and what the page tells them."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.main import build_app
from app.resources import Resources
from app.settings import Settings
from app.wire.mail import MailClient, read_server
from tests.mail_server import MailServerDouble, taking_mail
from tests.makers import Tenant
from tests.web.conftest import EMAIL
from tests.web.people import Browser, add_person, browser
from tests.world import World, served, until

HOOK = "https://hooks.example.com/services/T0/B0/verysecret"


async def save(sam: Browser, way: str, *kinds: str, **more: str) -> str:
    answer = await sam.submit(await sam.page("/account"), f"/notices/{way}", kinds=list(kinds), **more)
    assert answer.status_code == 303, answer.text
    return await sam.page(answer.headers["location"])


def ticked(page: str, way: str) -> list[str]:
    part = page.split(f'action="/account/notices/{way}"')[1].split("</form>")[0]
    return re.findall(r'value="(\w+)" checked', part)


async def need_person(world: World) -> str:
    sent = await world.send()
    await world.tenant.call("PATCH", f"/interactions/{sent['interactionId']}", {"status": "follow_up"})
    interaction_id: str = sent["interactionId"]
    return interaction_id


async def test_nothing_is_chosen_at_first_and_the_head_stays_as_it_is(sam: Browser) -> None:
    page = await sam.page("/account")
    assert [ticked(page, way) for way in ("page", "email", "hook")] == [[], [], []]
    assert "Needs you</a>" not in page
    assert "E-mail is not configured here" in page
    assert "Nothing needs you" in await sam.page("/notices")


async def test_the_page_counts_what_was_not_seen_and_leads_there(sam: Browser, idle_world: World) -> None:
    page = await save(sam, "page", "needs_person", "agent_down")
    assert ticked(page, "page") == ["needs_person", "agent_down"]
    assert "Your notices were saved." in page
    interaction_id = await need_person(idle_world)

    async def counted() -> bool:
        return bool(re.search(r'class="count">1<', await sam.page("/conversations")))

    await until(counted)
    agent_id = idle_world.smsagent["smsAgentId"]
    await idle_world.tenant.call("POST", f"/sms-agents/{agent_id}/pause", {"reason": "odd"})

    async def counted_both() -> bool:
        return bool(re.search(r'class="count">2<', await sam.page("/conversations")))

    await until(counted_both)
    page = await sam.page("/notices")
    assert f'href="/conversations/{interaction_id}"' in page
    assert f'href="/settings/agents/{agent_id}"' in page
    assert page.count(">New<") == 2
    assert 'class="count"' not in page
    page = await sam.page("/notices")
    assert f'href="/conversations/{interaction_id}"' in page
    assert ">New<" not in page
    assert (await sam.get(f"/settings/agents/{agent_id}")).status_code == 200


async def test_the_page_tells_a_person_nothing_of_their_own_doing(sam: Browser, idle_world: World) -> None:
    await save(sam, "page", "needs_person")
    sent = await idle_world.send()
    thread_path = f"/conversations/{sent['interactionId']}"
    answer = await sam.submit(await sam.page(thread_path), "/status", status="follow_up")
    assert answer.status_code == 303
    other_id = await need_other_person(idle_world)

    async def told() -> str | None:
        page = await sam.page("/notices")
        return page if other_id in page else None

    assert thread_path not in await until(told)


async def need_other_person(world: World) -> str:
    lead = await world.tenant.lead(campaignId=world.campaign["campaignId"])
    sent = await world.tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hi"})
    interaction_id: str = sent["interactionId"]
    await world.tenant.call("PATCH", f"/interactions/{interaction_id}", {"status": "follow_up"})
    return interaction_id


async def test_a_member_is_led_to_no_page_of_admins(sam: Browser, resources: Resources, idle_world: World) -> None:
    await add_person(resources, idle_world.tenant.tenant_id, "max@example.com")
    sam.http.cookies.clear()
    await sam.sign_in("max@example.com")
    await save(sam, "page", "agent_down")
    agent_id = idle_world.smsagent["smsAgentId"]
    await idle_world.tenant.call("POST", f"/sms-agents/{agent_id}/pause", {"reason": "odd"})

    async def told() -> str | None:
        page = await sam.page("/notices")
        return page if "is paused" in page else None

    assert agent_id not in await until(told)


async def test_a_hook_is_stored_sealed_never_shown_and_forgotten_with_its_last_kind(
    sam: Browser, resources: Resources, tenant: Tenant
) -> None:
    page = await save(sam, "hook", "needs_person", url=HOOK)
    assert "verysecret" not in page
    assert ticked(page, "hook") == ["needs_person"]
    assert "Stored." in page
    page = await save(sam, "hook", "needs_person", "account_failing", url="")
    assert ticked(page, "hook") == ["needs_person", "account_failing"]
    async with resources.database.system_tx() as tx:
        sealed = await tx.fetch_value("SELECT address FROM notice_ways WHERE tenant_id = $1", tenant.tenant_id)
    assert b"verysecret" not in sealed
    assert resources.seal.open(sealed).decode() == HOOK
    people = await sam.page("/settings/people")
    assert "told by webhook" in people
    assert "verysecret" not in people
    page = await save(sam, "hook")
    assert "Stored." not in page
    async with resources.database.system_tx() as tx:
        assert not await tx.fetch_value("SELECT address FROM notice_ways WHERE tenant_id = $1", tenant.tenant_id)


@pytest.mark.parametrize(
    ("url", "said"),
    [("", "Is required"), ("ftp://x.example", "must be an http"), ("https://me:pw@x.example", "without a user name")],
)
async def test_a_refused_hook_says_why_beside_the_field(sam: Browser, url: str, said: str) -> None:
    page = await sam.page("/account")
    answer = await sam.submit(page, "/notices/hook", kinds=["needs_person"], url=url)
    assert answer.status_code == 400
    assert said.lower() in answer.text.split('id="fault-url">')[1].split("<")[0].lower()


async def test_unknown_ways_kinds_and_foreign_forms_are_refused(sam: Browser) -> None:
    page = await sam.page("/account")
    assert (await sam.submit(page, "/notices/page", kinds=["everything"])).status_code in (400, 422)
    assert (await sam.post("/account/notices/fax", kinds=["needs_person"])).status_code in (400, 403, 404, 422)
    assert (await sam.post("/account/notices/page", kinds=["needs_person"])).status_code == 403
    assert ticked(await sam.page("/account"), "page") == []


async def test_the_test_button_of_a_hook_posts_and_says_what_went_wrong(sam: Browser, tenant: Tenant) -> None:
    posted: list[object] = []

    async def take(request: Request) -> Response:
        posted.append(await request.json())
        return Response(status_code=200 if len(posted) == 1 else 404)

    async with served(Starlette(routes=[Route("/in", take, methods=["POST"])])) as url:
        page = await save(sam, "hook", "needs_person", url=f"{url}/in")
        hidden = dict(re.findall(r'type="hidden" name="(csrf)" value="([^"]*)"', page))
        answer = await sam.post("/account/notices/hook/test", **hidden)
        assert answer.headers["location"] == "/account?done=test"
        answer = await sam.post("/account/notices/hook/test", **hidden)
        assert answer.status_code == 400
        assert "The test did not arrive: the webhook answered 404." in answer.text
    assert posted == [{"text": "This is a test: notices reach you here."}] * 2


@pytest.fixture
async def mailing(
    resources: Resources, configuration: Settings, tenant: Tenant
) -> AsyncIterator[tuple[Browser, MailServerDouble]]:
    """Sam at a web process that knows a mail server."""
    async with taking_mail() as double:
        mail = MailClient(read_server(double.url), "LeadSail <notices@example.com>")
        async with served(build_app(configuration, replace(resources, mail=mail))) as url:
            await add_person(resources, tenant.tenant_id, EMAIL)
            one = browser(url)
            assert (await one.sign_in(EMAIL)).status_code == 303
            yield one, double
            await one.http.aclose()
        mail.close()


async def test_the_test_button_of_e_mail_sends_one_to_the_person(mailing: tuple[Browser, MailServerDouble]) -> None:
    person, mail_server = mailing
    page = await save(person, "email", "needs_person")
    assert ticked(page, "email") == ["needs_person"]
    assert "E-mail is not configured here" not in page
    hidden = dict(re.findall(r'type="hidden" name="(csrf)" value="([^"]*)"', page))
    answer = await person.post("/account/notices/email/test", **hidden)
    assert answer.headers["location"] == "/account?done=test"
    assert "This is a test" in mail_server.texts_to(EMAIL)[0]
    mail_server.is_broken = True
    answer = await person.post("/account/notices/email/test", **hidden)
    assert "The test did not arrive: the mail server answered 451." in answer.text
