"""What needs a person stands first in the list."""

import re
from html import unescape

from app.resources import Resources
from tests.makers import Tenant
from tests.web.people import Browser
from tests.web.test_page import a_thread, names, ours

__all__ = ["ours"]


def needing(page: str) -> list[str]:
    """The names under "Needs a person"."""
    if "Needs a person" not in page:
        return []
    part = page.split("Needs a person")[1].split("</ul>")[0]
    return [unescape(name) for name in re.findall(r'class="name">([^<]*)<', part)]


async def fail(resources: Resources, message_id: str, age: str = "0 s") -> None:
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "UPDATE messages SET status = 'failed', error_code = 'unreachable',"
            " error_message = 'The handset could not be reached.',"
            " created_at = created_at - $2::text::interval WHERE message_id = $1",
            message_id,
            age,
        )


async def test_a_follow_up_and_a_failed_text_stand_before_what_is_newer(
    sam: Browser, tenant: Tenant, ours: object, resources: Resources
) -> None:
    _, failed = await a_thread(tenant, firstName="Fay", lastName="Failed")
    _, later = await a_thread(tenant, firstName="Flo", lastName="Follow")
    await a_thread(tenant, firstName="New", lastName="One")
    assert needing(await sam.page("/conversations")) == []
    await fail(resources, failed["messageId"])
    await tenant.call("PATCH", f"/interactions/{later['interactionId']}", {"status": "follow_up"})
    page = await sam.page("/conversations")
    assert needing(page) == ["Flo Follow", "Fay Failed"]
    assert names(page) == ["Flo Follow", "Fay Failed", "New One"]
    assert "Not delivered" in page


async def test_a_failed_text_needs_nobody_after_another_one_a_week_or_the_end(
    sam: Browser, tenant: Tenant, ours: object, resources: Resources
) -> None:
    lead, again = await a_thread(tenant, firstName="Again", lastName="X")
    _, old = await a_thread(tenant, firstName="Old", lastName="X")
    _, done = await a_thread(tenant, firstName="Done", lastName="X")
    for sent, age in ((again, "0 s"), (old, "8 days"), (done, "0 s")):
        await fail(resources, sent["messageId"], age)
    await tenant.call("PATCH", f"/interactions/{done['interactionId']}", {"status": "completed"})
    assert needing(await sam.page("/conversations")) == ["Again X"]
    await tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Once more"})
    assert needing(await sam.page("/conversations")) == []


async def test_pages_go_through_both_parts_without_gap_or_repeat(sam: Browser, tenant: Tenant, ours: object) -> None:
    for n in range(7):
        _, sent = await a_thread(tenant, firstName="Lead", lastName=str(n))
        if n in (0, 3, 6):
            path = f"/interactions/{sent['interactionId']}"
            await tenant.call("PATCH", path, {"status": "follow_up"})
    seen: list[str] = []
    address = "/conversations?limit=2"
    while address:
        page = await sam.page(address)
        seen += names(page)
        more = re.findall(r'href="([^"]*)">More', page)
        address = unescape(more[0]) if more else ""
    assert seen == [f"Lead {n}" for n in (6, 3, 0, 5, 4, 2, 1)]


async def test_the_open_thread_stays_open_while_the_list_is_paged_and_filtered(
    sam: Browser, tenant: Tenant, ours: object
) -> None:
    for name in ("Ann", "Bob", "Cid"):
        _, sent = await a_thread(tenant, firstName=name, lastName="X")
    here = f"/conversations/{sent['interactionId']}"
    page = await sam.page(f"{here}?limit=1")
    [more] = re.findall(r'href="([^"]*)">More', page)
    assert more.startswith(here)
    page = await sam.page(unescape(more))
    assert names(page) == ["Bob X"]
    assert "<h1>Cid X</h1>" in page
    assert re.search(rf'data-here="{here}[^"]*cursor=', page)
    assert f'class="filters" action="{here}"' in page
