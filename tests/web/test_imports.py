"""Imports on the page: upload, columns, check, import, report."""

import csv
import io
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from html import unescape

import httpx
import pytest

from app.domain import ids
from app.jobs.imports import ROWS_PER_BATCH, Importer
from app.resources import Resources
from app.store import imports, sweeping
from app.web.directory.leads import parse_row
from tests.makers import Data, Tenant
from tests.web.people import Browser, form
from tests.world import until

PAGE = "/settings/imports"
COUNTS = ("Rows read", "Added", "Changed", "Unchanged", "Refused", "Blank")
CRM = "Record ID,First Name,Last Name,Phone Number,Mobile Phone,Email,Owner\n"

COPY_SQL = """
INSERT INTO imports (tenant_id, import_id, kind, file_name, size, columns, actor)
SELECT $1, $2, kind, file_name, size, columns, actor FROM imports
"""


async def post_file(sam: Browser, content: bytes | str, kind: str = "leads", name: str = "crm.csv") -> httpx.Response:
    _, hidden = form(await sam.page(PAGE), PAGE)
    return await sam.http.post(
        PAGE, data=hidden | {"kind": kind}, files={"file": (name, content)}, headers={"Origin": sam.origin}
    )


async def upload(sam: Browser, content: bytes | str, kind: str = "leads") -> str:
    """The address of the file's page."""
    answer = await post_file(sam, content, kind)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def work(resources: Resources, batches: int | None = None) -> bool:
    """A worker that runs what is due; with `batches` it is stopped after as many."""
    count = 0

    def must_stop() -> bool:
        nonlocal count
        count += 1
        return count == batches

    return await Importer(resources.database, parse_row).run_next(must_stop)


def chosen(page: str) -> dict[str, str]:
    """By column, the field that is chosen."""
    found = re.findall(r'<label for="column-\d+">([^<]*)</label>\s*<select[^>]*>(.*?)</select>', page, re.S)
    fields = {name: re.search(r'value="([\w.]*)" selected', options) for name, options in found}
    return {unescape(name): field[1] if field else "" for name, field in fields.items()}


def rows_of(page: str, css_class: str) -> list[list[str]]:
    table = page.split(f'<table class="{css_class}">')[1].split("</table>")[0].split("<tbody>")[1]
    return [[unescape(cell) for cell in re.findall(r"<td[^>]*>([^<]*)</td>", row)] for row in table.split("</tr>")[:-1]]


def counts_of(page: str) -> dict[str, str]:
    facts = page.split('aria-label="Report"')[1].split("</dl>")[0]
    return dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", facts))


async def report(sam: Browser, here: str) -> Data:
    answer: Data = json.loads(await sam.page(f"{here}/report?format=json"))
    return answer


async def leads_of(tenant: Tenant) -> list[Data]:
    leads: list[Data] = (await tenant.call("GET", "/leads"))["leads"]
    return sorted(leads, key=lambda lead: str(lead["phone"]))


async def test_a_file_of_another_system_is_understood_checked_and_imported(
    sam: Browser, tenant: Tenant, resources: Resources
) -> None:
    campaign = await tenant.campaign(name="Spring")
    known = await tenant.lead(leadId="r1", firstName="Old", lastName="Lee", phone="+12125550134")
    here = await upload(
        sam, CRM + "r1,Ann,,,(212) 555-0134,,Max\nr2,Bob,Ray,2125550199,2125550135,notanemail,\n,,,,,,\n"
        "r3,Cid,Day,,2125550136,cid@example.com,Max\n"
    )  # fmt: skip
    page = await sam.page(here)
    assert chosen(page) == {
        "Record ID": "leadId", "First Name": "firstName", "Last Name": "lastName", "Phone Number": "",
        "Mobile Phone": "phone", "Email": "email", "Owner": "",
    }  # fmt: skip
    assert rows_of(page, "preview")[0] == ["2", "r1", "Ann", "", "+12125550134", ""]
    assert "<span>Refused: E-mail is not an e-mail address</span>" in page
    answer = await sam.submit(page, here, action="check", campaign=campaign["campaignId"])
    assert answer.headers["location"] == here
    page = await sam.page(here)
    assert "Being checked" in page
    assert 'http-equiv="refresh"' in page
    assert await work(resources)
    assert not await work(resources)
    page = await sam.page(here)
    assert "What an import would do" in page
    assert [lead["leadId"] for lead in await leads_of(tenant)] == [known["leadId"]]
    said = counts_of(page)
    assert [said[name] for name in COUNTS] == ["4", "1", "1", "0", "1", "1"]
    assert rows_of(page, "refusals") == [["3", "E-mail", "is not an e-mail address"]]
    await sam.submit(page, here, action="import", campaign=campaign["campaignId"])
    assert await work(resources)
    page = await sam.page(here)
    assert [counts_of(page)[name] for name in COUNTS] == [said[name] for name in COUNTS]
    ann, cid = await leads_of(tenant)
    assert (ann["firstName"], ann["lastName"], ann["campaignId"]) == ("Ann", "Lee", campaign["campaignId"])
    assert (cid["leadId"], cid["phone"], cid["email"]) == ("r3", "+12125550136", "cid@example.com")
    assert await report(sam, here) == {
        "rows": 4, "taken": 2, "added": 1, "changed": 1, "unchanged": 0, "refused": 1, "blank": 1, "complete": True,
        "upToLine": 5, "state": "done",
        "refusedRows": [{"line": 3, "field": "email", "reason": "is not an e-mail address"}],
    }  # fmt: skip
    table = list(csv.reader(io.StringIO(await sam.page(f"{here}/report"))))
    assert table == [["line", "field", "reason"], ["3", "email", "is not an e-mail address"]]


