"""Two cells: a tenant is exported, imported, moved and deleted, and nothing of it is lost or left."""

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from app.operations import tenant_moves, tenants
from app.operations.tenant_moves import Copied, Served, TenantLeft
from app.operations.tenants import TenantStays
from app.resources import Resources
from app.settings import Settings
from app.store import brakes, tenant_rows
from app.store import tenants as tenants_store
from app.store.engine import Database
from app.store.events import OWN_ID_SQL, SETTLED_SQL
from app.store.pools import connect
from app.store.schema import Table
from app.store.schema import Tenant as TenantRow
from tests.flows.test_erase import places
from tests.makers import Data, Tenant
from tests.test_cli import ran
from tests.web.test_health import serving
from tests.world import World, agent, carrier, idle_world, until, working, world

__all__ = ["agent", "carrier", "idle_world", "working", "world"]


@pytest.fixture
async def other(resources: Resources, other_database_url: str) -> AsyncIterator[Database]:
    """The other cell's database; it shares the row of `installation`."""
    database = await connect(other_database_url, resources.clock)
    async with resources.database.system_tx() as tx:
        key = await tx.fetch_value("SELECT phone_key FROM installation")
    async with database.system_tx() as tx:
        await tx.execute("INSERT INTO installation (phone_key) VALUES ($1)", key)
    database.phone_key = resources.database.phone_key
    yield database
    await database.close()


async def count_rows(database: Database, tenant_id: str) -> dict[str, int]:
    async with database.system_tx() as tx:
        counts = await tenant_rows.count_rows(tx, tenant_id)
    return {name: count for name, count in counts.items() if count}


def leave_out_figures(counts: dict[str, int]) -> dict[str, int]:
    """Workers may count figures at any time."""
    return {name: count for name, count in counts.items() if not name.startswith("figure")}


async def converse(world: World) -> Data:
    """A thread with a text of each kind, an endpoint, a person, an opt-out: rows in many tables."""
    world.agent.answers = [(200, {"reply": "Marzipan it is."})]
    tenant = world.tenant
    await tenant.call("POST", "/webhook-endpoints", {"url": "http://127.0.0.1:9/hook"})
    body = {"leadId": world.lead["leadId"], "message": "Hi Zebedee", "agentMode": True}
    sent = await tenant.call("POST", "/sms/send", body, headers={"Idempotency-Key": "greeting"})
    await world.status_is(sent["messageId"], "delivered")
    await world.text("I like marzipan, even at 1.10")
    await world.turn_is(sent["interactionId"], "replied")
    return sent


async def list_texts(tenant: Tenant, interaction_id: str) -> list[tuple[int, str]]:
    transcript = (await tenant.call("GET", f"/interactions/{interaction_id}"))["transcript"]
    return [(text["seq"], text["message"]) for text in transcript]


async def insist(change: Callable[[], Awaitable[object]]) -> None:
    """As operators do: again, when a worker changed a row meanwhile."""

    async def is_done() -> bool:
        try:
            await change()
        except TenantStays as error:
            if "try again" not in str(error):
                raise
            return False
        return True

    await until(is_done, 20)


async def ignore(_: Copied | Served) -> None:
    """Nobody routes here."""


async def move(source: Database, target: Database, resources: Resources, tenant_id: str) -> None:
    await insist(lambda: tenant_moves.move_tenant(source, target, resources.seal, tenant_id, ignore))


