"""A file is imported in a real browser, with and without a script, on a desk and on a phone."""

import asyncio
import csv
import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import FilePayload, expect

from tests.browser.conftest import Enter, Person, take_picture
from tests.browser.test_looks import DESK, PHONE, findings
from tests.world import World

CRM = """Record ID;First Name;Last Name;Mobile Phone;E-Mail;Lead Owner
c-1;André;Müller;(212) 555-0134;andre@example.com;Max
c-2;Bea;Lee;212-555-0135;bea at example.com;Max
c-3;Cid;;2125550136;;Eva
;;;;;
c-4;Dora;Sánchez Fernández de la Vega;+52 1 55 1234 5678;dora.sanchez.fernandez@correo.example;Eva
c-5;Eli;Stone;12;;Eva
"""
LOOKS: list[tuple[bool, dict[str, Any], str]] = [
    (True, {"viewport": DESK, "color_scheme": "light"}, "desk"),
    (False, {"viewport": PHONE, "color_scheme": "dark"}, "phone"),
]


async def download(sam: Person, name: str) -> str:
    async with sam.page.expect_download() as coming:
        await sam.page.get_by_role("link", name=name).click()
    path = Path(await (await coming.value).path())
    return await asyncio.to_thread(path.read_text, encoding="utf-8")


@pytest.mark.parametrize(("script", "look", "name"), LOOKS)
async def test_a_file_is_uploaded_mapped_checked_imported_and_reported(
    world: World, enter: Enter, script: bool, look: dict[str, Any], name: str
) -> None:
    sam = await enter(java_script_enabled=script, accept_downloads=True, **look)
    page = sam.page

    async def is_good(step: str) -> None:
        await take_picture(page, f"import-{name}-{step}", full_page=True)
        if script:
            assert await findings(page, {}) == [], step

    await sam.open("/settings/imports")
    await is_good("1-upload")
    await page.get_by_label("CSV file").set_input_files(
        FilePayload(name="crm-export.csv", mimeType="text/csv", buffer=CRM.encode("cp1252"))
    )
    await page.get_by_role("button", name="Upload").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("crm-export.csv")
    await expect(page.get_by_role("combobox", name="Mobile Phone")).to_have_value("phone")
    await expect(page.get_by_role("combobox", name="Lead Owner")).to_have_value("")
    await is_good("2-columns")
    await page.get_by_role("combobox", name="Record ID").select_option("")
    await page.get_by_role("button", name="Show the rows again").click()
    await expect(page.get_by_role("cell", name="c-1")).to_have_count(0)
    await expect(page.get_by_role("cell", name="+525512345678")).to_be_visible()
    await page.get_by_role("combobox", name="Record ID").select_option("leadId")
    await page.get_by_role("button", name="Check the whole file").click()
    await expect(page.get_by_role("heading", name="What an import would do")).to_be_visible()
    await is_good("3-checked")
    leads = (await world.tenant.call("GET", "/leads?search=Müller"))["leads"]
    assert leads == []
    await page.get_by_role("button", name="Import", exact=True).click()
    await expect(page.get_by_role("heading", name="Report", exact=True)).to_be_visible()
    await is_good("4-done")
    table = list(csv.DictReader((await download(sam, "Report (CSV)")).splitlines()))
    assert [(row["line"], row["field"]) for row in table] == [("3", "email"), ("7", "phone")]
    told = json.loads(await download(sam, "Report (JSON)"))
    assert (told["rows"], told["added"], told["refused"], told["blank"]) == (6, 3, 2, 1)
    [lead] = (await world.tenant.call("GET", "/leads?search=Müller"))["leads"]
    assert (lead["leadId"], lead["firstName"], lead["phone"]) == ("c-1", "André", "+12125550134")
    await sam.open("/settings/imports")
    await expect(page.get_by_role("link", name="crm-export.csv")).to_contain_text("Imported")
    await is_good("5-list")
