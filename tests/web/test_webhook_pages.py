"""The settings' pages of webhook endpoints: add, change, pause, rewind, test, deliveries."""

import re
from html import unescape

from tests.backend import Backend, backend, refuse_some
from tests.makers import Tenant
from tests.web.people import Browser

__all__ = ["backend"]


async def test_an_endpoint_is_added_tested_rewound_paused_and_resumed(
    sam: Browser, tenant: Tenant, backend: Backend
) -> None:
    new = await sam.page("/settings/webhooks/new")
    added = await sam.submit(new, "/settings/webhooks/new", url=backend.url, description="The CRM", active="1")
    secret = re.search(r'id="secret"[^>]*>(whsec_[^<]+)<', added.text)
    assert secret, added.text
    [endpoint] = (await tenant.call("GET", "/webhook-endpoints"))["webhookEndpoints"]
    assert (endpoint["types"], endpoint["include"], endpoint["active"]) == (None, [], True)
    assert "The CRM" in await sam.page("/settings/webhooks")
    here = f"/settings/webhooks/{endpoint['endpointId']}"
    page = await sam.page(here)

    assert "The endpoint took the event" in (await sam.submit(page, "/test")).text
    backend.posts[0].require_signature(unescape(secret[1]))
    backend.decide = refuse_some(lambda _: True, 500)
    assert "The endpoint did not take the event: HTTP 500." in (await sam.submit(page, "/test")).text
    assert (await sam.page(f"{here}/deliveries")).count("endpoint.test") >= 2

    wrong = await sam.submit(page, "/rewind", to="yesterday")
    assert wrong.status_code == 400
    assert "an ISO 8601 time with an offset" in wrong.text
    assert (await sam.submit(page, "/rewind", to="2026-01-01T00:00:00Z")).headers["location"].endswith("done=rewound")
    await sam.submit(page, "/pause", reason="It moves")
    paused = await sam.page(here)
    assert ": It moves. Nothing is sent, and nothing is lost." in paused
    await sam.submit(paused, "/resume")
    assert (await tenant.call("GET", f"/webhook-endpoints/{endpoint['endpointId']}"))["state"] == "active"


async def test_an_endpoints_form_changes_it_and_says_what_is_wrong(sam: Browser, tenant: Tenant) -> None:
    made = await tenant.call("POST", "/webhook-endpoints", {"url": "https://backend.example.com"})
    here = f"/settings/webhooks/{made['endpointId']}"
    page = await sam.page(here)
    changed = await sam.submit(page, here, url=made["url"], types=["optout", "optin"], include=["text"], active="1")
    assert changed.status_code == 303
    now = await tenant.call("GET", f"/webhook-endpoints/{made['endpointId']}")
    assert (now["types"], now["include"], now["active"]) == (["optout", "optin"], ["text"], True)
    wrong = await sam.submit(page, here, url="ftp://backend.example.com")
    assert wrong.status_code == 400
    assert "Must be an http or https address" in wrong.text