async def test_a_tenant_moves_there_and_back_with_texts_in_between(
    world: World, resources: Resources, other: Database
) -> None:
    sent = await converse(world)
    tenant_id, thread = world.tenant.tenant_id, sent["interactionId"]
    texts = await list_texts(world.tenant, thread)
    await move(resources.database, other, resources, tenant_id)
    assert await count_rows(resources.database, tenant_id) == {}
    assert (await world.tenant.ask("GET", f"/interactions/{thread}")).status_code in (401, 404)
    there = await count_rows(other, tenant_id)
    assert {"tenants", "messages", "turns", "tenant_events", "webhook_endpoints", "api_keys"} <= there.keys()

    async with serving(replace(resources, database=other)) as http:
        elsewhere = replace(world.tenant, http=http)
        assert await list_texts(elsewhere, thread) == texts
        body = {"leadId": world.lead["leadId"], "message": "Sent in the other cell"}
        texted = await elsewhere.call("POST", "/sms/send", body)
        again = {"leadId": world.lead["leadId"], "message": "Hi Zebedee", "agentMode": True}
        repeated = await elsewhere.call("POST", "/sms/send", again, headers={"Idempotency-Key": "greeting"})
        assert repeated["messageId"] == sent["messageId"]
        events = (await elsewhere.call("GET", "/events?types=all"))["events"]
        assert len(events) > 3

    await move(other, resources.database, resources, tenant_id)
    assert await count_rows(other, tenant_id) == {}
    await world.status_is(texted["messageId"], "delivered")  # the worker here sends what was left to do
    await world.text("And back")

    async def is_complete() -> bool:
        found = await list_texts(world.tenant, thread)
        return [words for _, words in found][-2:] == ["Sent in the other cell", "And back"]

    await until(is_complete)
    found = await list_texts(world.tenant, thread)
    assert found[: len(texts)] == texts
    assert [seq for seq, _ in found] == list(range(1, len(found) + 1))


async def test_a_reader_of_the_feed_goes_on_where_it_was_whichever_cell_the_tenant_is_in(
    idle_world: World, resources: Resources, other: Database
) -> None:
    tenant = idle_world.tenant
    endpoint = await tenant.call("POST", "/webhook-endpoints", {"url": "http://127.0.0.1:9/hook"})
    rewind = f"/webhook-endpoints/{endpoint['endpointId']}/rewind"
    for word in ("one", "two"):
        await idle_world.send(word)

    async def is_told(database: Database) -> bool:
        """Whether no transaction of others holds up the feed."""
        async with database.system_tx() as tx:
            return bool(await tx.fetch_value(f"SELECT bool_and({SETTLED_SQL}) FROM tenant_events"))

    async def read(reader: Tenant, after: str | None = None) -> list[str]:
        place = f"&after={after}" if after else ""
        page = await reader.call("GET", f"/events?types=all&wait=0&limit=100{place}")
        return [event["eventId"] for event in page["events"]]

    await until(lambda: is_told(resources.database))
    ids = await read(tenant)
    middle = len(ids) // 2
    cells = (resources.database, other)
    for source, target in (cells, cells[::-1]):
        await move(source, target, resources, tenant.tenant_id)
        async with serving(replace(resources, database=target)) as http:
            there = replace(tenant, http=http)
            await until(lambda: is_told(target))  # noqa: B023  # it is awaited here
            all_ids = await read(there)
            assert all_ids[: len(ids)] == ids
            assert await read(there, ids[-1]) == all_ids[len(ids) :]  # the brake was set and released
            assert await read(there, ids[middle]) == all_ids[middle + 1 :]
            ids = all_ids
            body = {"leadId": idle_world.lead["leadId"], "message": "In the other cell"}
            await there.call("POST", "/sms/send", body)
            await until(lambda: is_told(target))  # noqa: B023
            new_ids = await read(there, ids[-1])
            assert new_ids
            assert not set(new_ids) & set(ids)
            assert await read(there, new_ids[0]) == new_ids[1:]
            ids += new_ids
            await there.call("POST", rewind, {"to": ids[0]})
            await there.call("POST", rewind, {"to": ids[-1]})
            # Of events that are not kept nobody knows the place: better twice than never.
            assert await read(there, "1-1") == ids


async def test_a_file_holds_the_tenant_and_nobody_else_may_read_it(
    world: World, resources: Resources, other: Database, tmp_path: Path
) -> None:
    sent = await converse(world)
    tenant_id = world.tenant.tenant_id
    file = tmp_path / "tenant.gz"
    sums = await tenants.export_tenant(resources.database, resources.seal, tenant_id, file)
    assert file.stat().st_mode & 0o077 == 0
    with pytest.raises(FileExistsError):
        await tenants.export_tenant(resources.database, resources.seal, tenant_id, file)
    assert (await tenants.import_tenant(other, resources.seal, file))[1] == sums
    with pytest.raises(TenantStays, match="is here already"):
        await tenants.import_tenant(other, resources.seal, file)
    async with serving(replace(resources, database=other)) as http:
        elsewhere = replace(world.tenant, http=http)
        assert await list_texts(elsewhere, sent["interactionId"])
    # Nothing that only storing the rows would have told.
    async with other.system_tx() as tx:
        assert tenant_rows.find_different_sums(sums, await tenant_rows.sum_rows(tx, tenant_id)) == []


