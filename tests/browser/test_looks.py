"""Every page in light, in dark and on a phone: no finding of axe-core, nothing that sticks
out at the side, and a picture for a person's eye, where those are wanted."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]
from playwright.async_api import Page, ViewportSize, expect

from app.resources import Resources
from tests.browser.conftest import Enter, Person, take_picture
from tests.browser.inbox import fill_inbox, hold_a_reply
from tests.world import World, until

DESK, PHONE = ViewportSize(width=1360, height=860), ViewportSize(width=390, height=844)
LONG_WORD = "Stop" * 20
EVERYTHING: dict[str, object] = {}
COLOURS: dict[str, object] = {"runOnly": ["color-contrast", "link-in-text-block"]}
SIZES: dict[str, object] = {"runOnly": ["target-size", "scrollable-region-focusable"]}
Look = tuple[ViewportSize, Literal["light", "dark"], dict[str, object] | None]
LOOKS: dict[str, Look] = {
    "desk-light": (DESK, "light", EVERYTHING),
    "desk-dark": (DESK, "dark", COLOURS),
    "phone-light": (PHONE, "light", SIZES),
    "phone-dark": (PHONE, "dark", None),
    "tablet": (ViewportSize(width=900, height=1100), "light", None),
    "wide": (ViewportSize(width=1920, height=1080), "dark", None),
}
"""Size, colours, and what axe-core is asked (None: nothing): in the dark only the colours
are others, on a phone only the sizes."""
LOOKS_AT_WORK: dict[str, Look] = {
    "laptop": (ViewportSize(width=1280, height=720), "light", SIZES),
    "low": (ViewportSize(width=1024, height=600), "dark", SIZES),
    "zoomed": (ViewportSize(width=720, height=450), "light", SIZES),
}
"""The pages on which people spend their day, besides: the last is a screen of 1440 by 900 at 200 %."""
AT_WORK = ("list", "thread", "thread-held", "new-form")


@dataclass(frozen=True, slots=True)
class Shown:
    """A page: where it is, who looks at it, and what is done there first."""

    name: str
    path: str
    signed_in: bool = True
    asked: bool = True
    """Whether axe-core is asked here; else another test does."""
    then: Callable[[Person], Awaitable[None]] | None = None


async def _unfolded(person: Person) -> None:
    await person.page.locator("main details").evaluate_all("all => all.forEach(d => d.open = true)")


async def _refused(person: Person) -> None:
    """A long text in the box, and what the service says to it."""
    await person.box.fill("Your roof is ours… " * 90)
    await person.page.get_by_role("button", name="Send", exact=True).click()
    await expect(person.page.get_by_role("alert")).to_be_visible()
    person.complaints.clear()


PAGES = [
    Shown("sign-in", "/sign-in", signed_in=False),
    Shown("guide", "/guide", signed_in=False, asked=False),
    Shown("guide-agents", "/guide/agents", signed_in=False),
    Shown("list", "/conversations"),
    Shown("list-narrowed", "/conversations?search=nobody&range=custom"),
    Shown("list-several", "/conversations?campaign={campaign}&status=in_progress,follow_up&range=30d&search=o"),
    Shown("new", "/conversations/new?who=2125550187"),
    Shown("new-form", "/conversations/new?lead={lonely}", then=_unfolded),
    Shown("thread", "/conversations/{talk}"),
    Shown("thread-refused", "/conversations/{talk}", then=_refused),
    Shown("thread-held", "/conversations/{held}"),
    Shown("thread-stopped", "/conversations/{stopped}"),
    Shown("turn", "/conversations/{talk}/turns/{turn}", then=_unfolded),
    Shown("account", "/account", asked=False),
    Shown("figures", "/figures", then=_unfolded),
    Shown("system", "/system"),
    Shown("system-month", "/system?span=month"),
    Shown("settings-general", "/settings/general", asked=False),
    Shown("settings-people", "/settings/people", asked=False),
    Shown("settings-accounts", "/settings/accounts", asked=False),
    Shown("settings-numbers", "/settings/numbers", asked=False),
    Shown("settings-canned", "/settings/canned", asked=False),
    Shown("settings-imports", "/settings/imports", asked=False),
    Shown("settings-trials", "/settings/trials"),
    Shown("settings-experiments", "/settings/experiments"),
    Shown("trial", "/settings/trials/{trial}"),
    Shown("experiment", "/settings/experiments/{experiment}"),
    Shown("not-found", "/conversations/int_unknown"),
]
"""Add a page here; `{names}` in a path are those that `town` gives."""


async def test_every_page_looks_right_and_is_accessible(enter: Enter, world: World, resources: Resources) -> None:
    names = await town(world)
    await fill_inbox(resources, world, 60)
    people = {True: await enter(), False: await enter(None)}
    found: dict[str, list[str]] = {}
    for shown in PAGES:
        person = people[shown.signed_in]
        await person.page.set_viewport_size(DESK)
        await person.open(shown.path.format(**names))
        if shown.then:
            await shown.then(person)
        looks = LOOKS | (LOOKS_AT_WORK if shown.name in AT_WORK else {})
        for look, (size, scheme, rules) in looks.items():
            await person.page.set_viewport_size(size)
            await person.page.emulate_media(color_scheme=scheme)
            name = f"{shown.name}-{look}"
            await take_picture(person.page, name)
            found[name] = await findings(person.page, rules if shown.asked else None)
        person.complaints.clear()  # a page that is not found is one, too
    sam = people[True]
    await sam.open("/account")
    await sam.page.get_by_label("Size", exact=True).select_option(label="Largest")
    await sam.page.get_by_role("button", name="Save size").click()
    await expect(sam.page.get_by_text("was saved for this browser")).to_be_visible()
    for shown in PAGES:
        if shown.name not in (*AT_WORK, "account", "settings-general"):
            continue
        await sam.open(shown.path.format(**names))
        for look in ("desk-light", "zoomed", "phone-light"):
            size, scheme, _ = (LOOKS | LOOKS_AT_WORK)[look]
            await sam.page.set_viewport_size(size)
            await sam.page.emulate_media(color_scheme=scheme)
            name = f"{shown.name}-{look}-largest-text"
            await take_picture(sam.page, name)
            found[name] = await findings(sam.page, SIZES)
    assert {where: what for where, what in found.items() if what} == {}


async def findings(page: Page, rules: dict[str, object] | None = EVERYTHING) -> list[str]:
    """Of axe-core: rule, element, what to do; and what sticks out at a side."""
    found: list[str] = await page.evaluate(STICKS_OUT)
    if rules is None:
        return found
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE_SCRIPT)
    violations: list[str] = await page.evaluate(ASK_AXE, {"resultTypes": ["violations"], **rules})
    return found + violations


ASK_AXE = """async (options) => {
    const {violations} = await axe.run(options);
    return violations.flatMap(one => one.nodes.map(node => `${one.id}: ${node.target}: ${node.failureSummary}`));
}"""


STICKS_OUT = """() => {
    const page = document.documentElement, tall = page.scrollHeight;
    const alone = matchMedia('(max-width: 44rem), (max-width: 70rem) and (max-height: 30rem)').matches;
    const panels = document.querySelector('.app') && !alone;
    const found = [];
    if (page.scrollWidth > innerWidth) found.push('it is wider than the screen');
    const bar = document.querySelector('.top');
    if (bar?.offsetWidth && bar.offsetWidth < page.clientWidth) found.push('the bar is narrower than the screen');
    for (const one of document.querySelectorAll('.panel, .sheet:not(.guide) > *')) {
        if (one.scrollWidth > one.clientWidth) found.push(`${one.className} is narrower than what it holds`);
    }
    if (panels && tall > innerHeight) found.push('it is taller than the screen');
    const unseen = [...document.querySelectorAll('.hidden')];
    for (const one of unseen) one.hidden = true;
    if (page.scrollHeight < tall) found.push('what nobody sees makes it longer');
    for (const one of unseen) one.hidden = false;
    return found;
}"""
"""On a small screen there is one panel at a time, and it may be longer than the screen."""


async def town(world: World) -> dict[str, str]:
    """Threads of every kind; their ids, and that of a turn."""
    tenant, campaign = world.tenant, world.campaign["campaignId"]
    await tenant.call("PATCH", f"/phone-numbers/{world.number['phoneNumberId']}",
                      {"label": "Main line"})  # fmt: skip
    for first, last, phone, text in (
        ("Amara", "Okafor", "+14155552671", "Hi Amara, thanks for calling. Shall we go on here?"),
        ("Luis", "Ortega", "+13055551987", "Hola Luis, ¿cuándo le podemos llamar?"),
        ("Wren", "Featherstonehaugh-Cholmondeley", "+16175550134", "Your quote is ready."),
        ("Bo", "Li", "+12125550001", "Hi Bo, is now a good time?"),
    ):
        lead = await tenant.lead(firstName=first, lastName=last, phone=phone, campaignId=campaign)
        await world.send(text, leadId=lead["leadId"])
    stopped = await tenant.lead(firstName="Stan", lastName=LONG_WORD, campaignId=campaign, isTest=True)
    away = await world.send("Hi Stan!", leadId=stopped["leadId"])
    assert await world.carrier.text(stopped["phone"], world.ours, "STOP") == 200
    held = await hold_a_reply(world)
    talk, turn = await _talk(world)
    trial = await _try_agent(world, turn)
    experiment = await world.tenant.call(
        "POST",
        "/experiments",
        {"smsAgentId": world.smsagent["smsAgentId"], "name": "Asks first", "webhookUrl": "https://b.example.com/sms"},
    )
    lonely = await tenant.lead(firstName="Nora", lastName="New", campaignId=campaign)
    return {
        "stopped": away["interactionId"],
        "held": held,
        "talk": talk,
        "turn": turn,
        "trial": trial,
        "experiment": experiment["experimentId"],
        "lonely": lonely["leadId"],
        "campaign": campaign,
    }


async def _talk(world: World) -> tuple[str, str]:
    """A conversation with everything in it."""
    sent = await world.send("Hi Jane, you asked about solar panels. Is now a good time?",
                            agentMode=True)  # fmt: skip
    thread = sent["interactionId"]
    world.agent.answers = [(200, {"reply": "Yes, the roof has to be yours. Do you own your home?"})]
    for text in ("Hi!", "yes, I have a question", "do I need to own my home?"):
        await world.text(text)
    turn = await world.turn_is(thread, "replied")
    await world.send("A colleague will write to you, too.")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    await world.send("Reminder: we call you at five.", sendAt=tomorrow)
    world.agent.answers = [(200, {"handoff": True, "reason": "the lead asked for a person"})]
    await world.text("Can a person call me? My bill is about $240 a month, sometimes more in the "
                     "summer, and I would like to understand what changes.")  # fmt: skip
    await world.turn_is(thread, "handed_off")
    turn_id: str = turn["turnId"]
    return thread, turn_id


async def _try_agent(world: World, turn_id: str) -> str:
    """A trial that is done, of one turn whose answer got worse, and one that was made up."""
    corpus = await world.tenant.call("POST", "/corpora", {"name": "Hard cases"})
    made = {"name": "Asks the price", "says": ["What does it cost?"], "recorded": {"texts": ["It depends."]}}
    await world.tenant.call("POST", f"/corpora/{corpus['corpusId']}/turns", {"turnIds": [turn_id], "made": [made]})
    world.agent.answers = [(200, {"reply": "Yes, the roof has to be yours. It is $99. Do you rent?"})] * 2
    body = {
        "corpusId": corpus["corpusId"],
        "smsAgentId": world.smsagent["smsAgentId"],
        "perMinute": 600,
        "checks": {"mustNotContain": ["$"], "maxSegments": 2, "asksOneQuestion": True, "outcomeIs": "recorded"},
    }
    trial_id: str = (await world.tenant.call("POST", "/trials", body))["trialId"]

    async def is_done() -> bool:
        return bool((await world.tenant.call("GET", f"/trials/{trial_id}"))["state"] == "done")

    await until(is_done)
    return trial_id
