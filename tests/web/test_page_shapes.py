"""Every page with every shape that the store can hold: a column that may be empty is empty here,
and full; a word of a closed set stands here in each of its forms."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import unescape
from itertools import cycle, islice, product
from typing import Any, get_args

import pytest

from app.domain import ids
from app.domain.words import (
    Channel,
    InteractionStatus,
    MessageStatus,
    Source,
)
from app.resources import Resources
from app.web.page.render import TURN_WORDS
from tests.makers import Data, Tenant
from tests.web.people import Browser
from tests.web.test_page import a_thread, articles, ours

__all__ = ["ours"]

NOW = datetime.now(UTC)
FILE = "https://files.example.com/roof"
MEDIA: Sequence[list[Data]] = (
    [],
    [{"url": FILE}],
    [{"url": FILE, "contentType": None}],
    [{"url": FILE, "contentType": "image/png"}],
    [{"url": FILE, "contentType": "application/pdf", "size": 3}, {"url": FILE}],
)
DEEP = "[" * 20_000
LONE = r'{"reply": "half of a pair: \ud83d"}'
ANSWERS = (None, "", "no JSON", '{"reply": "Yes"}', DEEP, LONE)


def at(minutes: float) -> str:
    return (NOW + timedelta(minutes=minutes)).isoformat()


@pytest.fixture
async def rows(resources: Resources) -> "Rows":
    return Rows(resources)


class Rows:
    """Rows as nothing but the tables' own rules allows them."""

    def __init__(self, resources: Resources) -> None:
        self._database = resources.database

    async def add(self, table: str, rows: Sequence[Data]) -> None:
        columns = ", ".join(rows[0])
        sql = f"""INSERT INTO {table} ({columns})
                  SELECT {columns} FROM jsonb_populate_recordset(NULL::{table}, $1)"""
        await self.run(sql, list(rows))

    async def set(self, table: str, tenant: Tenant, **columns: Any) -> None:
        """In all rows of the tenant."""
        names = ", ".join(columns)
        sql = f"""UPDATE {table} SET ({names}) = ROW ({", ".join(f"n.{one}" for one in columns)})
                  FROM jsonb_populate_record(NULL::{table}, $1) n
                  WHERE {table}.tenant_id = $2"""
        await self.run(sql, columns, tenant.tenant_id)

    async def run(self, sql: str, *arguments: Any) -> None:
        async with self._database.system_tx() as tx:
            await tx.execute(sql, *arguments)


@pytest.fixture
async def admin(sam: Browser, tenant: Tenant, rows: Rows) -> Browser:
    await rows.set("users", tenant, role="admin")
    return sam


async def test_a_text_with_a_picture_is_shown_and_answered(sam: Browser, tenant: Tenant, ours: Data) -> None:
    path = f"/phone-numbers/{ours['phoneNumberId']}"
    await tenant.call("PATCH", path, {"capabilities": ["sms", "mms"]})
    lead = await tenant.lead()
    body = {"leadId": lead["leadId"], "message": "Look:", "mediaUrls": [FILE]}
    sent = await tenant.call("POST", "/sms/send", body)
    here = f"/conversations/{sent['interactionId']}"
    answer = await sam.submit(await sam.page(here), "/texts", message="Did it come?")
    assert answer.status_code == 303
    page = await sam.page(here)
    assert f'href="{here}/texts/{sent["messageId"]}/media/0">Attachment</a>' in page
    assert articles(page) == ["Look:", "Did it come?"]