async def test_opt_outs_are_imported_with_their_reason(sam: Browser, tenant: Tenant, resources: Resources) -> None:
    here = await upload(sam, "Telefon;Name\n+52 1 55 1234 5678;Ann\n12;Bob\n", "suppressions")
    page = await sam.page(here)
    assert chosen(page) == {"Telefon": "phone", "Name": ""}
    await sam.submit(page, here, action="import", reason="Left the old system")
    await work(resources)
    consent = await tenant.call("GET", "/consent/+525512345678")
    assert (consent["suppressed"], consent["events"][0]["text"]) == (True, "Left the old system")
    assert (await report(sam, here))["refusedRows"] == [
        {"line": 3, "field": "phone", "reason": "is not a valid phone number"}
    ]


async def test_columns_are_chosen_by_hand_and_the_rows_shown_again(sam: Browser) -> None:
    here = await upload(sam, "A,B\n2125550134,Ann\n")
    page = await sam.page(here)
    assert chosen(page) == {"A": "", "B": ""}
    assert "Choose the column with the phones." in page
    answer = await sam.submit(page, here, action="check")
    assert answer.status_code == 400
    assert "Choose the one column with the phones." in answer.text
    answer = await sam.submit(page, here, **{"column.0": "phone", "column.1": "firstName"})
    page = await sam.page(answer.headers["location"])
    assert rows_of(page, "preview") == [["2", "+12125550134", "Ann"]]
    answer = await sam.submit(page, here, **{"action": "check", "column.0": "phone", "column.1": "phone"})
    assert answer.status_code == 400
    answer = await sam.submit(page, here, **{"column.0": "questionnaire"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "Choose a file that is not empty."),
        ("phone\n", "it has no rows below the header"),
        ("PK\x03\x04 leads.xlsx", "it is a workbook of a spreadsheet; save it as CSV UTF-8"),
        ('" "," "\n2125550134,\n', "its first line must name the columns"),
        ("\n2125550134\n", "it has no rows below the header"),
        (",".join("x" * 300) + "\n1\n", "it has more than 200 columns"),
    ],
)
async def test_a_file_that_cannot_be_read_is_refused_at_once(sam: Browser, content: str, said: str) -> None:
    answer = await post_file(sam, content)
    assert answer.status_code == 400
    assert said in unescape(answer.text)
    assert "No file was uploaded yet." in answer.text


async def test_a_file_over_the_limit_is_refused_before_it_is_read(sam: Browser) -> None:
    answer = await post_file(sam, b"phone\n" + b"2125550134\n" * (33 << 20 >> 3))
    assert answer.status_code == 413


