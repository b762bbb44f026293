"""People: passwords and sessions."""

import pytest

from app.access import passwords, sessions
from app.domain import ids
from app.resources import Resources
from app.store import tenants
from tests.makers import Tenant

EMAIL, PASSWORD = "Jane@Example.com", "correct horse"


@pytest.fixture
async def user_id(tenant: Tenant, resources: Resources) -> str:
    password_hash = await passwords.hash_password(PASSWORD)
    async with resources.database.system_tx() as tx:
        added = await tenants.add_user(tx, tenant.tenant_id, ids.make("user"), EMAIL, password_hash)
    assert added
    return added


async def test_a_password_matches_itself_only() -> None:
    kept = await passwords.hash_password(PASSWORD)
    assert PASSWORD not in kept
    assert await passwords.verify_password(kept, PASSWORD)
    assert not await passwords.verify_password(kept, PASSWORD + "x")
    assert not passwords.needs_rehash(kept)


@pytest.mark.parametrize("given", ["", "\ud800", "\x00", "x" * 5000, passwords.DUMMY_HASH])
async def test_nobody_has_a_password(given: str) -> None:
    assert not await passwords.verify_password(None, given)


def test_an_unknown_email_costs_what_a_known_one_costs() -> None:
    assert not passwords.needs_rehash(passwords.DUMMY_HASH)


async def test_a_person_signs_in_is_known_and_signs_out(resources: Resources, user_id: str) -> None:
    token = await sessions.sign_in(resources.database, EMAIL.lower(), PASSWORD)
    assert token
    person = await sessions.find_and_touch(resources.database, token)
    assert person
    assert (person.user_id, person.email) == (user_id, EMAIL)
    assert person.caller.source == "manual"
    async with resources.database.system_tx() as tx:
        await sessions.end(tx, token)
    assert await sessions.find_and_touch(resources.database, token) is None


async def test_a_wrong_password_and_an_unknown_email_open_nothing(resources: Resources, user_id: str) -> None:
    assert await sessions.sign_in(resources.database, EMAIL, "wrong") is None
    assert await sessions.sign_in(resources.database, "nobody@example.com", PASSWORD) is None


async def test_the_database_never_holds_the_token(resources: Resources, user_id: str) -> None:
    token = await sessions.sign_in(resources.database, EMAIL, PASSWORD)
    assert token
    async with resources.database.system_tx() as tx:
        [digest] = [row["digest"] for row in await tx.fetch_rows("SELECT digest FROM sessions")]
    assert token.encode() not in digest


@pytest.mark.parametrize(
    "moved",
    [
        "seen_at = seen_at - interval '12 hours 1 second'",
        "expires_at = expires_at - interval '7 days 1 second'",
    ],
)
async def test_a_session_ends_when_idle_and_when_old(resources: Resources, user_id: str, moved: str) -> None:
    token = await sessions.sign_in(resources.database, EMAIL, PASSWORD)
    assert token
    async with resources.database.system_tx() as tx:
        await tx.execute(f"UPDATE sessions SET {moved}")
    assert await sessions.find_and_touch(resources.database, token) is None


async def test_being_seen_puts_off_the_idle_end(resources: Resources, user_id: str) -> None:
    token = await sessions.sign_in(resources.database, EMAIL, PASSWORD)
    assert token
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE sessions SET seen_at = seen_at - interval '11 hours'")
    assert await sessions.find_and_touch(resources.database, token)
    async with resources.database.system_tx() as tx:
        assert await tx.fetch_value("SELECT seen_at > now() - interval '1 minute' FROM sessions")


async def test_a_person_switched_off_is_signed_out(resources: Resources, user_id: str) -> None:
    token = await sessions.sign_in(resources.database, EMAIL, PASSWORD)
    assert token
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE users SET active = false")
    assert await sessions.find_and_touch(resources.database, token) is None


def test_a_form_token_belongs_to_its_session() -> None:
    assert sessions.csrf_matches("one", sessions.csrf_token("one"))
    assert not sessions.csrf_matches("two", sessions.csrf_token("one"))
    assert not sessions.csrf_matches("one", "\ud800")


async def test_a_token_of_a_cell_names_it_and_the_tenant_and_a_renewal_keeps_both(
    tenant: Tenant, resources: Resources, user_id: str
) -> None:
    token = await sessions.sign_in(resources.database, EMAIL, PASSWORD, cell="east")
    assert token
    assert token.startswith(f"east.{tenant.tenant_id}.")
    form_token = sessions.csrf_token(token)
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE sessions SET renewed_at = renewed_at - interval '2 hours'")
    async with resources.database.system_tx() as tx:
        renewed = await sessions.renew(tx, token)
    assert renewed
    assert renewed.token.rsplit(".", 1)[0] == token.rsplit(".", 1)[0] != token
    assert renewed.token != token
    assert sessions.csrf_matches(renewed.token, form_token)
    assert not sessions.csrf_matches(f"east.{tenant.tenant_id}.other.secret", form_token)