@pytest.mark.parametrize("pruned", [tenant_rows.WRITTEN_BY_TRIGGERS, ["tenant_events"]], ids=["all", "events"])
@pytest.mark.parametrize("is_moved", [True, False], ids=["moved", "imported"])
async def test_a_tenant_whose_history_was_pruned_arrives_without_a_new_one(
    tenant: Tenant, resources: Resources, other: Database, tmp_path: Path, pruned: Sequence[str], is_moved: bool
) -> None:
    await tenant.lead()
    async with resources.database.system_tx() as tx:
        for table in pruned:
            await tx.execute(f"DELETE FROM {table} WHERE tenant_id = $1", tenant.tenant_id)
    before = await count_rows(resources.database, tenant.tenant_id)
    assert before["leads"] == 1
    if is_moved:
        await tenant_moves.move_tenant(resources.database, other, resources.seal, tenant.tenant_id, ignore)
    else:
        file = tmp_path / "tenant.gz"
        await tenants.export_tenant(resources.database, resources.seal, tenant.tenant_id, file)
        await tenants.import_tenant(other, resources.seal, file)
    after = await count_rows(other, tenant.tenant_id)
    told_of_brake = {"tenant_events": 2, "audit_entries": 2 + before.get("audit_entries", 0)} if is_moved else {}
    assert after == before | told_of_brake


async def test_a_file_that_is_cut_off_or_changed_is_not_imported(
    idle_world: World, resources: Resources, other: Database, tmp_path: Path
) -> None:
    await idle_world.send("Hi")
    tenant_id, file = idle_world.tenant.tenant_id, tmp_path / "tenant.gz"
    await tenants.export_tenant(resources.database, resources.seal, tenant_id, file)
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    for changed, words in (
        (lines[:-1], "is cut off"),
        ([line.replace(b'"Hi"', b'"Ho"') for line in lines], "differs in .*messages"),
        (lines[1:], "is no export"),
        ([lines[0].replace(b'"phoneKey": "', b'"phoneKey": "x'), *lines[1:]], "do not share"),
        ([lines[0], b"pg_authid\t{}\n", *lines[1:]], "which there is not"),
    ):
        file.write_bytes(gzip.compress(b"".join(changed)))
        with pytest.raises(TenantStays, match=words):
            await tenants.import_tenant(other, resources.seal, file)
        assert await count_rows(other, tenant_id) == {}


async def test_a_deleted_tenant_is_in_no_table(world: World, resources: Resources) -> None:
    await converse(world)
    tenant_id = world.tenant.tenant_id
    counted = await tenants.count_tenant(resources.database, tenant_id)
    assert counted["messages"] == 3

    async def delete() -> None:
        assert (await tenants.delete_tenant(resources.database, tenant_id))["messages"] == 3

    await insist(delete)
    assert await places(resources, tenant_id) == []
    assert await places(resources, "marzipan") == []
    for gone in (tenants.delete_tenant, tenants.count_tenant):
        with pytest.raises(TenantStays, match="there is no tenant"):
            await gone(resources.database, tenant_id)


