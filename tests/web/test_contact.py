"""The contact panel: who the lead is, what it answered, and what it said about being texted."""

from hashlib import sha256
from html import unescape

import pytest

from app.domain.phones import format_phone
from app.resources import Resources
from tests.flows.test_turn_sets import claimed, fall_due, forwarding
from tests.makers import Data
from tests.web.people import Browser
from tests.world import World


async def panel(sam: Browser, thread: str) -> str:
    page = await sam.page(f"/conversations/{thread}")
    return unescape(page.split('aria-label="Contact"')[1].split("</aside>")[0])


async def test_the_questionnaire_shows_answers_and_what_is_still_to_ask(sam: Browser, idle_world: World) -> None:
    sent = await idle_world.send()
    shown = await panel(sam, sent["interactionId"])
    assert "<dt>Do you own your home?</dt><dd>yes</dd>" in shown
    assert '<dt>How high is your bill?</dt><dd class="quiet">Not answered yet</dd>' in shown
    assert "May be contacted" in shown


async def test_tags_and_custom_fields_are_shown(sam: Browser, idle_world: World) -> None:
    fields = {"tags": ["solar", "<b>"], "customFields": {"plan": "gold", "rooms": 0, "owner": False}}
    await idle_world.tenant.call("PATCH", f"/leads/{idle_world.lead['leadId']}", fields)
    sent = await idle_world.send()
    shown = await panel(sam, sent["interactionId"])
    for name, value in (("Tags", "solar, <b>"), ("plan", "gold"), ("rooms", "0"), ("owner", "No")):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in shown


async def test_do_not_contact_is_told_with_its_causes_reason_and_history(sam: Browser, idle_world: World) -> None:
    sent = await idle_world.send()
    lead = f"/leads/{idle_world.lead['leadId']}/dnc"
    await idle_world.tenant.call("PUT", lead, {"channels": ["sms", "phone"], "reason": "asked on the phone"})
    await idle_world.text("STOP <now>")
    await idle_world.text("STOP")
    shown = await panel(sam, sent["interactionId"])
    assert "Texts are blocked" in shown
    assert "the lead opted out, a person blocked them" in shown
    assert "Reason: asked on the phone" in shown
    assert "Calls: not allowed" in shown
    assert "Consent record" in shown
    assert "<strong>Opted out</strong> <q>STOP</q>" in shown
    assert shown.index("Opted out") < shown.index("Blocked"), "the newest first"


async def test_other_threads_of_the_lead_are_one_click_away(sam: Browser, idle_world: World) -> None:
    sent = await idle_world.send()
    other = await idle_world.tenant.number(providerAccountId=idle_world.account["accountId"])
    elsewhere = await idle_world.send(**{"from": other["phoneNumber"]})
    shown = await panel(sam, sent["interactionId"])
    assert f'href="/conversations/{elsewhere["interactionId"]}"' in shown
    assert f'href="/conversations/{sent["interactionId"]}"' not in shown


async def test_a_person_blocks_texts_with_a_reason_and_allows_them_again(sam: Browser, idle_world: World) -> None:
    sent = await idle_world.send()
    here = f"/conversations/{sent['interactionId']}"
    asked = await panel(sam, sent["interactionId"])
    assert f"No text is sent to {format_phone(idle_world.phone)} any more" in asked
    assert "Texts that wait are cancelled, and the agent stops." in asked
    answer = await sam.submit(await sam.page(here), "/do-not-contact", texts="block", reason="sold the house")
    assert answer.status_code == 303
    shown = await panel(sam, sent["interactionId"])
    assert "a person blocked them" in shown
    assert "<q>sold the house</q>" in shown
    assert f"may text {format_phone(idle_world.phone)} again. Texts that were cancelled stay cancelled." in shown
    assert (await idle_world.thread(sent["interactionId"]))["status"] == "dnc"
    await idle_world.tenant.call("PUT", f"/leads/{idle_world.lead['leadId']}/dnc", {"channels": ["sms", "email"]})
    await sam.submit(await sam.page(here), "/do-not-contact", texts="allow")
    shown = await panel(sam, sent["interactionId"])
    assert "Texts are blocked" not in shown
    assert "E-mail: not allowed" in shown
    assert (await idle_world.thread(sent["interactionId"]))["status"] == "in_progress"


