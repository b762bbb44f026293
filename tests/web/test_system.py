"""The view of the system: what it sums up, of whom, and who may look."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from html import unescape
from zoneinfo import ZoneInfo

import pytest

from app.domain import ids
from app.resources import Resources
from app.web.page.charts import HEIGHT, WIDTH, build_chart, round_up_scale
from app.web.page.system import TIME_SPANS, Span
from app.web.page.times import format_mark
from tests.makers import Data, Tenant
from tests.web.people import Browser, add_person, browser
from tests.world import World, until

SignIn = Callable[..., Awaitable[Browser]]


@pytest.fixture
async def sign_in(resources: Resources) -> AsyncIterator[SignIn]:
    """Gives a browser in which an admin of the tenant is signed in, or somebody else."""
    browsers: list[Browser] = []

    async def come(tenant: Tenant, role: str = "admin") -> Browser:
        email = f"{role}-{tenant.tenant_id}@example.com"
        user_id = await add_person(resources, tenant.tenant_id, email)
        async with resources.database.system_tx() as tx:
            await tx.execute("UPDATE users SET role = $2 WHERE user_id = $1", user_id, role)
        browsers.append(browser(str(tenant.http.base_url).rstrip("/")))
        await browsers[-1].enter(resources, email)
        return browsers[-1]

    yield come
    for one in browsers:
        await one.http.aclose()


def figure(page: str, name: str) -> str:
    """What stands under the name among the figures, without its markup."""
    found = re.search(rf"<dt>{name}</dt>(.*?)</div>", page, re.S)
    assert found, name
    return _plain(found[1])


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the table under the heading, row by row."""
    section = page.split(f">{heading}</h2>")[1].split("</section>")[0]
    body = section.split("<tbody>")[1].split("</tbody>")[0]
    return [
        [_plain(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)]
        for row in re.findall(r"<tr.*?</tr>", body, re.S)
    ]


