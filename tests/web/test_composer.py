"""The text box without script: a later time by the lead's clock, scheduled texts changed, notes, canned replies."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from html import unescape
from types import MappingProxyType
from zoneinfo import ZoneInfo

import pytest

from app.domain.problems import Invalid
from app.web.page import later, times
from tests.makers import Data, Tenant
from tests.web.people import Browser, form
from tests.web.test_page import a_thread, ours

__all__ = ["ours"]
NEW_YORK, BERLIN = times.TwelveHourZone("America/New_York"), ZoneInfo("Europe/Berlin")
SUNDAY = datetime(2026, 11, 29, 14, 3, tzinfo=UTC)
"""9:03 in New York, 8:03 in Chicago, 6:03 in Los Angeles."""


def read(
    phone: str, zone: ZoneInfo = NEW_YORK, now: datetime = SUNDAY, lead: Mapping[str, str] = MappingProxyType({})
) -> later.LeadClock:
    return later.read_clock(phone, lead.get("state"), None, lead.get("timezone"), zone, now)


def test_times_are_offered_by_the_leads_clock_and_told_by_the_persons() -> None:
    clock = read("+13125550100")  # Chicago
    assert (clock.zone_name, clock.now) == ("America/Chicago", "8:03 AM CST")
    assert [(preset.lead_words, preset.own_words) for preset in clock.presets] == [
        ("Today, 9:05 AM", "10:05 AM"),
        ("Today, 2:00 PM", "3:00 PM"),
        ("Today, 6:00 PM", "7:00 PM"),
        ("Tomorrow, 9:00 AM", "10:00 AM"),
        ("Tomorrow, 2:00 PM", "3:00 PM"),
    ]  # tomorrow is Monday
    assert clock.presets[0].value == "2026-11-29T15:05:00+00:00"
    assert {preset.own_words for preset in read("+12125550100").presets} == {""}


def test_the_record_tells_the_end_of_a_snooze_by_the_persons_clock_and_changes_no_words_of_others() -> None:
    shown = times.show_local_times("Sam snoozed this until 2030-12-01 09:00 UTC.", NEW_YORK)
    assert shown == "Sam snoozed this until Sunday, 1 December 2030, 4:00 AM."
    reason = "The agent handed over: call back 2030-12-01 09:00 UTC."
    not_times = [
        f"I snoozed this until {end} UTC." for end in ("2026-02-30 10:00", "2026-12-01 24:00", "0001-01-01 00:00")
    ]
    for text in (reason, *not_times):
        assert times.show_local_times(text, NEW_YORK) == text


@pytest.mark.parametrize(
    ("lead", "zone_name"),
    [
        ({"timezone": "America/Los_Angeles"}, "America/Los_Angeles"),
        ({"state": "CA"}, "America/Los_Angeles"),
        ({"timezone": "Nowhere/Never"}, ""),
        ({"state": "FL"}, "America/Chicago"),  # the last in which it is nine
        ({}, "America/New_York"),
    ],
)
def test_the_leads_own_place_decides_whose_clock_it_is(lead: dict[str, str], zone_name: str) -> None:
    assert read("+12125550100", lead=lead).zone_name == zone_name


def test_the_day_and_the_clock_are_those_of_each_place_in_the_evening_too() -> None:
    evening = SUNDAY.replace(hour=23, minute=30)  # half past midnight in Berlin, 15:30 in Los Angeles
    clock = read("+13105550100", BERLIN, evening)
    assert [(preset.lead_words, preset.own_words) for preset in clock.presets][:2] == [
        ("Today, 16:30", "Today, 01:30"),
        ("Today, 18:00", "Today, 03:00"),
    ]
    assert read("12345", BERLIN, evening).zone_name == ""  # a short code


def test_a_time_of_an_earlier_page_is_offered_while_it_is_ahead() -> None:
    def offered(chosen: str) -> list[str]:
        clock = later.read_clock("+13125550100", None, None, None, NEW_YORK, SUNDAY, chosen)
        return [preset.value for preset in clock.presets]

    usual = offered("")
    assert offered("2026-11-29T14:50:00+00:00") == ["2026-11-29T14:50:00+00:00", *usual]
    assert offered("2026-12-24T10:00:00-06:00") == [*usual, "2026-12-24T16:00:00+00:00"]
    for gone in (usual[1], "2026-11-29T14:03:00+00:00", "2026-11-29T14:50:00", "soon", "9" * 40):
        assert offered(gone) == usual, gone


@pytest.mark.parametrize("place", ["thread", "new"])
async def test_a_refused_or_checked_text_keeps_its_time(sam: Browser, tenant: Tenant, ours: Data, place: str) -> None:
    lead, sent = await a_thread(tenant)
    page = await sam.page(
        f"/conversations/{sent['interactionId']}" if place == "thread" else f"/conversations/new?lead={lead['leadId']}"
    )
    soon = (datetime.now(UTC) + timedelta(minutes=30)).replace(microsecond=0).isoformat()  # of an hour ago
    answers = [await sam.submit(page, "/texts", message="{{x}}", when=soon)]
    if place == "new":
        answers.append(await sam.submit(page, "/texts", message="Hi", when=soon, action="check"))
    for answer in answers:
        assert re.findall(r'name="when" value="([^"]*)" checked', unescape(answer.text)) == [soon]
    past = await sam.submit(page, "/texts", message="{{x}}", when="2026-01-01T00:00:00+00:00")
    assert re.findall(r'name="when" value="([^"]*)" checked', past.text) == [""]


@pytest.mark.parametrize("when", ["soon", "2026-11-29T15:05:00", "9" * 40])
def test_what_is_no_time_is_refused_by_its_name(when: str) -> None:
    for wrong in (
        (when, "", ""),
        ("", "25 o'clock", ""),
        ("", "2026-11-29T15:05", "Nowhere/Never"),
        ("", "2026-11-29T15:05", "../x"),
    ):
        with pytest.raises(Invalid):
            later.parse_moment(*wrong, NEW_YORK)
    assert later.parse_moment("", "", "", NEW_YORK) is None
    assert later.parse_moment("", "2026-11-29T09:00", "America/Chicago", NEW_YORK) == SUNDAY.replace(hour=15, minute=0)


async def test_a_text_is_scheduled_by_a_preset_then_changed_and_sent_now(
    sam: Browser, tenant: Tenant, ours: Data
) -> None:
    lead, sent = await a_thread(tenant, timezone="America/Los_Angeles")
    here = f"/conversations/{sent['interactionId']}"
    page = await sam.page(here)
    preset = re.findall(r'name="when" value="(\d[^"]*)"', page)[-1]
    await sam.submit(page, "/texts", message="Later", when=unescape(preset))

    async def scheduled() -> list[Data]:
        thread = await tenant.call("GET", f"/interactions/{sent['interactionId']}")
        found: list[Data] = thread["scheduled"]
        return found

    [first] = await scheduled()
    assert datetime.fromisoformat(first["sendAt"]) == datetime.fromisoformat(unescape(preset))
    page = await sam.page(here)
    in_three_days = (datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%dT10:00")
    changed = {"text": first["messageId"], "message": "Much\r\nlater", "at": in_three_days}
    for wrong, why in (
        ({"message": " "}, "message"),
        ({"at": "x"}, "is not a time"),
        ({"at": ""}, "is missing"),
        ({"message": "{{x}}"}, "{{x}}"),
    ):
        refused = await sam.submit(page, "/scheduled", **changed | wrong)
        assert refused.status_code == 400, wrong
        shown = refused.text.partition('<details class="change"')[2].partition("</details>")[0]
        typed = changed | wrong
        assert (f">{typed['message']}</textarea>" in shown, f'value="{typed["at"]}"' in shown) == (True, True), shown
        assert why in unescape(refused.text) or "text" in refused.text
        assert [text["message"] for text in await scheduled()] == ["Later"]
    assert (await sam.submit(page, "/scheduled", **changed)).status_code == 303
    [second] = await scheduled()
    assert (second["message"], second["messageId"] != first["messageId"]) == ("Much\nlater", True)
    gone = await sam.submit(page, "/scheduled", **changed)  # pressed twice, or changed by a colleague
    assert gone.status_code == 409
    assert len(await scheduled()) == 1
    _, other = await a_thread(tenant)
    elsewhere = await sam.page(f"/conversations/{other['interactionId']}")
    action = f"/conversations/{other['interactionId']}/scheduled"
    csrf = re.findall(r'name="csrf" value="([^"]*)"', elsewhere)[0]
    assert (await sam.post(action, csrf=csrf, **changed | {"text": second["messageId"]})).status_code == 404
    await sam.submit(await sam.page(here), "/scheduled", text=second["messageId"], message="Now", now="1")
    assert await scheduled() == []
    thread = await tenant.call("GET", f"/interactions/{sent['interactionId']}")
    assert thread["transcript"][-1]["message"] == "Now"
    assert lead["phone"]


async def test_what_a_program_scheduled_is_cancelled_here_and_not_changed(
    sam: Browser, tenant: Tenant, ours: Data
) -> None:
    lead, sent = await a_thread(tenant)
    here = f"/conversations/{sent['interactionId']}"
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    ordered = {"leadId": lead["leadId"], "message": "Still there?", "sendAt": tomorrow, "cancelOnReply": True}
    waiting = await tenant.call("POST", "/sms/send", ordered)
    page = await sam.page(here)
    assert ">Cancel</button>" in page
    assert "Words of the scheduled text" not in page
    csrf = re.findall(r'name="csrf" value="([^"]*)"', page)[0]
    refused = await sam.post(f"{here}/scheduled", csrf=csrf, text=waiting["messageId"], message="Now", now="1")
    assert refused.status_code == 409
    assert "Only a text that a person wrote can be changed." in refused.text
    thread = await tenant.call("GET", f"/interactions/{sent['interactionId']}")
    assert [text["messageId"] for text in thread["scheduled"]] == [waiting["messageId"]]


async def test_a_note_is_written_in_the_box_once_and_is_never_sent(sam: Browser, tenant: Tenant, ours: Data) -> None:
    _, sent = await a_thread(tenant)
    here = f"/conversations/{sent['interactionId']}"
    page = await sam.page(here)
    for _ in range(2):  # a double click
        answer = await sam.submit(
            page, "/texts", kind="note", message="Mind the {{dog}}", forAgent="1", at="2030-01-01T09:00"
        )
        assert answer.status_code == 303
    notes = (await tenant.call("GET", f"/interactions/{sent['interactionId']}/notes"))["notes"]
    assert [(note["text"], note["forAgent"]) for note in notes] == [("Mind the {{dog}}", True)]
    thread = await tenant.call("GET", f"/interactions/{sent['interactionId']}")
    assert thread["scheduled"] == []
    for also in ({"mediaUrls": "https://example.com/a.png"}, {"files": "a.png"}):
        action, hidden = form(await sam.page(here), "/texts")
        fields = hidden | {"kind": "note", "message": "With a file"}
        refused = await sam.http.post(
            action,
            data=fields | {name: value for name, value in also.items() if name != "files"},
            files=[("files", (also["files"], b"\x89PNG\r\n\x1a\n", "image/png"))] if "files" in also else None,
            headers={"Origin": sam.origin},
        )
        assert refused.status_code == 400, also
        assert "Note: takes no files" in unescape(refused.text)
        assert ">With a file</textarea>" in refused.text
    assert len((await tenant.call("GET", f"/interactions/{sent['interactionId']}/notes"))["notes"]) == 1
    refused = await sam.submit(await sam.page(here), "/texts", kind="note", message="x" * 5001)
    assert 'value="note" checked' in refused.text  # what is written stays a note
    assert "x" * 5001 in refused.text


async def test_a_first_text_has_canned_replies_filled_for_its_lead_and_its_own_clock(
    sam: Browser, tenant: Tenant, ours: Data
) -> None:
    lead = await tenant.lead(firstName="Ann", timezone="America/Denver")
    made = await tenant.call("POST", "/canned-replies", {"title": "Hello", "text": "Hi {{firstName}}, {{ourNumber}}"})
    page = await sam.page(f"/conversations/new?lead={lead['leadId']}")
    assert 'data-text="Hi Ann, {{ourNumber}}"' in page
    assert "By <bdi>Ann</bdi>’s clock" in page
    page = await sam.page(f"/conversations/new?lead={lead['leadId']}&canned={made['cannedReplyId']}")
    assert ">Hi Ann, {{ourNumber}}</textarea>" in page
