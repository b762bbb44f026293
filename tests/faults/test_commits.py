"""The connection to PostgreSQL breaks during COMMIT, and the answers are still true."""

import asyncio

import pytest

from tests.faults.island import Island
from tests.faults.talks import patiently
from tests.relay import LATE, Loss
from tests.world import AgentDouble, World, furnished, until

OPEN = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND xact_start < clock_timestamp() - interval '0.1 s'
"""
LOSSES: tuple[Loss, ...] = ("before", "after", "late")


@pytest.fixture
async def served(island: Island, agent: AgentDouble) -> World:
    await island.start_web()
    return await furnished(island.tenant, island.carrier, agent)


async def stand(island: Island, texts: list[str]) -> int:
    """Waits until the web process has no open transaction; returns how many messages have these texts."""

    async def settled() -> bool:
        async with island.resources.database.system_tx() as tx:
            return not await tx.fetch_value(OPEN)

    await asyncio.sleep(2 * LATE)  # the delayed COMMIT has arrived
    await until(settled)
    async with island.resources.database.system_tx() as tx:
        count: int = await tx.fetch_value("SELECT count(*) FROM messages WHERE text = ANY ($1)", texts)
    return count


@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "keyed"])
async def test_a_send_whose_commit_was_lost_is_refused_only_if_it_never_happened(
    served: World, island: Island, keyed: bool
) -> None:
    for how in LOSSES:
        text = f"Lost {how}"
        island.database.losing = [(text.encode(), how)]
        body = {"leadId": served.lead["leadId"], "message": text}
        headers = {"Idempotency-Key": how} if keyed else {}
        answer = await island.tenant.ask("POST", "/sms/send", body, headers=headers)
        accepted = how != "before"
        assert answer.status_code == (202 if accepted else 503), f"{how}: {answer.text}"
        assert await stand(island, [text]) == accepted
        if keyed:
            again = await island.tenant.ask("POST", "/sms/send", body, headers=headers)
            assert again.status_code == 202
            assert not accepted or again.json() == answer.json()
            assert await stand(island, [text]) == 1
    assert tuple(island.database.lost) == LOSSES


async def test_a_send_of_which_nobody_can_tell_says_so_and_may_be_repeated_with_its_key(
    served: World, island: Island
) -> None:
    for text, headers in (("Plain", {}), ("Keyed", {"Idempotency-Key": "k"})):
        island.database.losing = [(text.encode(), "after")]
        body = {"leadId": served.lead["leadId"], "message": text}
        asked = asyncio.create_task(island.tenant.ask("POST", "/sms/send", body, headers=headers))

        async def lost() -> bool:
            return not island.database.losing

        await until(lost)
        island.database.cut()
        answer = await asked
        island.database.restore()
        await island.is_ready()
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "OUTCOME_UNKNOWN")
    again = await patiently(island.tenant, "POST", "/sms/send", body, **headers)
    assert again.status_code == 202
    assert await stand(island, ["Plain", "Keyed"]) == 2


async def test_a_text_of_a_lead_whose_commit_was_lost_is_answered_2xx_and_stands_once(
    served: World, island: Island
) -> None:
    texts = [(f"{word} {how}", how) for word in ("Hey", "STOP\n--") for how in LOSSES]
    for text, how in texts:  # plain texts wait for a batch, a STOP goes by itself
        island.database.losing = [(text.encode(), how)]
        assert await island.carrier.text(served.phone, served.ours, text) == 200
        assert not island.database.losing
    assert await stand(island, [text for text, _ in texts]) == len(texts)


async def test_those_who_wait_behind_a_frozen_database_are_sent_away(served: World, island: Island) -> None:
    body = {"leadId": served.lead["leadId"], "message": "In the ice"}
    began = asyncio.create_task(island.tenant.ask("POST", "/sms/send", body))
    island.database.freeze()
    texts = [f"Behind {n}" for n in range(20)]
    answers = await asyncio.gather(
        *(island.tenant.ask("POST", "/sms/send", body | {"message": text}) for text in texts)
    )
    assert {answer.status_code for answer in answers} == {503}
    island.database.restore()
    assert (await began).status_code in (202, 503, 504)
    await island.is_ready()
    assert (await island.tenant.ask("POST", "/sms/send", body)).status_code == 202
    assert await stand(island, texts) == 0
