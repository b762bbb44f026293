"""Attempts to sign in, counted by person and by address."""

from datetime import timedelta

import pytest

from app.access import tries
from app.domain.problems import RateLimited
from app.resources import Resources

OFFICE = "192.0.2.7"


async def test_from_one_address_so_many_may_fail_at_whomever(resources: Resources) -> None:
    for n in range(tries.MAX_BY_ADDRESS):
        await tries.count_try(resources.database, f"person{n}@example.com", OFFICE)
    with pytest.raises(RateLimited) as refused:
        await tries.count_try(resources.database, "one.more@example.com", OFFICE)
    assert 0 < (refused.value.retry_after or 0) <= tries.TRY_WINDOW.total_seconds()
    await tries.count_try(resources.database, "one.more@example.com", "192.0.2.8")
    await tries.count_try(resources.database, "one.more@example.com", None)


async def test_an_office_that_signs_in_all_morning_is_not_stopped(resources: Resources) -> None:
    for n in range(tries.MAX_BY_ADDRESS + 5):
        email = f"person{n}@example.com"
        await tries.count_try(resources.database, email, OFFICE)
        async with resources.database.system_tx() as tx:
            await tries.forget(tx, email, OFFICE)


async def test_who_signs_in_to_their_own_account_forgives_no_guess_at_others(
    resources: Resources,
) -> None:
    for n in range(tries.MAX_BY_ADDRESS - 1):
        await tries.count_try(resources.database, f"guess{n}@example.com", OFFICE)
    await tries.count_try(resources.database, "own@example.com", OFFICE)
    async with resources.database.system_tx() as tx:
        await tries.forget(tx, "own@example.com", OFFICE)
    await tries.count_try(resources.database, "guess@example.com", OFFICE)
    with pytest.raises(RateLimited):
        await tries.count_try(resources.database, "guess@example.com", OFFICE)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (timedelta(seconds=20), "in 1 minute."),
        (timedelta(seconds=61), "in 2 minutes."),
        (timedelta(minutes=14, seconds=30), "in 15 minutes."),
    ],
)
async def test_how_long_to_wait_is_said_in_whole_minutes(resources: Resources, left: timedelta, said: str) -> None:
    for _ in range(tries.MAX_BY_PERSON):
        await tries.count_try(resources.database, "jane@example.com", None)
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE sign_in_tries SET until = now() + $1::interval", left)
    with pytest.raises(RateLimited) as refused:
        await tries.count_try(resources.database, "JANE@example.com ", None)
    assert refused.value.message == f"Too many attempts. Try again {said}"


async def test_after_the_window_it_is_counted_anew(resources: Resources) -> None:
    for _ in range(tries.MAX_BY_PERSON):
        await tries.count_try(resources.database, "jane@example.com", None)
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE sign_in_tries SET until = now() - interval '1 second'")
    await tries.count_try(resources.database, "jane@example.com", None)
    async with resources.database.system_tx() as tx:
        assert await tx.fetch_value("SELECT tries FROM sign_in_tries") == 1


async def test_neither_emails_nor_addresses_are_kept_in_clear(resources: Resources) -> None:
    await tries.count_try(resources.database, "my password by mistake", OFFICE)
    async with resources.database.system_tx() as tx:
        rows = await tx.fetch_rows("SELECT who FROM sign_in_tries")
    assert [len(row["who"]) for row in rows] == [32, 32]
    assert not any(b"password" in row["who"] or b"192" in row["who"] for row in rows)