async def test_every_shape_of_a_text_is_shown(sam: Browser, tenant: Tenant, ours: Data, rows: Rows) -> None:
    lead, sent = await a_thread(tenant)
    kinds = list(product(("agent", "user"), get_args(Source), get_args(MessageStatus)))
    said = texts(tenant, lead, sent, kinds)
    for seq, text in enumerate(said, 2):
        text["seq"] = seq
    await rows.add("messages", said)
    await rows.set("interactions", tenant, last_seq=len(said) + 1)
    waiting = texts(tenant, lead, sent, [("agent", "api", s) for s in ("scheduled", "queued")] * 6)
    held = cycle(product((None, at(60)), (None, "quiet hours"), (None, at(90))))
    for text, (until, reason, send_at) in zip(waiting, held, strict=False):
        text |= {"seq": None, "held_until": until, "held_reason": reason, "send_at": send_at}
    await rows.add("messages", waiting)
    here, found = f"/conversations/{sent['interactionId']}", ""
    for before in (None, *range(len(said) + 2, 1, -50)):
        page = await sam.page(here + (f"?before={before}" if before else ""))
        found += page
        assert "None" not in unsaid(page)
    assert all(f'id="{text["message_id"]}"' in found for text in (*said, *waiting))


def unsaid(page: str) -> str:
    """The page without the word that it says of a thread in no campaign."""
    return page.replace("<dt>Campaign</dt><dd>None</dd>", "")


def texts(tenant: Tenant, lead: Data, sent: Data, kinds: Sequence[tuple[str, ...]]) -> list[Data]:
    """One of each (role, source, status); what else may be in it changes in steps of its own."""
    media, words = cycle(MEDIA), cycle(["Words", "", " \n "])
    errors = cycle([(None, None), ("NOT_TAKEN", None), (None, "In words."), ("30003", "In words.")])
    actors, flags = cycle([None, "key_gone", "user_gone", "lead"]), cycle([False, True, True, False, True])
    decisions = cycle([None, None, False, True])
    made: list[Data] = []
    for role, source, status in kinds:
        code, message = next(errors)
        made.append({
            "tenant_id": tenant.tenant_id, "message_id": ids.make("msg"),
            "interaction_id": sent["interactionId"], "lead_id": lead["leadId"], "role": role,
            "source": source, "status": status, "text": next(words), "media": next(media),
            "error_code": code, "error_message": message, "actor": next(actors),
            "late": next(flags), "possible_opt_out": next(flags),
            "opt_out": next(decisions), "awaits_decision": next(flags), "created_at": at(-len(made)),
            "seq": None, "turn_id": next(actors) and "turn_gone",
        })  # fmt: skip
    return made


LEADS: Sequence[Data] = (
    {"first_name": None, "last_name": None, "email": None, "phone": None, "status": "new",
     "is_test": False, "is_placeholder": True, "timezone": None, "questionnaire": [],
     "dnc_channels": [], "dnc_reason": None},
    {"first_name": "Jane", "last_name": None, "email": None, "phone": "+12125550000",
     "status": "odd", "is_test": True, "is_placeholder": False, "timezone": "Asia/Kolkata",
     "questionnaire": [{"key": "a", "question": "", "answer": ""},
                       {"key": "b", "question": "Why?", "answer": None}, {"key": "c"}],
     "dnc_channels": list(get_args(Channel)), "dnc_reason": "As she wished"},
    {"first_name": " ", "last_name": "Miller", "email": "j@example.com", "phone": "12345",
     "status": "new", "is_test": False, "is_placeholder": False, "timezone": "Nowhere/Never",
     "questionnaire": [{"key": "a", "question": "Why?", "answer": "So"}],
     "dnc_channels": ["email"], "dnc_reason": None},
)  # fmt: skip
HELD: Sequence[Data | None] = (
    None,
    {"texts": ["One", "Two"], "heldAt": at(-1), "by": "api"},
    {"texts": [], "heldAt": at(-1), "by": "inline"},
)