def _plain(markup: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", markup)).split())


async def became(resources: Resources, sent: Iterable[Data], *statuses: str) -> None:
    async with resources.database.system_tx() as tx:
        for message, status in zip(sent, statuses, strict=True):
            await tx.execute(
                "UPDATE messages SET status = $2 WHERE message_id = $1",
                message["messageId"], status,
            )  # fmt: skip


async def aged(resources: Resources, message: Data, age: timedelta) -> None:
    """The text as if it had been taken so long ago: its id tells its time as well."""
    at = datetime.now(UTC) - age
    async with resources.database.system_tx() as tx:
        await tx.execute("DELETE FROM outbox WHERE message_id = $1", message["messageId"])
        await tx.execute(
            "UPDATE messages SET created_at = $2, message_id = $3 WHERE message_id = $1",
            message["messageId"], at, ids.first_since("msg", at),
        )  # fmt: skip


async def test_delivery_and_failure_are_shares_of_what_left_by_number_and_provider(
    idle_world: World, resources: Resources, sign_in: SignIn
) -> None:
    other = await idle_world.tenant.number(providerAccountId=idle_world.account["accountId"])
    sent = [await idle_world.send(f"text {n}") for n in range(6)]
    sent += [await idle_world.send("other", **{"from": other["phoneNumber"]}) for _ in range(2)]
    await became(
        resources, sent,
        "delivered", "delivered", "delivered", "undelivered", "unknown", "queued",
        "failed", "cancelled",
    )  # fmt: skip
    page = await (await sign_in(idle_world.tenant)).page("/system")
    whole, first, second = rows(page, "By provider and number")
    assert whole == ["simulator", "8", "50.0 %", "33.3 %", "1", "2"]
    assert first[1:] == ["6", "60.0 %", "20.0 %", "1", "1"]
    assert second[1:] == ["2", "0.0 %", "100.0 %", "0", "1"]
    assert first[0][-4:] == idle_world.ours[-4:]
    assert second[0][-4:] == other["phoneNumber"][-4:]
    assert figure(page, "Texts") == "8"
    assert figure(page, "Delivered") == "50.0 %"
    assert figure(page, "Failed") == "33.3 %"


@pytest.mark.parametrize(("span", "counted"), [("hour", {1}), ("day", {1, 2}), ("month", {1, 2, 3})])
async def test_a_span_counts_what_is_younger_than_it(
    idle_world: World, resources: Resources, span: Span, counted: set[int], sign_in: SignIn
) -> None:
    ages = {1: timedelta(minutes=50), 2: timedelta(hours=23, minutes=50), 3: timedelta(days=29, hours=23, minutes=50),
            4: timedelta(days=30, minutes=10)}  # fmt: skip
    for age in ages.values():
        await aged(resources, await idle_world.send("Hi"), age)
    page = await (await sign_in(idle_world.tenant)).page(f"/system?span={span}")
    assert figure(page, "Texts") == str(len(counted))
    now = datetime.now(UTC)
    label = re.search(r'aria-label="Texts per ([^,]*), ([^"]*)"', page)
    assert label
    unit, units = {"hour": ("minute", 60), "day": ("hour", 24), "month": ("day (UTC)", 30)}[span]
    assert label[1] == unit
    assert label[2].startswith(f"{TIME_SPANS[span].name.lower()}: highest ")
    charted = sum(now - age >= TIME_SPANS[span].get_chart_start(now) for age in ages.values())
    assert label[2].endswith(f"average {charted / units:.2g}"), "a chart has whole steps, the running one among them"


async def test_an_opt_out_counts_among_the_phones_that_were_texted(world: World, sign_in: SignIn) -> None:
    for _ in range(3):
        lead = await world.tenant.lead()
        sent = await world.send("Hi", leadId=lead["leadId"])
        await world.status_is(sent["messageId"], "delivered")
    sent = await world.send("Hi")
    await world.status_is(sent["messageId"], "delivered")
    await world.text("STOP")

    async def confirmed() -> bool:
        return len(world.carrier.received(world.phone)) == 2

    await until(confirmed)
    page = await (await sign_in(world.tenant)).page("/system")
    assert figure(page, "Opted out") == "25.0 % 1 of 4 phones"


async def test_agents_are_told_with_their_failures_and_how_long_they_took(
    world: World, resources: Resources, sign_in: SignIn
) -> None:
    world.agent.answers = [(500, {}), (200, {"reply": "Hello"})]
    sent = await world.send("Hi", agentMode=True)
    await world.text("Hey")
    await world.turn_is(sent["interactionId"], "replied")
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE turn_attempts SET duration_ms = 1000 * attempt")
    page = await (await sign_in(world.tenant)).page("/system")
    [row] = rows(page, "Agent webhooks")
    assert row == ["Agent", "2", "50.0 %", "1.50 s", "1.95 s", "0"]
    assert re.search(r'aria-label="Turns per minute, last hour: highest 1,', page)


async def test_segments_are_summed_by_month(idle_world: World, resources: Resources, sign_in: SignIn) -> None:
    now = datetime.now(UTC)
    before = now.replace(day=1) - timedelta(days=3)
    long = await idle_world.send("x" * 300)
    short = await idle_world.send("x")
    waiting = await idle_world.send("x" * 500)
    last_month = await idle_world.send("x" * 160)
    await became(resources, [long, short, waiting, last_month], "sent", "delivered", "queued",
                 "failed")  # fmt: skip
    await aged(resources, last_month, now - before)
    page = await (await sign_in(idle_world.tenant)).page("/system")
    assert rows(page, "Segments by month") == [
        [f"{now:%B %Y}", "2", "3"],
        [f"{before:%B %Y}", "1", "1"],
    ]


async def test_the_oldest_of_what_is_due_is_told_with_its_conversation(
    idle_world: World, resources: Resources, sign_in: SignIn
) -> None:
    ada = await sign_in(idle_world.tenant)
    assert figure(await ada.page("/system"), "Oldest overdue text") == "none"
    sent = await idle_world.send("Hi", agentMode=True)
    await idle_world.text("Hey")
    later = await idle_world.send("Later", sendAt=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert later["status"] == "scheduled"
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE outbox SET due_at = due_at - interval '3 hours'")
        await tx.execute("UPDATE turns SET due_at = clock_timestamp() - interval '90 seconds'")
    page = await ada.page("/system")
    assert figure(page, "Oldest overdue text") == "3 h Open its conversation"
    assert figure(page, "Oldest overdue turn").startswith("2 min")
    assert f'href="/conversations/{sent["interactionId"]}"' in page


async def test_nothing_of_another_tenant_is_in_it(
    idle_world: World, other_tenant: Tenant, resources: Resources, sign_in: SignIn
) -> None:
    await idle_world.send("Hi", agentMode=True)
    await idle_world.text("Hey")
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE messages SET status = 'delivered' WHERE role = 'agent'")
        await tx.execute("UPDATE turns SET due_at = clock_timestamp() - interval '1 hour'")
    ada = await sign_in(idle_world.tenant)
    assert figure(await ada.page("/system"), "Texts") == "1"
    ben = await sign_in(other_tenant)
    for span in TIME_SPANS:
        page = await ben.page(f"/system?span={span}")
        assert figure(page, "Texts") == "0"
        assert figure(page, "Oldest overdue turn") == "none"
        assert idle_world.ours[-4:] not in page
        assert page.count("<tbody>") == 0


async def test_only_an_admin_may_look(tenant: Tenant, stranger: Browser, sign_in: SignIn) -> None:
    answer = await stranger.get("/system")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")
    member = await sign_in(tenant, "member")
    assert (await member.get("/system")).status_code == 403
    admin = await sign_in(tenant)
    assert (await admin.get("/system")).status_code == 200
    assert (await admin.get("/system?span=century")).status_code == 400


# Charts.


def test_a_charts_scale_ends_at_a_round_number_that_nothing_exceeds() -> None:
    given = [0, 0.004, 0.013, 0.9, 1, 1.1, 3, 7, 10, 11, 99, 4321]
    assert [round_up_scale(value) for value in given] == pytest.approx(
        [1, 0.005, 0.02, 1, 1, 2, 5, 10, 10, 20, 100, 5000]
    )


def test_a_chart_is_steps_from_the_ground_and_back() -> None:
    drawn = build_chart([0, 5, 10, 0], [0, 0, 2, 0])
    assert (drawn.top, drawn.peak, drawn.mean) == (10, 10, 3.75)
    quarter, half, low = WIDTH // 4, HEIGHT // 2, HEIGHT * 8 // 10
    assert drawn.paths == (
        f"M0 {HEIGHT}V{HEIGHT}H{quarter}V{half}H{2 * quarter}V0H{3 * quarter}V{HEIGHT}H{WIDTH}V{HEIGHT}Z",
        f"M0 {HEIGHT}V{HEIGHT}H{quarter}V{HEIGHT}H{2 * quarter}V{low}H{3 * quarter}V{HEIGHT}H{WIDTH}V{HEIGHT}Z",
    )


def test_a_chart_of_nothing_draws_nothing() -> None:
    assert build_chart([0.0, 0.0]).paths == ("",)
    assert build_chart([]).paths == ("",)


def test_the_running_step_is_the_last_one() -> None:
    now = datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)
    assert TIME_SPANS["hour"].get_chart_start(now) == datetime(2026, 3, 1, 11, 35, tzinfo=UTC)
    assert TIME_SPANS["day"].get_chart_start(now) == datetime(2026, 2, 28, 13, 0, tzinfo=UTC)
    assert TIME_SPANS["month"].get_chart_start(now) == datetime(2026, 1, 31, 0, 0, tzinfo=UTC)


def test_the_days_of_a_chart_are_labelled_as_they_are_counted_and_times_by_the_readers_clock() -> None:
    at, zone = datetime(2026, 3, 1, 0, 0, tzinfo=UTC), ZoneInfo("America/New_York")
    assert (format_mark(at, zone, "month"), format_mark(at, zone, "day")) == ("1 Mar", "19:00")


def test_an_ids_time_is_where_its_range_begins() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = ids.make("msg")
    after = datetime.now(UTC) + timedelta(milliseconds=1)
    assert ids.first_since("msg", before) < made < ids.first_since("msg", after)
