"""What each scope may do, walked over every route; the table is the contract's, not the code's."""

import pytest

from tests.makers import Tenant
from tests.security.walk import BY_NAME, OPERATIONS, Operation, nobodys
from tests.world import World

ADMINS = ("/api-keys", "/audit", "/provider-accounts", "/settings")
"""Contract 2: `api` may all but keys, provider accounts, users, settings, and who changed them."""
AGENTS = {"sendText", "giveOutcome", "listTurns", "listThreadTurns", "getTurn", "getInteraction",
          "listThreadMessages"}  # fmt: skip
"""Contract 2: `agent` only replies to its turns, gives their outcomes, and reads them and their interactions."""


def may(scope: str, operation: Operation) -> bool:
    if scope == "admin":
        return True
    if scope == "agent":
        return operation.name in AGENTS
    if operation.path.startswith(ADMINS):
        return False
    return scope == "api" or operation.method == "get"


async def keyed(tenant: Tenant, scope: str) -> Tenant:
    agent = (await tenant.agent())["smsAgentId"] if scope == "agent" else None
    return await tenant.with_scope(scope, agent)


@pytest.mark.parametrize("scope", ["admin", "api", "read", "agent"])
async def test_a_scope_opens_what_the_contract_says_and_nothing_else(tenant: Tenant, scope: str) -> None:
    asker = await keyed(tenant, scope)
    opened = refused = 0
    for operation in OPERATIONS:
        answer = await operation.ask(asker, nobodys())
        code = answer.json().get("error", {}).get("code")
        if may(scope, operation):
            assert code != "FORBIDDEN", operation.name
            opened += 1
        else:
            assert (answer.status_code, code) == (403, "FORBIDDEN"), operation.name
            refused += 1
    assert opened
    assert refused or scope == "admin"


@pytest.mark.parametrize("scope", ["api", "read", "agent"])
async def test_a_refused_body_is_not_even_judged(tenant: Tenant, scope: str) -> None:
    """Else its faults would tell of fields and ids to who may not ask."""
    asker = await keyed(tenant, scope)
    for operation in OPERATIONS:
        if operation.body is not None and not may(scope, operation):
            answer = await operation.ask(asker, nobodys(), {"nonsense": True})
            assert answer.json()["error"]["code"] == "FORBIDDEN", operation.name


@pytest.mark.parametrize("key", [None, "", "lss_nobody_at_all", "lss_" + "x" * 500])
async def test_without_a_key_nothing_opens(tenant: Tenant, key: str | None) -> None:
    for operation in OPERATIONS:
        path = f"/api/v1{operation.path}".format_map(nobodys())
        answer = await tenant.http.request(
            operation.method.upper(), path, json=operation.body,
            headers={} if key is None else {"X-API-Key": key},
        )  # fmt: skip
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHORIZED"), path


async def test_an_agents_key_sees_and_answers_its_own_turns_alone(world: World) -> None:
    sent = await world.send("Hi Jane", agentMode=True)
    await world.text("Hey")
    turn_id = (await world.told(1))["turn"]["turnId"]
    ids = nobodys() | {"turnId": turn_id, "interactionId": sent["interactionId"]}
    own = await world.tenant.with_scope("agent", world.smsagent["smsAgentId"])
    other = await keyed(world.tenant, "agent")
    reply = {"leadId": world.lead["leadId"], "message": "Hello", "turnId": turn_id}
    bodies = {"sendText": reply, "giveOutcome": {"summary": "She said hey."}}
    assert (await BY_NAME["listTurns"].ask(other, ids)).json()["data"]["turns"] == []
    # An outcome first would close the turn.
    for name in sorted(AGENTS - {"listTurns"}, key=lambda name: name != "sendText"):
        body = bodies.get(name)
        assert (await BY_NAME[name].ask(other, ids, body)).status_code == 404, name
        assert (await BY_NAME[name].ask(own, ids, body)).is_success, name
    assert (await world.turn_is(sent["interactionId"], "replied"))["reply"]["texts"] == ["Hello"]


@pytest.mark.parametrize("source", [None, "api", "sms_agent"])
async def test_an_agents_key_texts_nobody_without_a_turn(idle_world: World, source: str | None) -> None:
    own = await idle_world.tenant.with_scope("agent", idle_world.smsagent["smsAgentId"])
    body = {"leadId": idle_world.lead["leadId"], "message": "Buy now"}
    answer = await own.ask("POST", "/sms/send", body | ({"source": source} if source else {}))
    assert answer.status_code in (400, 403, 409), answer.text
    path = f"/interactions/lead/{idle_world.lead['leadId']}"
    assert (await idle_world.tenant.call("GET", path))["interactions"] == []


async def test_a_key_makes_no_key_above_itself(tenant: Tenant) -> None:
    """Only `admin` makes keys, so there is none below it that could."""
    for scope in ("api", "read", "agent"):
        asker = await keyed(tenant, scope)
        answer = await asker.ask("POST", "/api-keys", {"name": "up", "scope": "admin"})
        assert answer.status_code == 403
    listed = await tenant.call("GET", "/api-keys")
    assert "up" not in [key["name"] for key in listed["apiKeys"]]