async def test_what_changes_while_most_is_copied_moves_too(world: World, resources: Resources, other: Database) -> None:
    """Rows are added, changed and deleted between the copy of most and the copy of the rest."""
    sent = await converse(world)
    tenant, thread = world.tenant, sent["interactionId"]
    gone = await tenant.lead()
    events = (await tenant.call("GET", "/events?types=all&wait=0&limit=100"))["events"]
    expected: dict[str, int] = {}

    async def go_on(step: Copied | Served) -> None:
        if isinstance(step, Copied):
            assert step.rows > 20
            await tenant.call("DELETE", f"/leads/{gone['leadId']}")
            await tenant.call("PATCH", "/settings", {"helpText": "Changed meanwhile"})
            text = await tenant.call("POST", "/sms/send", {"leadId": world.lead["leadId"], "message": "Meanwhile"})
            await world.status_is(text["messageId"], "delivered")
            expected.update(await count_rows(resources.database, tenant.tenant_id))

    await tenant_moves.move_tenant(resources.database, other, resources.seal, tenant.tenant_id, go_on)
    counts = leave_out_figures(await count_rows(other, tenant.tenant_id))
    told_of_brake = {"tenant_events": 2, "audit_entries": 2}
    assert {name: count - told_of_brake.get(name, 0) for name, count in counts.items()} == leave_out_figures(expected)
    async with serving(replace(resources, database=other)) as http:
        there = replace(tenant, http=http)
        assert (await list_texts(there, thread))[-1][1] == "Meanwhile"
        assert (await there.call("GET", "/settings"))["helpText"] == "Changed meanwhile"
        assert (await there.ask("GET", f"/leads/{gone['leadId']}")).status_code == 404
        page = await there.call("GET", f"/events?types=all&wait=0&limit=100&after={events[-1]['eventId']}")
        told = [event["type"] for event in page["events"]]
        texts, brake = told[-6:-2], told[-2:]
        assert texts == ["message.queued", "message.sending", "message.sent", "message.delivered"]
        assert brake == ["tenant.paused", "tenant.resumed"]


LIST_IDS_SQL = f"""
SELECT {OWN_ID_SQL} AS id FROM tenant_events WHERE tenant_id = $1 ORDER BY tenant_events.transaction, event_id
"""
LIST_HISTORY_SQL = """
SELECT concat_ws(' ', interaction_id, from_status, status) AS line FROM status_changes WHERE tenant_id = $1
UNION ALL SELECT concat_ws(' ', subject_id, action, changes) FROM audit_entries WHERE tenant_id = $1
"""
ADD_EVENT_SQL = "INSERT INTO tenant_events (tenant_id, type, name, data) VALUES ($1, 'lead', 'lead.updated', '{}')"


async def list_history(database: Database, tenant_id: str) -> tuple[list[str], list[str]]:
    """The ids of the events in order; the lines of threads' statuses and of the audit."""
    async with database.system_tx() as tx:
        ids = [row["id"] for row in await tx.fetch_rows(LIST_IDS_SQL, tenant_id)]
        return ids, sorted(row["line"] for row in await tx.fetch_rows(LIST_HISTORY_SQL, tenant_id))


async def test_a_transaction_that_is_open_while_most_is_copied_doubles_nothing_and_keeps_the_order_of_events(
    idle_world: World, resources: Resources, other: Database
) -> None:
    """The copy sees newer transactions, and not the open one."""
    tenant, tenant_id = idle_world.tenant, idle_world.tenant.tenant_id
    thread = f"/interactions/{(await idle_world.send('Before'))['interactionId']}"
    ids, lines = list[str](), list[str]()
    async with AsyncExitStack() as stack:
        open_tx = await stack.enter_async_context(resources.database.system_tx())
        await tenant_rows.allow_long(open_tx)
        await open_tx.execute(ADD_EVENT_SQL, tenant_id)
        await open_tx.execute("UPDATE campaigns SET name = 'Renamed' WHERE tenant_id = $1", tenant_id)
        await tenant.call("PATCH", "/settings", {"helpText": "Newer"})
        await tenant.call("PATCH", thread, {"status": "follow_up"})

        async def go_on(step: Copied | Served) -> None:
            if isinstance(step, Copied):
                await open_tx.execute(ADD_EVENT_SQL, tenant_id)
                await stack.aclose()
                await tenant.call("PATCH", "/settings", {"helpText": "Newest"})
                await tenant.call("PATCH", thread, {"status": "qualified"})
                await idle_world.send("Newest")
                for found, told in zip(await list_history(resources.database, tenant_id), (ids, lines), strict=True):
                    told.extend(found)

        await tenant_moves.move_tenant(resources.database, other, resources.seal, tenant_id, go_on)
    moved_ids, moved_lines = await list_history(other, tenant_id)
    assert moved_ids[: len(ids)] == ids
    assert len(moved_ids) == len(set(moved_ids)) == len(ids) + 2  # the brake was set and released
    assert not Counter(lines) - Counter(moved_lines)
    assert len(moved_lines) == len(lines) + 2


