"""Imports of CSV files: what is taken, what is refused, and in which words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.callers import Caller
from app.imports.csv_files import UnreadableFile
from app.operations import imports
from app.operations.imports import ImportReport
from app.resources import Resources
from app.settings import Settings
from tests.makers import Data, Tenant
from tests.test_cli import ran

Import = Callable[..., Any]
READ_LEADS = "SELECT to_jsonb(l) - 'active_at' AS lead FROM leads l WHERE tenant_id = $1 ORDER BY lead_id"


@pytest.fixture
def imported(resources: Resources, tenant: Tenant, tmp_path: Path) -> Import:
    async def run_import(content: bytes | str, kind: str = "leads", dry_run: bool = False) -> ImportReport:
        file = tmp_path / "file.csv"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        caller, report = Caller(tenant.tenant_id, "service", "service", "admin"), ImportReport(is_dry_run=dry_run)
        run = imports.import_leads if kind == "leads" else imports.import_suppressions
        await run(resources.database, caller, file, None, report)
        return report

    return run_import


async def read_leads(resources: Resources, tenant: Tenant) -> list[Data]:
    async with resources.database.system_tx() as tx:
        return [row["lead"] for row in await tx.fetch_rows(READ_LEADS, tenant.tenant_id)]


@pytest.mark.parametrize(
    "fields",
    [
        {"firstName": "x" * 600},
        {"lastName": "x" * 501},
        {"email": "notanemail"},
        {"email": "two words@example.com"},
        {"phone": "9" * 65},
        {"phone": "12"},
        {"status": "x" * 65},
        {"timezone": "Mars/Base"},
        {"timezone": "x" * 65},
        {"campaignId": "nowhere"},
        {"campaignId": "x" * 65},
        {"leadId": "-dash"},
        {"leadId": "x" * 65},
        {"firstName": "x" * 600, "email": "notanemail"},
    ],
)
async def test_a_row_is_refused_as_the_api_refuses_the_lead(tenant: Tenant, imported: Import, fields: Data) -> None:
    body = {"phone": "+12125550134"} | fields
    refused = await tenant.ask("POST", "/leads", body)
    assert refused.status_code == 400, refused.text
    report = await imported(f"{','.join(body)}\n{','.join(body.values())}\n")
    assert report.refused_rows == [(2, "; ".join(refused.json()["error"]["details"]))]
    assert report.taken_count == 0


async def test_a_lead_of_the_api_may_have_an_empty_email_and_no_other_that_is_none(tenant: Tenant) -> None:
    for email in ("", "ann@example.com", "ann.o'neil+sms@mail.example", "jörg@exämple.de"):
        assert (await tenant.call("PATCH", f"/leads/{(await tenant.lead())['leadId']}", {"email": email}))[
            "email"
        ] == email
    refused = await tenant.ask("POST", "/leads", {"email": "ann at example.com"})
    assert refused.json()["error"]["details"] == ["email: is not an e-mail address"]


async def test_a_row_without_a_phone_is_refused_unless_its_lead_is_known(tenant: Tenant, imported: Import) -> None:
    await tenant.lead(leadId="known", firstName="Old")
    report = await imported(
        "phone,leadId,firstName\n,,Ann\n,new,Bob\n,known,Cid\n,,\n , ,\t\n,late,Dan\n2125550134,late,\n"
    )
    assert report.refused_rows == [(2, "phone: is required"), (3, "phone: is required")]
    assert (report.outcomes, report.blank_count) == ({"added": 2, "changed": 1}, 2)
    assert (await tenant.call("GET", "/leads/known"))["firstName"] == "Cid"
    assert (await tenant.call("GET", "/leads/late"))["firstName"] == "Dan"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
async def test_what_spreadsheets_write_is_recognised(
    tenant: Tenant, imported: Import, codec: str, delimiter: str
) -> None:
    rows = [["leadId", " phone ", "firstName", "lastName"], ["a", "+12125550134", "André", "Müller – „Ü“"],
            ["b", "+12125550135", 'a,b;c\td', "two\r\nlines"]]  # fmt: skip
    content = "".join(delimiter.join(f'"{cell}"' if n else cell for cell in row) + "\r\n" for n, row in enumerate(rows))
    report = await imported(content.encode(codec))
    assert (report.outcomes, report.refused_rows) == ({"added": 2}, [])
    ann, bob = [await tenant.call("GET", f"/leads/{lead_id}") for lead_id in "ab"]
    assert (ann["firstName"], ann["lastName"]) == ("André", "Müller – „Ü“")
    assert (bob["firstName"], bob["lastName"].split()) == ("a,b;c\td", ["two", "lines"])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
async def test_a_header_in_quotes_is_read(imported: Import, delimiter: str) -> None:
    rows = [["phone", "firstName"], ["2125550134", "Ann"]]
    report = await imported("".join(delimiter.join(f'"{cell}"' for cell in row) + "\r\n" for row in rows))
    assert (report.outcomes, report.refused_rows) == ({"added": 1}, [])


@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    ("begin", "delimiter"),
    [
        ("\ufeff", ","), ("\ufeff\ufeff", ";"), ("\n", ","), ("\r\n \r\n\t\r\n", "\t"), ("\ufeff\n", ";"),
        (";;;\r\n", ";"), ('"","",""\n', ","), ("sep=,\n", ","), ("sep=;\r\n", ";"), ("sep=\t\r\n", "\t"),
        ("sep=\\t\n", "\t"), ("SEP=\\T\n", "\t"), ("sep=|\n", "|"), ("SEP=;\r", ";"), ('"sep=;"\r\n', ";"),
        ("\ufeffsep=;\r\n", ";"), ("\r\nsep=;\r\n\r\n", ";"), ("sep=,,,\r\n", ","), ("sep=;\r\n;;\r\n", ";"),
        ("sep=:\n", ":"),
    ],
)  # fmt: skip
async def test_what_programs_write_before_the_header_is_understood(
    tenant: Tenant, imported: Import, begin: str, delimiter: str, codec: str
) -> None:
    rows = [
        ["leadId", "phone", "firstName"],
        ["a", "2125550134", "Ann"],
        ["b", "12", "Bob"],
        ["c", "2125550136", '"Ćid"'],
    ]
    end = begin[-1] if begin.endswith(("\r", "\n")) else "\n"
    report = await imported((begin + "".join(delimiter.join(row) + end for row in rows)).encode(codec))
    assert (report.outcomes, report.blank_count) == ({"added": 2}, 0)
    header_line = len(begin.strip("\ufeff").splitlines()) + 1
    assert report.refused_rows == [(header_line + 2, "phone: is not a valid phone number")]
    assert (await tenant.call("GET", "/leads/c"))["firstName"] == "Ćid"


@pytest.mark.parametrize("content", ["sep=;\nphone,email\n2125550134,\n", "sep=,\nphone;email\n2125550134;\n"])
async def test_a_file_that_names_another_delimiter_than_it_has_is_refused(imported: Import, content: str) -> None:
    with pytest.raises(UnreadableFile, match="the header must name phone"):
        await imported(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"phone,phone\n1,2\n", "the header names phone more than once; remove or rename one of these columns"),
        (b"phone;email;email\n1;2;3\n", "the header names email more than once"),
        (b"phone|email\n1|2\n", "with commas, semicolons or tabs between"),
        (b"phone,email;x\n1,2\n", "the header must name phone, and may name only"),
        ("phone\n".encode("utf-32"), "it is UTF-32; save it as CSV UTF-8"),
        (b"PK\x03\x04leads.xlsx", "it is a workbook of a spreadsheet; save it as CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "it is a workbook of a spreadsheet"),
    ],
)
async def test_a_file_that_is_not_recognised_is_refused_in_words_that_help(
    imported: Import, content: bytes, said: str
) -> None:
    with pytest.raises(UnreadableFile, match=said):
        await imported(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("phone,firstName\n2125550134,é\n2125550135,".encode() + b"\xe9\n", "the row holds a byte that is not UTF-8"),
        (b"phone,firstName\n2125550134,\xe9\n2125550135,\x81\n", "the row holds a byte that is not UTF-8"),
        ("phone,firstName\n2125550134,é\n2125550135,".encode("utf-16") + b"\x00\xd8\n\x00",
         "the row holds a byte that is not UTF-16"),
    ],
)  # fmt: skip
async def test_a_byte_without_a_meaning_costs_its_row_only(imported: Import, content: bytes, said: str) -> None:
    report = await imported(content)
    assert report.refused_rows[-1] == (3, said)


async def test_a_row_without_an_id_means_the_lead_with_its_phone(tenant: Tenant, imported: Import) -> None:
    await tenant.lead(leadId="w1", firstName="Ann", lastName="Lee", phone="+12125550134")
    content = "phone,firstName\n(212) 555-0134,Bea\n2125550135,Cid\n+12125550135,Dan\n"
    assert (await imported(content)).outcomes == {"changed": 1, "added": 2}
    assert (await imported(content)).outcomes == {"unchanged": 3}
    leads = (await tenant.call("GET", "/leads"))["leads"]
    assert sorted((lead["firstName"], lead["lastName"]) for lead in leads) == [("Bea", "Lee"), ("Dan", None)]


@pytest.mark.parametrize("kind", ["leads", "suppressions"])
async def test_a_dry_run_says_what_an_import_does_and_does_nothing(
    tenant: Tenant, resources: Resources, imported: Import, kind: str
) -> None:
    await tenant.lead(leadId="w1", firstName="Ann", phone="+12125550134")
    content = "phone\n2125550134\n12\n\n2125550135\n"
    before = await read_leads(resources, tenant)
    tried = await imported(content, kind, dry_run=True)
    assert await read_leads(resources, tenant) == before
    assert not (await tenant.call("GET", "/consent/+12125550135"))["suppressed"]
    done = await imported(content, kind)
    assert (tried.outcomes, tried.refused_rows, tried.blank_count) == (done.outcomes, done.refused_rows, 1)
    assert done.taken_count == 2


async def test_opt_outs_that_are_imported_again_change_nothing(tenant: Tenant, imported: Import) -> None:
    content = "phone\n2125550134\n+1 212 555 0134\n2125550135\n"
    assert (await imported(content, "suppressions")).outcomes["added"] == 3
    before = await tenant.call("GET", "/consent/+12125550134")
    assert (await imported(content, "suppressions")).outcomes == {"unchanged": 3}
    assert await tenant.call("GET", "/consent/+12125550134") == before


async def test_a_file_of_leads_brings_their_consents_once(tenant: Tenant, imported: Import) -> None:
    content = (
        "phone,state,consentBasis,consentSource,consentObtainedAt,consentProof\n"
        "2125550134,FL,Express written,the form,2026-02-15,f-1\n"
        "2125550135,,perhaps,,,\n"
        "2125550136,,inquiry,,next year,\n"
        "2125550137,,,the form,,\n"
        "2125550138,,inquiry,,,\n"
        "2125550139,,inquiry,,0001-01-01T00:00:00+05:00,\n"
    )
    done = await imported(content)
    assert done.outcomes == {"added": 2}
    assert [(line, words.partition(":")[0]) for line, words in done.refused_rows] == [
        (3, "consentBasis"), (4, "consentObtainedAt"), (5, "consentBasis"), (7, "consentObtainedAt"),
    ]  # fmt: skip
    record = await tenant.call("GET", "/consent/+12125550134")
    assert {(one["scope"], one["basis"]) for one in record["standing"]} == {
        ("marketing", "express_written"), ("conversational", "express_written"),
    }  # fmt: skip
    [event] = record["events"]
    assert (event["source"], event["proof"], event["obtainedAt"]) == ("the form", "f-1", "2026-02-15T00:00:00Z")
    [lead] = (await tenant.call("GET", "/leads?phone=%2B12125550134"))["leads"]
    assert lead["state"] == "FL"
    assert (await imported(content)).outcomes == {"unchanged": 2}
    assert await tenant.call("GET", "/consent/+12125550134") == record


CELLS = {
    "leadId": st.sampled_from(["", "a", "b", "c", "-"]),
    "phone": st.sampled_from(["", "2125550134", "+12125550134", "2125550135", "2125550136", "12", " "]),
    "firstName": st.one_of(st.sampled_from(["", "Ann", "Bea", 'O"', " x "]), st.text(max_size=5)),
    "email": st.sampled_from(["", "a@b", "notanemail"]),
    "status": st.sampled_from(["", "won", "\n"]),
}
ROW = st.tuples(*CELLS.values())


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(ROW, max_size=12),
    delimiter=st.sampled_from(",;\t"),
    codec=st.sampled_from(["utf-8", "utf-16", "cp1252"]),
    spoilt=st.lists(st.sampled_from([b"", b'"', b"x", b",,,,", b"\xff", b"\x00", b'"a"b,,,,']), max_size=3),
)
async def test_no_row_is_lost_and_the_same_file_again_changes_nothing(
    resources: Resources,
    tenant: Tenant,
    imported: Import,
    rows: list[tuple[str, ...]],
    delimiter: str,
    codec: str,
    spoilt: list[bytes],
) -> None:
    async with resources.database.system_tx() as tx:
        await tx.execute("DELETE FROM leads WHERE tenant_id = $1", tenant.tenant_id)

    def quote(cell: str) -> str:
        cell = cell.replace('"', '""').replace("\r", " ")
        return f'"{cell}"'

    lines = [delimiter.join(CELLS), *(delimiter.join(map(quote, row)) for row in rows)]
    content = "".join(f"{line}\r\n" for line in lines).encode(codec, "replace")
    if codec != "utf-16":
        content += b"\n".join(spoilt)
    first = await imported(content)
    leads = await read_leads(resources, tenant)
    again = await imported(content)
    assert await read_leads(resources, tenant) == leads
    assert set(again.outcomes) <= {"unchanged"}
    for report in (first, again):
        assert report.is_complete
        assert (report.taken_count, report.blank_count) == (first.taken_count, first.blank_count)
        assert report.refused_rows == first.refused_rows
        count = report.taken_count + len(report.refused_rows) + report.blank_count
        if codec == "utf-16" or not spoilt:
            assert count == len(rows)
        else:
            assert count >= len(rows)


async def test_the_report_comes_as_json_too(configuration: Settings, tenant: Tenant, tmp_path: Path) -> None:
    file = tmp_path / "leads.csv"
    file.write_text("phone;email\n2125550134;a@example.com\n\n12;\n2125550135;notanemail\n")
    asked = ("leads", "import", str(file), "--tenant", tenant.tenant_id, "--json")
    for more in (["--dry-run"], []):
        status, out, err = await ran(configuration, *asked, *more)
        assert (status, err) == (1, "")
        assert json.loads(out) == {
            "rows": 4, "taken": 1, "added": 1, "changed": 0, "unchanged": 0, "refused": 2, "blank": 1,
            "refusedRows": [
                {"line": 4, "reason": "phone: is not a valid phone number"},
                {"line": 5, "reason": "email: is not an e-mail address"},
            ],
            "complete": True, "upToLine": 5, "dryRun": bool(more),
        }  # fmt: skip
    file.write_text("phone,phone\n1,2\n")
    status, out, err = await ran(configuration, *asked)
    assert (status, json.loads(out)["rows"], json.loads(out)["complete"]) == (1, 0, False)
    assert "the header names phone more than once" in err


async def test_a_file_sets_tags_and_the_custom_fields_that_its_header_names(tenant: Tenant, imported: Import) -> None:
    lead = await tenant.lead(phone="+12125550134", tags=["old"], customFields={"plan": "iron", "rooms": 4})
    rows = (
        "phone,tags,customFields.plan,customFields.source\n"
        "+12125550134,west; solar,gold,\n"
        "+12125550135,,,web\n"
        "+12125550134,,,mail\n"
    )
    report = await imported(rows)
    assert (report.refused_rows, report.taken_count) == ([], 3)
    known = await tenant.call("GET", f"/leads/{lead['leadId']}")
    assert known["tags"] == ["west", "solar"]
    assert known["customFields"] == {"plan": "gold", "rooms": 4, "source": "mail"}
    [new] = (await tenant.call("GET", "/leads", params={"phone": "+12125550135"}))["leads"]
    assert (new["tags"], new["customFields"]) == ([], {"source": "web"})
    again = await imported(rows)
    assert again.outcomes == {"unchanged": 3}


async def test_a_row_that_would_give_its_lead_too_many_custom_fields_is_refused(
    tenant: Tenant, imported: Import
) -> None:
    await tenant.lead(phone="+12125550134", customFields={f"key{i}": i for i in range(19)})
    report = await imported("phone,customFields.a,customFields.b\n+12125550134,1,\n+12125550134,,2\n+12125550135,1,2\n")
    assert report.refused_rows == [(3, "customFields: the lead would have more than 20")]


async def test_a_custom_field_of_a_file_needs_a_key_as_in_the_api(imported: Import) -> None:
    with pytest.raises(UnreadableFile, match=r"may name only: .*customFields\.KEY"):
        await imported("phone,customFields.two words\n+12125550134,x\n")
    with pytest.raises(UnreadableFile):
        await imported("phone,customFields.plan\n+12125550134,x\n", kind="suppressions")