async def test_every_shape_of_a_thread_and_its_lead_is_shown(
    sam: Browser, tenant: Tenant, ours: Data, rows: Rows
) -> None:
    await tenant.campaign(campaignId="c_one", questionnaire=[{"key": "k", "question": "Q"}])
    _, sent = await a_thread(tenant, firstName="Ann")
    await a_thread(tenant, firstName="Bob")
    here = f"/conversations/{sent['interactionId']}"
    await rows.add("turns", [a_turn(tenant, sent, "collecting")])
    state = cycle(TURN_WORDS)
    paused = cycle([(None, None), (at(60), None), (at(60), "It said the same"), (at(-60), "Old")])
    shapes = zip(
        cycle(get_args(InteractionStatus)), cycle(LEADS), cycle(HELD), cycle([True, True, False]),
        cycle([(None, None), ("inbound", "Hi"), ("outbound", "")]), cycle([None, "c_one"]),
        cycle([False, True]), strict=False,
    )  # fmt: skip
    for status, lead, held, agent_mode, (direction, preview), campaign, posting in islice(shapes, 42):
        until, why = next(paused)
        await rows.set("leads", tenant, **lead)
        await rows.set("turns", tenant, state=next(state), held=held, posting=posting)
        await rows.set(
            "interactions", tenant, status=status, agent_mode=agent_mode, paused_until=until,
            paused_reason=why, last_direction=direction, last_preview=preview,
            campaign_id=campaign, unread_count=3 if agent_mode else 0,
        )  # fmt: skip
        for page in (await sam.page("/conversations"), await sam.page(here)):
            assert "None" not in unsaid(page)


async def test_a_thread_between_names_and_short_codes_is_shown(
    sam: Browser, tenant: Tenant, ours: Data, rows: Rows
) -> None:
    _, sent = await a_thread(tenant)
    await rows.set("interactions", tenant, our_number="ROOFS", lead_phone="72345")
    page = await sam.page(f"/conversations/{sent['interactionId']}")
    assert "72345" in page
    assert "ROOFS" in page


async def test_every_shape_of_consent_of_numbers_and_of_brakes_is_shown(
    sam: Browser, tenant: Tenant, ours: Data, rows: Rows
) -> None:
    lead, sent = await a_thread(tenant)
    events = ("opted_out", "opted_in", "help", "suppressed", "lifted", "released", "new_one")
    record = product(events, (None, "STOP"), (None, "keyword"), ("lead", "user_gone", "system"))
    await tenant.call("PUT", f"/leads/{lead['leadId']}/dnc", {"channels": ["sms", "email"]})
    await rows.run(
        """INSERT INTO suppressions (tenant_id, phone_hash, cause, phone, actor)
           SELECT tenant_id, phone_hash, 'lead', phone, actor FROM suppressions
           WHERE tenant_id = $1""",
        tenant.tenant_id,
    )
    for event, text, rule, actor in record:
        await rows.run(
            """INSERT INTO consent_events (tenant_id, event_id, phone_hash, phone, event, text,
                                           rule, actor)
               SELECT tenant_id, $2, phone_hash, phone, $3, $4, $5, $6 FROM suppressions
               WHERE tenant_id = $1 LIMIT 1""",
            tenant.tenant_id, ids.make("evt"), event, text, rule, actor,
        )  # fmt: skip
    await tenant.agent(phoneNumberId=ours["phoneNumberId"])
    for reason, label in ((None, None), ("Too many", ""), ("", "Main")):
        for table in ("tenants", "phone_numbers", "sms_agents"):
            await rows.set(table, tenant, paused_at=at(-5), paused_reason=reason)
        await rows.set("phone_numbers", tenant, label=label)
        page = await sam.page(f"/conversations/{sent['interactionId']}")
        assert "Consent record" in page
        assert "everything is paused" in page
        assert "None" not in unescape(page).split('class="alert warn"')[1].split("</p>")[0]


REPLIES: Sequence[Data | None] = (
    None,
    {"texts": [], "messageIds": [], "by": "api"},
    {"texts": ["Yes"], "messageIds": ["msg_gone"], "by": "inline"},
    {"texts": ["Yes", ""], "messageIds": [], "by": "by_hand"},
)
REFUSED: Sequence[list[Data]] = (
    [],
    [{"texts": ["No"], "code": "STALE_TURN", "at": at(-1), "by": "api"}],
    [{"texts": [], "code": "NEW_CODE", "at": at(-1), "by": "inline", "detail": "Too long."},
     {"texts": ["a", "b"], "code": "VALIDATION_ERROR", "at": at(-1), "by": "api"}],
)  # fmt: skip