async def test_what_the_lead_asked_for_itself_no_hand_lifts(sam: Browser, idle_world: World) -> None:
    sent = await idle_world.send()
    page = await sam.page(f"/conversations/{sent['interactionId']}")
    await idle_world.text("STOP")
    answer = await sam.submit(page, "/do-not-contact", texts="allow")
    assert answer.status_code == 409
    shown = await panel(sam, sent["interactionId"])
    assert "Texts are blocked" in shown
    assert "Only Jane can allow texts again, by sending START." in shown
    assert "Allow" not in shown


async def test_an_agents_answer_shows_its_source_and_a_person_corrects_it(
    sam: Browser, idle_world: World, resources: Resources
) -> None:
    world, by = idle_world, forwarding(resources)
    sent = await world.send(agentMode=True)
    await world.text("About 100")
    thread = (world.tenant.tenant_id, sent["interactionId"])

    async def answer_by(told: Data) -> None:
        text = told["message"]["messages"][0]["messageId"]
        answers = [{"key": "bill", "answer": "100", "messageId": text}, {"key": "owner", "answer": "<no>"}]
        outcome = {"status": "qualified", "summary": "Jane pays <100>.", "answers": answers}
        path = f"/turns/{told['turn']['turnId']}/outcome"
        assert (await world.tenant.ask("POST", path, outcome)).status_code == 200

    async def hand_over() -> None:
        await fall_due(resources)
        for handed in await claimed(by, [thread]):
            await by.perform(handed)

    world.agent.meanwhile = answer_by
    await hand_over()
    page = await sam.page(f"/conversations/{thread[1]}")
    shown = await panel(sam, thread[1])
    text = next(e for e in (await world.thread(thread[1]))["transcript"] if e["message"] == "About 100")
    assert "Jane pays &lt;100&gt;." in page
    assert "<dt>How high is your bill?</dt><dd>100</dd>" in shown
    assert "AI agent" in shown
    assert f'href="/conversations/{thread[1]}#{text["messageId"]}">Text</a>' in shown
    assert f'id="{text["messageId"]}"' in page

    answer = await sam.submit(page, "/answers", key="bill", answer="250 ")
    assert answer.status_code == 303
    shown = await panel(sam, thread[1])
    assert "<dt>How high is your bill?</dt><dd>250</dd>" in shown
    exported = await world.tenant.call("GET", f"/leads/{world.lead['leadId']}/export")
    assert (exported["answers"][-1]["answer"], exported["answers"][-1]["author"][:12]) == ("250", "person:user_")

    await world.text("It is 100, really")
    world.agent.meanwhile = answer_by
    await hand_over()
    assert "<dt>How high is your bill?</dt><dd>250</dd>" in await panel(sam, thread[1])
    turn = (await world.turns(thread[1]))[-1]
    [refused] = turn["refused"]
    assert (refused["code"], refused["detail"]) == ("ANSWERED_BY_PERSON", "answers: a person answered bill")
    assert [one["key"] for one in refused["outcome"]["answers"]] == ["bill"]
    record = unescape(await sam.page(f"/conversations/{thread[1]}/turns/{turn['turnId']}"))
    assert "A person had answered this question." in record
    assert "Outcome</h2>" in record


@pytest.mark.parametrize(("key", "answer"), [("bill", "  "), ("nope", "x")])
async def test_an_answer_that_cannot_be_kept_is_told(sam: Browser, idle_world: World, key: str, answer: str) -> None:
    sent = await idle_world.send()
    page = await sam.page(f"/conversations/{sent['interactionId']}")
    refused = await sam.submit(page, "/answers", key=key, answer=answer)
    assert refused.status_code == 400
    assert len((await idle_world.tenant.call("GET", f"/leads/{idle_world.lead['leadId']}"))["questionnaire"]) == 1


