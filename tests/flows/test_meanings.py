"""What leads write, through Twilio's signed webhook: what is obeyed, held for a person, or plain conversation."""

import pytest

from app.resources import Resources
from tests.flows.test_carriers_words import Line, line_at
from tests.makers import Data, Tenant

OURS = "Hi Ana, this is Lakeside Roofing. Is Tuesday still good? Reply STOP to opt out of our texts."


async def line_with_our_text(tenant: Tenant) -> Line:
    """A line whose lead has got a text of ours."""
    line = await line_at(tenant, "twilio")
    body = {"leadId": line.lead["leadId"], "message": OURS, "from": line.number}
    assert (await tenant.ask("POST", "/sms/send", body)).status_code == 202
    return line


async def only_thread(line: Line) -> Data:
    path = f"/interactions/lead/{line.lead['leadId']}"
    [thread] = (await line.tenant.call("GET", path))["interactions"]
    return dict(thread)


async def state_of(line: Line) -> tuple[list[str], bool]:
    """The causes of the lead's phone, and whether a person must decide."""
    return (await line.consent())["causes"], (await only_thread(line))["awaitsDecision"]


async def test_a_reaction_to_our_text_or_a_quotation_of_it_is_conversation(tenant: Tenant) -> None:
    line = await line_with_our_text(tenant)
    for text in (
        "Removed a heart from “Reply STOP to opt out of our texts.”",
        "Removed a question mark from “Reply STOP to opt out”",
        f"👍 removed from “{OURS}”",
        f"Reaccionó con 👍 a “{OURS}”",
        f"> {OURS}\nYes please!",
        f"“{OURS}” – yes, Tuesday works",
        f"Tykkäsi viestistä ”{OURS}”",
        f"Reagiu com ❤️ a “{OURS[:60]}…”",
        f"« {OURS} » oui, mardi me va",
        f"> {OURS}\n\nTuesday is perfect",
        f"Tuesday is perfect\n\nOn Mon, Lakeside Roofing wrote:\n> {OURS}",
        f"you wrote '{OURS}' - yes Tuesday",
    ):
        await line.text(text)
        assert await state_of(line) == ([], False), text
    assert await line.send() == 202


@pytest.mark.parametrize(
    "text", [f"“{OURS}” STOP", f"Liked “{OURS}”\nplease stop texting me", f"> {OURS}\nunsubscribe"]
)
async def test_a_wish_beside_a_quotation_of_our_text_is_obeyed(tenant: Tenant, text: str) -> None:
    line = await line_with_our_text(tenant)
    await line.text(text)
    assert await state_of(line) == (["lead"], False)
    assert await line.send() == 403


async def test_a_wish_about_another_thing_suppresses_nobody(tenant: Tenant) -> None:
    line = await line_with_our_text(tenant)
    for text in (
        "Could you take me off the Thursday list and put me on Monday?",
        "Can you take me off the Tuesday slot and put me on Friday?",
        "stop sending the crew before 9am please",
        "can I opt out of the financing and pay cash?",
        "they never contacted me again about the quote",
        "I unsubscribed from Netflix to pay for this roof",
        "please stop the crew from parking on the grass",
        "may I opt out of the extended warranty?",
        "the last roofer never contacted me again",
        "I unsubscribed from HBO so I can pay you",
        "quítenme de la visita del jueves",
        "annulez la visite de jeudi",
        "cancela a visita de quinta",
        "don't take me off your list",
        "end of the street, then stop at the blue house",
    ):
        await line.text(text)
        assert (await line.consent())["causes"] == [], text
    assert await line.send() == 202


@pytest.mark.parametrize(
    "text",
    [
        "Stop\nThanks\nGloria",
        "Stop\nThank you\nJohn",
        "Reply STOP",
        "stop, wrong number",
        "Stop\nHave a great day!\nMarcus",
        "🛑 texts",
        "STOP\n-- \nGloria Reyes\nReyes Dental",
        "Text STOP",
        "Responda ALTO",
        "STOP2END",
        "S\nT\nO\nP",
        "1) stop 2) see 1",
        "unsubscribe - sent from my Galaxy",
        ">stop<",
        "STOP Lakeside Roofing",
    ],
)
async def test_a_definitive_word_is_obeyed_however_it_is_written(tenant: Tenant, text: str) -> None:
    line = await line_with_our_text(tenant)
    await line.text(text)
    assert await state_of(line) == (["lead"], False)
    [event] = [event for event in (await line.consent())["events"] if event["event"] == "opted_out"]
    assert event["rule"] in ("word", "first_line")
    assert await line.send() == 403


async def test_the_organization_s_name_is_known_where_no_text_names_it(tenant: Tenant, resources: Resources) -> None:
    line = await line_at(tenant, "twilio")
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE tenants SET name = 'Sunny Gutters' WHERE tenant_id = $1", tenant.tenant_id)
    await line.text("stop sunny gutters")
    assert (await line.consent())["causes"] == ["lead"]


@pytest.mark.parametrize(
    "text", ["kindly quit messaging me", "no more texts to this phone", "ya no me escriban", "ne m'écrivez plus"]
)
async def test_a_wish_in_a_sentence_is_obeyed_and_confirmed_by_us(tenant: Tenant, text: str) -> None:
    line = await line_with_our_text(tenant)
    await line.text(text)
    assert (await line.consent())["causes"] == ["lead"]
    assert len(await line.answers()) == 1


@pytest.mark.parametrize(
    "text",
    ["My kid hit stop. I still want the messages!", "I didn't mean to text stop, keep them coming", "START - Gloria"],
)
async def test_who_takes_a_stop_back_is_texted_again(tenant: Tenant, text: str) -> None:
    line = await line_with_our_text(tenant)
    await line.text("STOP")
    assert await line.send() == 403
    await line.text(text)
    assert (await line.consent())["causes"] == []
    assert await line.send() == 202


@pytest.mark.parametrize(
    "text",
    ["wrong number", "leave me alone", "you have the wrong person", "stop calling my house", "how do I opt out?"],
)
async def test_what_may_be_a_wish_waits_for_a_person(tenant: Tenant, text: str) -> None:
    line = await line_with_our_text(tenant)
    await line.text(text)
    assert await state_of(line) == ([], True)


async def test_plain_answers_go_on_without_a_person(tenant: Tenant) -> None:
    line = await line_with_our_text(tenant)
    for text in (
        "five",
        "Are you there?",
        "ok thanks",
        "Is the 3-bed still available?",
        "👍",
        "Gloria Reyes",
        "555-0123",
    ):
        await line.text(text)
        assert await state_of(line) == ([], False), text