async def pause(database: Database, tenant_id: str, reason: str) -> None:
    async with database.system_tx() as tx:
        await brakes.pause(tx, TenantRow, tenant_id, tenant_id, reason)


async def find_brake(database: Database, tenant_id: str) -> str | None:
    """Why the tenant is paused; None: it is not."""
    async with database.system_tx() as tx:
        row = await tenants_store.get(tx, tenant_id)
    assert row
    assert (row.paused_at is None) is (row.paused_reason is None)
    return row.paused_reason


@pytest.mark.parametrize(
    ("reason", "kept"),
    [(tenant_moves.REASON, None), ("The carrier called.", "The carrier called.")],
    ids=["a killed move", "a person"],
)
async def test_a_move_releases_the_brake_of_a_killed_one_and_keeps_that_of_a_person(
    tenant: Tenant, resources: Resources, other: Database, reason: str, kept: str | None
) -> None:
    await pause(resources.database, tenant.tenant_id, reason)
    await move(resources.database, other, resources, tenant.tenant_id)
    assert await find_brake(other, tenant.tenant_id) == kept


CLAIM_SQL = "UPDATE outbox SET lease = gen_random_uuid() WHERE tenant_id = $1"


async def test_a_text_that_is_claimed_while_the_brake_is_set_keeps_the_tenant(
    idle_world: World, resources: Resources, other: Database
) -> None:
    """The worker that claims it has not seen the brake, and commits when the move has already looked for claims."""
    tenant_id = idle_world.tenant.tenant_id
    await idle_world.send("Hi")
    async with AsyncExitStack() as stack:

        async def commit_when_braked() -> None:
            while await find_brake(resources.database, tenant_id) is None:
                await asyncio.sleep(0.05)
            await asyncio.sleep(1)
            await stack.aclose()

        async def claim(step: Copied | Served) -> None:
            assert isinstance(step, Copied), "the tenant moved with a claimed text"
            tx = await stack.enter_async_context(resources.database.system_tx())
            await tx.execute(CLAIM_SQL, tenant_id)
            claiming.append(asyncio.create_task(commit_when_braked()))

        claiming: list[asyncio.Task[None]] = []
        with pytest.raises(TenantStays, match=r"on their way to a carrier; try again"):
            await tenant_moves.move_tenant(resources.database, other, resources.seal, tenant_id, claim)
        await asyncio.gather(*claiming)
    assert await find_brake(resources.database, tenant_id) is None
    assert await count_rows(other, tenant_id) == {}