async def test_whoever_did_something_is_named(sam: Browser, idle_world: World, resources: Resources) -> None:
    world, by = idle_world, forwarding(resources)
    thread = (await world.send(agentMode=True))["interactionId"]
    here = f"/conversations/{thread}"
    await sam.submit(await sam.page(here), "/do-not-contact", texts="block")
    await world.tenant.call("PATCH", f"/interactions/{thread}", {"status": "in_progress"})
    world.agent.answers = [(200, {"status": "dnc"})]
    await world.text("My wife says to leave it")
    await fall_due(resources)
    for handed in await claimed(by, [(world.tenant.tenant_id, thread)]):
        await by.perform(handed)
    await world.text("START")
    shown = await panel(sam, thread)
    record, history = shown.split("Consent record")[1].split("History (")
    for part in (record, history):
        for name in ("sam@example.com", "API First key", "AI agent Agent"):
            assert f"<bdi>{name}</bdi>" in part
        assert not [id for id in ("user_", "key_", "smsagent_") if id in part]
    assert "<bdi>Jane</bdi>" in record


async def test_a_person_records_a_consent_by_hand_and_revokes_it(sam: Browser, idle_world: World) -> None:
    world = idle_world
    sent = await world.send()
    assert "Record a consent…" in await panel(sam, sent["interactionId"])
    here = f"/leads/{world.lead['leadId']}/consents"
    page = unescape(await sam.page(here))
    assert "No consent is recorded." in page
    told: dict[str, str | list[str]] = {
        "basis": "express_written", "scopes": ["marketing"], "source": "the fair <May>", "wording": "I agree",
        "proof": "form-7", "obtainedAt": "2026-05-12",
    }  # fmt: skip
    for _ in range(2):  # a form that is sent twice makes one entry
        answer = await sam.submit(page, here, **told)
        assert answer.status_code == 303
    page = unescape(await sam.page(answer.headers["location"]))
    assert "The consent was recorded." in page
    assert "<li>Marketing: express written</li>" in page
    assert "<strong>Consent</strong> express written (marketing)" in page
    assert "Proof: form-7" in page
    assert "sam@example.com" in page
    [entry] = (await world.tenant.call("GET", f"/consent/{world.phone}"))["events"]
    assert (entry["source"], entry["obtainedAt"][:11]) == ("the fair <May>", "2026-05-12T")
    assert entry["wordingHash"] == sha256(b"I agree").hexdigest()
    assert "Record or revoke a consent…" in await panel(sam, sent["interactionId"])
    assert f'href="{here}/revoke"' in page
    page = await sam.page(f"{here}/revoke")
    for _ in range(2):
        answer = await sam.submit(page, f"{here}/revoke", scopes=["marketing"], reason="said so on the phone")
        assert answer.status_code == 303
    events = (await world.tenant.call("GET", f"/consent/{world.phone}"))["events"]
    assert [event["event"] for event in events] == ["consent_given", "consent_revoked"]
    page = unescape(await sam.page(here))
    assert "No consent is recorded." in page
    assert "<strong>Consent revoked</strong> (marketing) <q>said so on the phone</q>" in page


async def test_an_entry_that_says_too_little_is_refused_beside_its_field(sam: Browser, idle_world: World) -> None:
    here = f"/leads/{idle_world.lead['leadId']}/consents"
    page = await sam.page(here)
    for day in ("2226-05-12", "2026-13-40", "in May"):
        refused = await sam.submit(page, here, basis="express", scopes=["marketing"], obtainedAt=day)
        assert refused.status_code == 400
        assert 'id="fault-obtainedAt"' in refused.text
        assert f'value="{day}"' in refused.text
    refused = await sam.submit(page, here, basis="express")
    assert refused.status_code == 400
    assert (await idle_world.tenant.call("GET", f"/consent/{idle_world.phone}"))["events"] == []
