"""API keys: what is shown, what is kept, whom they let in."""

import asyncio
from hashlib import sha256

import pytest

from app.access import keys
from app.access.keys import KeyCache
from app.commands import api_keys
from app.domain.callers import Caller
from app.domain.problems import Unauthorized
from app.resources import Resources
from tests.makers import Tenant


def test_a_key_has_its_prefix_in_clear_and_is_kept_as_a_digest() -> None:
    fresh = keys.make()
    assert keys.KEY_PATTERN.fullmatch(fresh.full_key)
    assert fresh.full_key.startswith(fresh.prefix + "_")
    assert fresh.digest == sha256(fresh.full_key.encode()).digest()
    assert fresh.full_key not in repr(fresh)
    assert len(fresh.full_key.rpartition("_")[2]) * 5 >= 128  # 32 letters: five bits each


def test_a_key_names_its_cell_where_there_are_several() -> None:
    fresh = keys.make("east")
    match = keys.KEY_PATTERN.fullmatch(fresh.full_key)
    assert match
    assert match[1] == fresh.prefix
    assert fresh.full_key.split("_")[:2] == ["lss", "east"]


async def test_a_key_with_a_cell_lets_its_tenant_in(tenant: Tenant, resources: Resources) -> None:
    fresh = keys.make("east")
    async with resources.database.system_tx() as tx:
        caller = Caller(tenant.tenant_id, "service", "service", "admin")
        await api_keys.add(tx, caller, "East", "read", None, fresh.prefix, fresh.digest)
    assert (await KeyCache(resources.database).get_caller(fresh.full_key)).tenant_id == tenant.tenant_id


def test_no_two_keys_are_the_same() -> None:
    assert len({keys.make().full_key for _ in range(200)}) == 200


async def test_a_key_tells_its_tenant_and_scope(tenant: Tenant, resources: Resources) -> None:
    reader = await tenant.with_scope("read")
    caller = await KeyCache(resources.database).get_caller(reader.key)
    assert (caller.tenant_id, caller.scope, caller.kind) == (tenant.tenant_id, "read", "key")
    assert caller.actor.startswith("key_")


@pytest.mark.parametrize("given", [None, "", "lss_", "x" * 5000, "lss_é", "\ud800"])
async def test_what_is_no_key_is_unauthorized(resources: Resources, given: str | None) -> None:
    with pytest.raises(Unauthorized):
        await KeyCache(resources.database).get_caller(given)


async def test_the_right_prefix_with_the_wrong_secret_is_unauthorized(tenant: Tenant, resources: Resources) -> None:
    prefix = tenant.key.rpartition("_")[0]
    with pytest.raises(Unauthorized):
        await KeyCache(resources.database).get_caller(f"{prefix}_{'a' * 32}")


async def test_a_use_is_noted_beside_the_request(tenant: Tenant, resources: Resources) -> None:
    ring = KeyCache(resources.database)
    await asyncio.gather(*(ring.get_caller(tenant.key) for _ in range(20)))
    await ring.close()
    [key] = (await tenant.call("GET", "/api-keys"))["apiKeys"]
    assert key["lastUsedAt"] is not None


async def test_a_key_revoked_elsewhere_stops_within_five_seconds(tenant: Tenant, resources: Resources) -> None:
    ring = KeyCache(resources.database)
    made = await tenant.call("POST", "/api-keys", {"name": "k", "scope": "api"})
    await ring.get_caller(made["apiKey"])
    await tenant.call("DELETE", f"/api-keys/{made['keyId']}")
    async with asyncio.timeout(5):
        while True:
            try:
                await ring.get_caller(made["apiKey"])
            except Unauthorized:
                break
            await asyncio.sleep(0.1)