def a_turn(tenant: Tenant, sent: Data, state: str, kind: str = "live", **more: Any) -> Data:
    given = {
        "tenant_id": tenant.tenant_id, "turn_id": ids.make("turn"), "state": state, "kind": kind,
        "interaction_id": sent["interactionId"], "opened_at": at(-9), "due_at": at(1),
        "window_due_at": at(-8), "refused": [],
    }  # fmt: skip
    return given | more


async def test_every_shape_of_a_turn_is_shown(sam: Browser, tenant: Tenant, ours: Data, rows: Rows) -> None:
    _, sent = await a_thread(tenant)
    agent = await tenant.agent()
    times, replies, refused = cycle([None, at(-3)]), cycle(REPLIES), cycle(REFUSED)
    agents, held = cycle([None, agent["smsAgentId"]]), cycle(HELD)
    unsent = cycle([None, {"turnId": "turn_x", "texts": ["Before"], "refusedAt": at(-2)}])
    kinds = ("live", "shadow", "replay")  # a test is in no thread
    found = [
        a_turn(
            tenant, sent, state, kind, reply=next(replies), refused=next(refused), held=next(held),
            sms_agent_id=next(agents), reason=next(cycle([None, "said so"])),
            handed_over_at=next(times), accepted_at=next(times), closed_at=next(times),
            expires_at=next(times), moved_to=next(times) and "turn_next", unsent_reply=next(unsent),
            protected=state == "failed", of_turn=None,
        )
        for kind in kinds for state in TURN_WORDS
    ]  # fmt: skip
    for turn in found[10:]:
        turn["of_turn"] = found[0]["turn_id"]
    # Of those that are open a thread has one of each.
    one_at_a_time = [t for t in found if t["kind"] == "live" and t["state"] == "awaiting_reply"]
    await rows.add("turns", [t for t in found if t not in one_at_a_time])
    outcomes = cycle(["failed", "accepted", None])
    attempts = [
        {"tenant_id": tenant.tenant_id, "turn_id": turn["turn_id"], "attempt": n,
         "request_body": "\\x" + body.hex(), "outcome": next(outcomes), "http_status": status,
         "duration_ms": took, "answer": answer}
        for turn in found[:3]
        for n, (answer, body, status, took) in enumerate(
            zip(ANSWERS, cycle([b"{}", b"no JSON", b"\xff"]), cycle([None, 200, 503]),
                cycle([None, 12]), strict=False), 1)
        if turn not in one_at_a_time
    ]  # fmt: skip
    await rows.add("turn_attempts", attempts)
    here = f"/conversations/{sent['interactionId']}"
    for turn in found:
        if turn not in one_at_a_time:
            await sam.page(f"{here}/turns/{turn['turn_id']}")
    [last] = one_at_a_time
    await rows.set("turns", tenant, kind="replay")
    await rows.add("turns", [last])
    await sam.page(f"{here}/turns/{last['turn_id']}")


async def test_what_an_agent_answered_is_shown_as_it_came(sam: Browser, tenant: Tenant, ours: Data, rows: Rows) -> None:
    _, sent = await a_thread(tenant)
    turn = a_turn(tenant, sent, "failed")
    await rows.add("turns", [turn])
    await rows.add("turn_attempts", [
        {"tenant_id": tenant.tenant_id, "turn_id": turn["turn_id"], "attempt": n,
         "request_body": "\\x7b7d", "answer": answer}
        for n, answer in enumerate((LONE, DEEP), 1)
    ])  # fmt: skip
    here = f"/conversations/{sent['interactionId']}/turns/{turn['turn_id']}"
    page = unescape(await sam.page(here))
    assert r"half of a pair: \ud83d" in page
    assert DEEP in page


