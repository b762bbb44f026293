"""`ETag` and `If-Match`: nobody overwrites a change that they have not seen."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.makers import Data, Tenant, phone
from tests.world import World

CHANGES: dict[str, Data] = {
    "leads": {"firstName": "Ann"},
    "campaigns": {"name": "Other"},
    "phone-numbers": {"label": "Other"},
    "sms-agents": {"name": "Other"},
    "canned-replies": {"title": "Other"},
    "provider-accounts": {"name": "Other"},
    "api-keys": {"name": "Other"},
    "settings": {"textsPerDay": 50},
}


async def make(tenant: Tenant, kind: str) -> str:
    """The path of a new resource."""
    if kind == "settings":
        return "/settings"
    made: Data
    match kind:
        case "leads":
            made = await tenant.lead(tags=["a"], customFields={"bill": 1.5, "big": 1e15})
        case "campaigns":
            made = await tenant.campaign()
        case "phone-numbers":
            made = await tenant.number()
        case "sms-agents":
            made = await tenant.agent()
        case "provider-accounts":
            made = await tenant.account()
        case "api-keys":
            made = await tenant.call("POST", "/api-keys", {"name": "k", "scope": "read"})
        case _:
            made = await tenant.call("POST", "/canned-replies", {"title": "Hours", "text": "From nine."})
    id_names = {
        "leads": "leadId", "campaigns": "campaignId", "phone-numbers": "phoneNumberId", "sms-agents": "smsAgentId",
        "canned-replies": "cannedReplyId", "provider-accounts": "accountId", "api-keys": "keyId",
    }  # fmt: skip
    return f"/{kind}/{made[id_names[kind]]}"


def tag(answer: httpx.Response) -> str:
    assert answer.is_success, answer.text
    value: str = answer.headers["etag"]
    assert value.startswith('"')
    assert value.endswith('"')
    return value


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


OUTDATED = (412, "PRECONDITION_FAILED")


@pytest.mark.parametrize("kind", CHANGES)
async def test_a_change_that_names_an_outdated_version_is_refused(tenant: Tenant, kind: str) -> None:
    path, change = await make(tenant, kind), CHANGES[kind]
    first = tag(await tenant.ask("GET", path))
    assert tag(await tenant.ask("GET", path)) == first, "nothing has changed"
    changed = await tenant.ask("PATCH", path, change, headers={"If-Match": first})
    assert tag(changed) == tag(await tenant.ask("GET", path)) != first
    before = (await tenant.ask("GET", path)).json()
    for given in (first, '"none"', f"W/{tag(changed)}", "", "{"):
        answer = await tenant.ask("PATCH", path, change, headers={"If-Match": given})
        assert refusal(answer) == OUTDATED
    if kind != "settings":
        assert refusal(await tenant.ask("DELETE", path, headers={"If-Match": first})) == OUTDATED
    assert (await tenant.ask("GET", path)).json() == before
    assert (await tenant.ask("PATCH", path, {}, headers={"If-Match": "*"})).is_success
    assert (await tenant.ask("PATCH", path, change)).is_success, "without If-Match as ever"
    current = tag(await tenant.ask("GET", path))
    if kind != "settings":
        assert (await tenant.ask("DELETE", path, headers={"If-Match": f'"x", {current}'})).is_success


@pytest.mark.parametrize("kind", CHANGES)
async def test_who_has_the_newest_version_gets_no_body(tenant: Tenant, kind: str) -> None:
    path = await make(tenant, kind)
    first = tag(await tenant.ask("GET", path))
    for given in (first, f'"x", {first}', f"W/{first}", "*"):
        answer = await tenant.ask("GET", path, headers={"If-None-Match": given})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", first)
        assert answer.headers["X-Request-Id"]
    for given in ('"x"', "", "{", first.strip('"')):
        assert tag(await tenant.ask("GET", path, headers={"If-None-Match": given})) == first
    changed = await tenant.ask("PATCH", path, CHANGES[kind], headers={"If-None-Match": first})
    assert tag(changed) == tag(await tenant.ask("GET", path, headers={"If-None-Match": first})) != first
    assert refusal(await tenant.ask("GET", "/leads/nobody", headers={"If-None-Match": "*"})) == (404, "NOT_FOUND")


@pytest.mark.parametrize("kind", ["leads", "campaigns"])
async def test_a_put_obeys_if_match_also_where_nothing_is(tenant: Tenant, kind: str) -> None:
    path, body = f"/{kind}/own", {"name": "C"} if kind == "campaigns" else {"firstName": "Jane"}
    for given in ("*", '"x"'):
        assert refusal(await tenant.ask("PUT", path, body, headers={"If-Match": given})) == OUTDATED
    made = await tenant.ask("PUT", path, body)
    assert made.status_code == 201
    assert tag(made) == tag(await tenant.ask("GET", path))
    replaced = await tenant.ask("PUT", path, body, headers={"If-Match": tag(made)})
    assert replaced.status_code == 200
    assert refusal(await tenant.ask("PUT", path, body, headers={"If-Match": tag(made)})) == OUTDATED


async def test_what_is_not_there_is_not_found_whatever_version_is_named(tenant: Tenant, other_tenant: Tenant) -> None:
    theirs = await other_tenant.lead()
    current = tag(await other_tenant.ask("GET", f"/leads/{theirs['leadId']}"))
    for lead_id in (theirs["leadId"], "nobody"):
        for method, body in (("PATCH", {}), ("DELETE", None)):
            answer = await tenant.ask(method, f"/leads/{lead_id}", body, headers={"If-Match": current})
            assert refusal(answer) == (404, "NOT_FOUND")


async def test_the_scope_is_judged_before_the_version(tenant: Tenant) -> None:
    path = await make(tenant, "leads")
    reader = await tenant.with_scope("read")
    assert refusal(await reader.ask("PATCH", path, {}, headers={"If-Match": "x"})) == (403, "FORBIDDEN")


async def test_do_not_contact_has_a_version_of_its_own(tenant: Tenant) -> None:
    for given in (phone(), None):
        lead = await tenant.lead(phone=given)
        path = f"/leads/{lead['leadId']}/dnc"
        first = tag(await tenant.ask("GET", path))
        changed = await tenant.ask("PUT", path, {"channels": ["sms"]}, headers={"If-Match": first})
        assert tag(changed) == tag(await tenant.ask("GET", path)) != first
        assert refusal(await tenant.ask("DELETE", path, headers={"If-Match": first})) == OUTDATED
        assert (await tenant.ask("DELETE", path, headers={"If-Match": tag(changed)})).is_success


async def test_a_thread_has_another_version_after_each_text(idle_world: World) -> None:
    thread = (await idle_world.send("Hi"))["interactionId"]
    path, ask = f"/interactions/{thread}", idle_world.tenant.ask
    first = tag(await ask("GET", path))
    await idle_world.text("Hello")
    assert refusal(await ask("PATCH", path, {"status": "completed"}, headers={"If-Match": first})) == OUTDATED
    current = tag(await ask("GET", path))
    for status in ("dnc", "completed"):
        changed = await ask("PATCH", path, {"status": status}, headers={"If-Match": current})
        current = tag(changed)
        assert current == tag(await ask("GET", path))


async def test_of_changes_at_once_with_the_same_version_one_is_made(tenant: Tenant) -> None:
    path = await make(tenant, "leads")
    first = tag(await tenant.ask("GET", path))

    async def change(i: int) -> httpx.Response:
        return await tenant.ask("PATCH", path, {"customFields": {f"by{i}": i}}, headers={"If-Match": first})

    answers = await asyncio.gather(*map(change, range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 5
    fields: dict[str, Any] = (await tenant.call("GET", path))["customFields"]
    assert len([key for key in fields if key.startswith("by")]) == 1


async def test_lists_and_refusals_have_no_version(tenant: Tenant) -> None:
    for path in ("/leads", "/campaigns", "/leads/nobody", "/interactions"):
        assert "etag" not in (await tenant.ask("GET", path)).headers