async def test_a_body_that_does_not_say_its_length_is_counted_and_a_strangers_is_not_read(sam: Browser) -> None:
    sent = 0

    async def write_body() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nphone\r\n'
        for _ in range(33):
            sent += 1
            yield b"2125550134\n" * ((1 << 20) // 11)

    headers = {"Origin": sam.origin, "Content-Type": "multipart/form-data; boundary=x"}
    answer = await sam.http.post(PAGE, content=write_body(), headers=headers)
    assert answer.status_code == 413
    assert sent == 33
    sam.http.cookies.clear()
    answer = await sam.http.post(PAGE, content=write_body(), headers=headers)
    assert answer.headers["location"].startswith("/sign-in")


async def test_the_file_of_another_organization_is_not_there(
    sam: Browser, tenant: Tenant, resources: Resources, other_tenant: Tenant
) -> None:
    await upload(sam, "phone\n2125550134\n")
    foreign_id = ids.make("import")
    async with resources.database.system_tx() as tx:
        await tx.execute(COPY_SQL, other_tenant.tenant_id, foreign_id)
    page = await sam.page("/account")
    for path in ("", "/report", "/report?format=json"):
        assert (await sam.get(f"{PAGE}/{foreign_id}{path}")).status_code == 404
    csrf = form(page, "/sign-out")[1]["csrf"]
    for path in ("", "/stop", "/remove"):
        assert (await sam.post(f"{PAGE}/{foreign_id}{path}", csrf=csrf)).status_code == 404


@pytest.mark.parametrize(
    ("begin", "delimiter", "shown"),
    [
        ("sep=;\r\n", ";", "semicolons"),
        ("\ufeff\r\nsep=\\t\r\n", "\t", "tabs"),
        ("sep=|\r\n", "|", "“|”"),
        (",,,\n\n", ",", "commas"),
    ],
)
async def test_what_programs_write_before_the_header_is_understood(
    sam: Browser, tenant: Tenant, resources: Resources, begin: str, delimiter: str, shown: str
) -> None:
    rows = (("Vorname", "Größe", "Handy"), ("Zoë", "1,80", "2125550134"), ("Bob", "", "12"))
    here = await upload(sam, begin + "".join(delimiter.join(f'"{cell}"' for cell in row) + "\r\n" for row in rows))
    page = await sam.page(here)
    assert chosen(page) == {"Vorname": "firstName", "Größe": "", "Handy": "phone"}
    assert f"UTF-8, with {shown}." in page
    assert rows_of(page, "preview")[0] == [str(begin.count("\n") + 2), "Zoë", "+12125550134"]
    await sam.submit(page, here, action="import")
    assert await work(resources)
    told = await report(sam, here)
    assert (told["rows"], told["added"], told["refused"]) == (2, 1, 1)
    assert told["refusedRows"][0]["line"] == begin.count("\n") + 3
    assert [lead["firstName"] for lead in await leads_of(tenant)] == ["Zoë"]


@pytest.mark.parametrize("content", ["Vorname;Größe;Handy\nAnn;1;2125550134\n", "Prénom;Téléphone\nAnn;2125550134\n"])
async def test_letters_of_windows_may_stand_in_the_header_alone(sam: Browser, content: str) -> None:
    page = await sam.page(await upload(sam, content.encode("cp1252")))
    assert {"firstName", "phone"} <= set(chosen(page).values())
    assert "Windows-1252, with semicolons." in page


async def test_a_worker_that_is_stopped_leaves_the_rest_to_another(
    sam: Browser, tenant: Tenant, resources: Resources
) -> None:
    rows = 2 * ROWS_PER_BATCH + 50
    here = await upload(sam, "phone\n" + "".join(f"+1212555{n:04}\n" for n in range(rows)) + "12\n")
    await sam.submit(await sam.page(here), here, action="import")
    assert await work(resources, batches=1)
    page = await sam.page(here)
    assert counts_of(page)["Added"] == str(ROWS_PER_BATCH)
    assert "Being imported" in page
    assert await work(resources)
    told = await report(sam, here)
    assert (told["rows"], told["added"], told["unchanged"], told["refused"]) == (rows + 1, rows, 0, 1)
    assert told["refusedRows"][0]["line"] == rows + 2


async def test_a_worker_that_died_is_followed_by_another_when_its_lease_ends(
    sam: Browser, resources: Resources
) -> None:
    here = await upload(sam, "phone\n2125550134\n")
    await sam.submit(await sam.page(here), here, action="import")
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE imports SET lease = 'dead', leased_until = clock_timestamp() + interval '9 s'")
    assert not await work(resources)
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE imports SET leased_until = clock_timestamp()")
    assert await work(resources)
    assert (await report(sam, here))["state"] == "done"


async def test_a_worker_that_lost_its_lease_ends_nothing(sam: Browser, resources: Resources) -> None:
    here = await upload(sam, "phone\n2125550134\n")
    await sam.submit(await sam.page(here), here, action="import")
    async with resources.database.system_tx() as tx:
        claimed = await imports.claim_next(tx, "mine", timedelta(seconds=60))
        assert claimed
        await imports.settle(tx, claimed, "another's", "failed", "It was too slow.")
        await imports.release(tx, claimed, "mine")
    assert await work(resources)
    told = await report(sam, here)
    assert (told["state"], told["added"]) == ("done", 1)


async def test_a_running_import_is_stopped_and_says_up_to_which_line(
    sam: Browser, tenant: Tenant, resources: Resources
) -> None:
    here = await upload(sam, "phone\n" + "".join(f"+1212555{n:04}\n" for n in range(3 * ROWS_PER_BATCH)))
    await sam.submit(await sam.page(here), here, action="import")
    await work(resources, batches=1)
    page = await sam.page(here)
    assert (await sam.submit(page, "/stop")).status_code == 303
    assert not await work(resources)
    page = await sam.page(here)
    assert f"the rows up to line {ROWS_PER_BATCH + 1} were imported or refused" in page
    assert "the file and its report are deleted" in page
    assert (await sam.submit(page, "/remove")).headers["location"].endswith("imports?done=removed")
    assert len(await leads_of(tenant)) > 0


async def test_a_stopped_check_can_be_begun_again(sam: Browser, resources: Resources) -> None:
    here = await upload(sam, "phone\n2125550134\n")
    await sam.submit(await sam.page(here), here, action="check")
    await sam.submit(await sam.page(here), "/stop")
    page = await sam.page(here)
    await sam.submit(page, here, action="check")
    assert (await sam.submit(page, here, action="import")).status_code == 409
    assert await work(resources)
    assert (await report(sam, here))["state"] == "checked"


async def test_the_file_is_deleted_after_the_import_or_a_day(
    sam: Browser, tenant: Tenant, resources: Resources
) -> None:
    count = "SELECT count(*) FROM import_parts WHERE tenant_id = $1"
    done, left = [await upload(sam, "phone\n2125550134\n") for _ in range(2)]
    await sam.submit(await sam.page(done), done, action="import")
    await work(resources)
    async with resources.database.system_tx() as tx:
        assert await tx.fetch_value(count, tenant.tenant_id) == 1
        await tx.execute("UPDATE import_parts SET created_at = created_at - interval '25 h'")
    _ = [step async for step in sweeping.prune(resources.database, {})]
    page = await sam.page(left)
    assert "The file was deleted" in page


async def test_each_person_who_starts_an_import_is_remembered(sam: Browser, resources: Resources) -> None:
    here = await upload(sam, "phone\n2125550134\n")
    async with resources.database.system_tx() as tx:
        [row] = await tx.fetch_rows("SELECT i.actor, u.user_id FROM imports i, users u WHERE u.email LIKE 'sam@%'")
    assert row["actor"] == row["user_id"]
    assert here


async def test_tags_and_custom_fields_of_a_file_are_recognised_shown_and_imported(
    sam: Browser, tenant: Tenant, resources: Resources
) -> None:
    here = await upload(sam, "Phone,Tags,customFields.plan\n+12125550199,west; solar,gold\n")
    page = await sam.page(here)
    assert chosen(page) == {"Phone": "phone", "Tags": "tags", "customFields.plan": "customFields.plan"}
    assert rows_of(page, "preview")[0][-3:] == ["+12125550199", "west; solar", "gold"]
    await sam.submit(page, here, action="import")
    assert await work(resources)
    [lead] = await leads_of(tenant)
    assert (lead["tags"], lead["customFields"]) == (["west", "solar"], {"plan": "gold"})


async def test_what_waits_and_what_stands_is_counted_for_operators(
    sam: Browser, tenant: Tenant, resources: Resources
) -> None:
    async def read_figures() -> dict[str, float]:
        told = ""

        async def has_owed() -> bool:  # a database that is slow to answer leaves them out
            nonlocal told
            told = (await tenant.http.get("/metrics")).text
            return "leadsail_owed_turns" in told

        await until(has_owed)
        figures = re.findall(r"^(leadsail_owed_imports\S*) (\S+)$", told, re.M)
        return {name: float(value) for name, value in figures}

    for _ in range(2):
        here = await upload(sam, "phone\n2125550134\n")
        await sam.submit(await sam.page(here), here, action="import")
    figures = await read_figures()
    assert figures['leadsail_owed_imports{state="waiting"}'] == 2
    assert figures['leadsail_owed_imports_late_seconds{state="waiting"}'] < 60
    async with resources.database.system_tx() as tx:
        assert await imports.claim_next(tx, "slow", timedelta(seconds=60))
    figures = await read_figures()
    assert figures['leadsail_owed_imports{state="running"}'] == figures['leadsail_owed_imports{state="waiting"}'] == 1
    assert figures['leadsail_owed_imports_late_seconds{state="running"}'] == 0
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE imports SET leased_until = leased_until - interval '5 minutes'")
    figures = await read_figures()
    assert figures['leadsail_owed_imports{state="standing"}'] == 1
    assert 200 < figures['leadsail_owed_imports_late_seconds{state="standing"}'] < 300
    assert await work(resources)
    assert await work(resources)
    assert await read_figures() == {}