async def test_the_system_page_is_shown_with_attempts_that_were_never_timed_and_texts_uncounted(
    admin: Browser, tenant: Tenant, ours: Data, rows: Rows
) -> None:
    lead, sent = await a_thread(tenant)
    kinds = [("agent", "api", status) for status in get_args(MessageStatus)]
    await rows.add("messages", texts(tenant, lead, sent, kinds))
    await rows.set("messages", tenant, segments=None)
    turn = a_turn(tenant, sent, "failed", sms_agent_id=None)
    await rows.add("turns", [turn])
    await rows.add("turn_attempts", [
        {"tenant_id": tenant.tenant_id, "turn_id": turn["turn_id"], "attempt": 1,
         "request_body": "\\x7b7d", "outcome": "failed", "duration_ms": None}
    ])  # fmt: skip
    for span in ("hour", "day", "month"):
        page = await admin.page(f"/system?span={span}")
        assert "None" not in page
        assert "No agent" in page


SETTINGS: Sequence[tuple[str, str, Data, Data]] = (
    ("phone_numbers", "numbers",
     {"label": None, "account_id": None, "messages_per_second": None, "capabilities": []},
     {"label": "Main", "messages_per_second": 0.5, "paused_at": at(-5), "active": False}),
    ("sms_agents", "agents",
     {"description": None, "phone_number_id": None, "max_wait_ms": None, "business_hours": None,
      "resume_after_minutes": None, "shadow_webhook_url": None},
     {"description": "Sells", "max_wait_ms": 9000, "resume_after_minutes": 5, "is_test": True,
      "business_hours": {"start": "08:00", "end": "21:00", "timezone": "UTC", "days": [1, 7]},
      "shadow_webhook_url": "https://shadow.example.com/", "paused_at": at(-5), "active": False,
      "inbound_campaign_ids": ["c_gone"]}),
    ("campaigns", "campaigns",
     {"client_id": None, "client_name": None, "offer_id": None, "offer_name": None,
      "phone_number_id": None, "provider": None, "sms_agent_id": None, "questionnaire": []},
     {"client_id": "x", "client_name": "X", "offer_id": "y", "offer_name": "Y", "active": False,
      "provider": "twilio", "questionnaire": [{"key": "k", "question": "Q"}]}),
    ("provider_accounts", "accounts",
     {"base_url": None, "hints": {}, "is_default": False},
     {"base_url": "https://api.example.com", "active": False, "missing_since": at(-9)}),
    ("api_keys", "keys",
     {"requests_per_second": None, "last_used_at": None},
     {"requests_per_second": 9, "last_used_at": at(-99), "scope": "read"}),
    ("canned_replies", "canned", {"title": "T"}, {"text": "T\n" * 200}),
    ("users", "people", {"active": True}, {"email": "sam@example.com"}),
    ("tenants", "general",
     {"default_provider": None, "opt_out_confirmation": None, "help_text": None,
      "texts_per_day": None, "allowed_countries": None, "paused_at": None},
     {"default_provider": "twilio", "opt_out_confirmation": "Bye", "help_text": "Help",
      "texts_per_day": 9, "allowed_countries": ["US"], "paused_at": at(-5),
      "paused_reason": None}),
)  # fmt: skip


async def test_every_page_of_the_settings_is_shown_with_each_column_empty_and_full(
    admin: Browser, tenant: Tenant, ours: Data, rows: Rows
) -> None:
    await tenant.agent()
    await tenant.campaign()
    await tenant.call("POST", "/canned-replies", {"title": "Hours", "text": "9 to 5"})
    for table, section, empty, full in SETTINGS:
        for columns in (empty, full):
            await rows.set(table, tenant, **columns)
            page = await admin.page(f"/settings/{section}")
            assert ">None<" not in page
            links = {part.split('"')[0] for part in page.split(f'href="/settings/{section}/')[1:]}
            assert links or section == "general", section
            for link in links:
                shown = await admin.page(f"/settings/{section}/{link}")
                assert ">None<" not in shown, link
                assert 'value="None"' not in shown, link
    agents = await admin.page("/settings/agents")
    agent = agents.split('href="/settings/agents/smsagent_')[1].split('"')[0]
    assert "Shadow report" in await admin.page(f"/settings/agents/smsagent_{agent}/shadow")