CUT_OFF_SQL = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND state = 'idle in transaction' AND pid <> pg_backend_pid()
"""


async def test_a_failure_after_the_move_says_what_is_left_and_only_the_rows_that_are_left_are_braked(
    idle_world: World, resources: Resources, other: Database
) -> None:
    tenant_id = idle_world.tenant.tenant_id
    await idle_world.send("Hi")

    async def cut_off(step: Copied | Served) -> None:
        if isinstance(step, Served):
            async with resources.database.system_tx() as tx:
                assert await tx.fetch_value(CUT_OFF_SQL) == 1

    with pytest.raises(TenantLeft, match=r"has moved.* run `tenant delete` here"):
        await tenant_moves.move_tenant(resources.database, other, resources.seal, tenant_id, cut_off)
    assert await find_brake(other, tenant_id) is None
    assert await find_brake(resources.database, tenant_id) == tenant_moves.REASON
    with pytest.raises(TenantStays, match="is here already"):
        await tenant_moves.move_tenant(resources.database, other, resources.seal, tenant_id, ignore)
    assert await find_brake(resources.database, tenant_id) == tenant_moves.REASON
    await tenants.delete_tenant(resources.database, tenant_id)
    assert (await count_rows(other, tenant_id))["messages"] == 1


async def test_a_deletion_after_the_move_waits_for_who_holds_rows_for_a_moment(
    idle_world: World, resources: Resources, other: Database
) -> None:
    tenant_id = idle_world.tenant.tenant_id
    await idle_world.send("Hi")
    async with AsyncExitStack() as stack:

        async def release_soon() -> None:
            await asyncio.sleep(1)
            await stack.aclose()

        async def hold(step: Copied | Served) -> None:
            if isinstance(step, Served):
                tx = await stack.enter_async_context(resources.database.system_tx())
                await tx.execute("SELECT FROM tenant_events WHERE tenant_id = $1 FOR UPDATE", tenant_id)
                releasing.append(asyncio.create_task(release_soon()))

        releasing: list[asyncio.Task[None]] = []
        await tenant_moves.move_tenant(resources.database, other, resources.seal, tenant_id, hold)
        await asyncio.gather(*releasing)
    assert await count_rows(resources.database, tenant_id) == {}


async def test_a_tenant_that_others_hold_for_long_stays_and_it_is_said(
    tenant: Tenant, resources: Resources, other: Database
) -> None:
    async with resources.database.system_tx() as holder:
        await tenant_rows.allow_long(holder)  # or its connection is ended as abandoned
        await holder.execute("SELECT FROM tenants WHERE tenant_id = $1 FOR UPDATE", tenant.tenant_id)
        ends = await asyncio.gather(
            tenant_moves.move_tenant(resources.database, other, resources.seal, tenant.tenant_id, ignore),
            tenants.delete_tenant(resources.database, tenant.tenant_id),
            return_exceptions=True,
        )
    assert [(type(end), str(end).rpartition("; ")[2]) for end in ends] == [(TenantStays, "try again")] * 2


async def test_the_commands_say_what_they_did_and_delete_nothing_unasked(
    idle_world: World, configuration: Settings, other: Database, other_database_url: str, tmp_path: Path
) -> None:
    await idle_world.send("Hi")
    tenant_id = idle_world.tenant.tenant_id
    status, out, said = await ran(configuration, "tenant", "delete", "--tenant", tenant_id)
    assert (status, json.loads(out)["rows"]["messages"]) == (1, 1)
    assert "nothing was deleted" in said
    file, address = str(tmp_path / "tenant.gz"), tmp_path / "other-cell.url"
    status, out, said = await ran(configuration, "tenant", "export", file, "--tenant", tenant_id)
    assert (status, json.loads(out)["rows"]["messages"]) == (0, 1), said
    address.write_text(f"{other_database_url}\n")
    status, out, said = await ran(configuration, "tenant", "move", "--tenant", tenant_id, "--to", str(address))
    assert (status, json.loads(out)["rows"]["messages"]) == (0, 1), said
    status, _, said = await ran(configuration, "tenant", "delete", "--tenant", tenant_id, "--yes")
    assert (status, said.strip()) == (1, "leadsail-sms: there is no tenant with this id")
    status, out, said = await ran(configuration, "tenant", "import", file)
    assert (status, json.loads(out)["tenantId"]) == (0, tenant_id), said


async def test_what_an_installation_with_a_name_makes_bears_it(resources: Resources, tenant: Tenant) -> None:
    named = replace(resources, settings=resources.settings.model_copy(update={"cell": "east"}))
    async with serving(named) as http:
        there = replace(tenant, http=http)
        body = {"provider": "simulator", "name": "East", "credentials": {"secret": "s3cret"}}
        account = await there.call("POST", "/provider-accounts", body)
        assert account["accountId"].startswith("acct_east_")
        assert f"/webhooks/simulator/{account['accountId']}/inbound" in json.dumps(account)
        key = await there.call("POST", "/api-keys", {"name": "East", "scope": "api"})
        assert key["apiKey"].startswith("lss_east_")


def test_every_table_of_tenants_is_moved_after_what_it_refers_to() -> None:
    order = tenant_rows.TENANT_TABLES
    assert set(order) == {name for name, table in Table.metadata.tables.items() if "tenant_id" in table.columns}
    for name in order:
        referred = {key.column.table.name for key in Table.metadata.tables[name].foreign_keys} - {name}
        assert all(order.index(each) < order.index(name) for each in referred), name
        numbered = [column.name for column in Table.metadata.tables[name].columns if column.identity is not None]
        assert set(numbered) <= set(tenant_rows.NEW_COLUMNS.get(name, ()))
