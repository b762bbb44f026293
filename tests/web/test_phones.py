"""Every door that takes a phone takes one number, and no stranger's."""

from pathlib import Path

import pytest

from app.domain.phones import is_name
from app.settings import Settings
from tests.makers import Data, Tenant
from tests.test_cli import ran
from tests.web.people import Browser

SPOILT = ["8.91234567E8", "8.91234567E+08", "1e10", "2125550135abc", "24.12.2026", "2026-12-24",
          "030 123456 / 123457", "1701234567.0", "Call 2125550135", "1-800-FLOWERS"]  # fmt: skip
WHY = "is not a valid phone number"
NOT_OURS = "is not an active, SMS-capable number of yours"


@pytest.fixture(autouse=True)
async def at_home_in_germany(tenant: Tenant) -> None:
    await tenant.call("PATCH", "/settings", {"defaultCountry": "DE"})


@pytest.mark.parametrize("spoilt", SPOILT)
async def test_the_api_refuses_what_is_not_plainly_one_number(tenant: Tenant, spoilt: str) -> None:
    lead = await tenant.lead()
    text = {"leadId": lead["leadId"], "message": "Hi"}
    tries: list[tuple[str, str, Data, str]] = [
        ("POST", "/leads", {"phone": spoilt}, "phone"),
        ("PATCH", f"/leads/{lead['leadId']}", {"phone": spoilt}, "phone"),
        ("POST", "/phone-numbers", {"phoneNumber": spoilt}, "phoneNumber"),
        ("POST", "/sms/send", text | {"to": spoilt}, "to"),
        ("POST", "/sms/send", text | {"from": spoilt}, "from"),
        ("POST", "/sms/send", text | {"to": spoilt, "dryRun": True}, "to"),
        ("POST", "/suppressions", {"phones": ["0171 1234567", spoilt]}, "phones[1]"),
    ]
    for method, path, body, field in tries:
        answer = await tenant.ask(method, path, body)
        assert answer.status_code == 400, (path, answer.text)
        why = NOT_OURS if field == "from" and is_name(spoilt) else WHY
        assert answer.json()["error"]["details"] == [f"{field}: {why}"], path
    bulk = {"messages": [text | {"to": spoilt}]}
    [told] = (await tenant.call("POST", "/sms/send/bulk", bulk))["results"]
    assert told["error"]["details"] == [f"messages[0].to: {WHY}"]


async def test_files_are_told_the_lines_of_what_is_not_plainly_one_number(
    tenant: Tenant, configuration: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "phones.csv"
    file.write_text("\n".join(["phone", *SPOILT, "0171 1234567 ext. 5"]))
    for kind in ("leads", "suppressions"):
        status, out, err = await ran(configuration, kind, "import", str(file), "--tenant", tenant.tenant_id)
        assert status == 1
        assert '"taken": "1"' in out
        assert f'"refused": "{len(SPOILT)}"' in out
        assert all(f"line {line}: " in err for line in range(2, len(SPOILT) + 2))
    [lead] = (await tenant.call("GET", "/leads"))["leads"]
    assert lead["phone"] == "+491711234567"


async def test_the_page_refuses_what_is_not_plainly_one_number(sam: Browser) -> None:
    page = await sam.page("/settings/numbers/new")
    answer = await sam.submit(page, "/settings/numbers/new", phoneNumber="8.91234567E8")
    assert answer.status_code == 400
    assert "Is not a valid phone number" in answer.text
