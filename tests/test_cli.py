"""The command line, as processes (contract 1)."""

import asyncio
import base64
import json
import os
import signal
import socket
import sys
import sysconfig
import tomllib
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from tempfile import TemporaryFile

import httpx
import pytest

from app.access import sessions
from app.demo import http_clients
from app.resources import Resources
from app.settings import Settings
from app.store import people
from tests import forks
from tests.makers import Data, Tenant
from tests.processes import RUN_SECONDS, finish, wait_until_ended
from tests.relay import relay_database
from tests.world import World, agent, carrier, idle_world, until

__all__ = ["agent", "carrier", "idle_world"]
TREE = Path(__file__).parents[1]
OURS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEYS", "ENVIRONMENT", "PORT", "PUBLIC_BASE_URL")


async def started(configuration: Settings | None, *arguments: str, **env: str) -> Process:
    return await started_program(configuration, "-m", "app", *arguments, **env)


async def started_program(configuration: Settings | None, *arguments: str, **env: str) -> Process:
    """A program of our own Python, with the environment of a process of the service."""
    given = environment(configuration) | env
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=given, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )


def environment(configuration: Settings | None) -> dict[str, str]:
    given = {name: value for name, value in os.environ.items() if name not in OURS}
    if configuration:
        given |= {
            "DATABASE_URL": str(configuration.database_url),
            "REDIS_URL": str(configuration.redis_url),
            "SECRET_KEYS": base64.urlsafe_b64encode(configuration.decode_sealing_keys()[0]).decode(),
        }
    return given


async def ran(
    configuration: Settings | None, *arguments: str, typed: str = "", **env: str
) -> tuple[int | None, str, str]:
    """Exit status, stdout and stderr."""
    with TemporaryFile() as stdin, TemporaryFile() as stdout, TemporaryFile() as stderr:
        os.pwrite(stdin.fileno(), typed.encode(), 0)
        files = (stdout.fileno(), stderr.fileno())
        process = await forks.start(arguments, environment(configuration) | env, *files, stdin.fileno())
        status = await wait_until_ended(process, RUN_SECONDS)
        out, err = (os.pread(file, os.fstat(file).st_size, 0).decode() for file in files)
    return status, out, err


async def test_a_tenant_is_made_with_a_key_that_opens_everything(configuration: Settings, tenant: Tenant) -> None:
    status, out, _ = await ran(configuration, "tenant", "create", "--name", "Sunny Roofs")
    assert status == 0
    made = json.loads(out)
    theirs = Tenant(made["tenantId"], made["apiKey"], tenant.http)
    assert (await theirs.call("GET", "/settings"))["name"] == "Sunny Roofs"


async def test_a_key_is_made_for_a_tenant_with_a_scope(configuration: Settings, tenant: Tenant) -> None:
    asked = ("key", "create", "--tenant", tenant.tenant_id, "--name", "crm", "--scope", "read")
    status, out, _ = await ran(configuration, *asked)
    assert status == 0
    made = json.loads(out)
    assert (await tenant.call("GET", f"/api-keys/{made['keyId']}"))["scope"] == "read"
    reader = Tenant(tenant.tenant_id, made["apiKey"], tenant.http)
    assert (await reader.ask("GET", "/leads")).status_code == 200


async def test_a_person_is_made_and_can_sign_in(configuration: Settings, tenant: Tenant, resources: Resources) -> None:
    asked = ("user", "create", "--tenant", tenant.tenant_id, "--email", "jane@example.com",
             "--password-stdin")  # fmt: skip
    assert (await ran(configuration, *asked, typed="correct horse\n"))[0] == 0
    assert await sessions.sign_in(resources.database, "Jane@example.com", "correct horse")
    status, _, err = await ran(configuration, *asked, typed="another\n")
    assert (status, err.strip()) == (1, "leadsail-sms: a person with this e-mail address exists already")


async def test_the_first_person_is_an_admin_and_the_others_are_what_is_said(
    configuration: Settings, tenant: Tenant, resources: Resources
) -> None:
    asked = ("user", "create", "--tenant", tenant.tenant_id, "--password-stdin", "--email")
    for more in (("a@example.com",), ("b@example.com",), ("c@example.com", "--role", "admin")):
        assert (await ran(configuration, *asked, *more, typed="correct horse\n"))[0] == 0
    async with resources.database.system_tx() as tx:
        rows = await people.list_page(tx, tenant.tenant_id, None, 9)
    assert {row.email[0]: row.role for row in rows} == {
        "a": "admin", "b": "member", "c": "admin",
    }  # fmt: skip


async def test_the_version_is_told_installed_or_not(tmp_path: Path) -> None:
    version = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]["version"]
    assert await ran(None, "--version") == (0, f"leadsail-sms {version}\n", "")
    assert await run_copied(tmp_path, "from app.cli import main; sys.argv[1:] = ['--version']; main()") == (
        "leadsail-sms 9.8.7\n"
    )


async def test_spans_name_the_version_of_a_tree_that_was_only_copied(tmp_path: Path) -> None:
    code = """
from app import settings, traces
with traces.export_traces(settings.load(otel_traces_exporter="console"), "web"):
    traces.record_point("webhook", "turn_1")
"""
    span = json.loads(await run_copied(tmp_path, code))
    assert span["resource"]["attributes"]["service.version"] == "9.8.7"


async def run_copied(folder: Path, code: str) -> str:
    """What `code` prints beside a tree that was only copied."""
    code = f"import sys; sys.path += {copy_tree(folder)}\n{code}"
    process = await started_program(None, "-I", "-S", "-c", code)
    out, err = await finish(process)
    assert (process.returncode, err) == (0, "")
    return out


def copy_tree(folder: Path) -> list[str]:
    """A path with a tree of version 9.8.7 and the installed packages but for ours, as the image has it."""
    packages = folder / "packages"
    packages.mkdir()
    for installed in Path(sysconfig.get_path("purelib")).iterdir():
        if "leadsail_sms" not in installed.name:
            (packages / installed.name).symlink_to(installed)
    (folder / "app").symlink_to(TREE / "app")
    (folder / "pyproject.toml").write_text('[project]\nversion = "9.8.7"')
    return [str(folder), str(packages)]


@pytest.mark.parametrize(
    ("arguments", "env", "status", "says"),
    [
        (("web",), {}, 2, "DATABASE_URL and REDIS_URL must be set"),
        (("migrate",), {}, 2, "DATABASE_URL is required"),
        (("web",), {"DATABASE_URL": "postgresql://x/x"}, 2, "SECRET_KEYS is required"),
        (("web",), {"ENVIRONMENT": "production"}, 2, "PUBLIC_BASE_URL is required in production"),
        (("demo",), {"ENVIRONMENT": "production"}, 2, ""),
        (("lead", "--as", "jane"), {"ENVIRONMENT": "production"}, 2, ""),
        (("lead", "--as", "jane"), {"DATA_DIR": "/nowhere"}, 2, "start `up` first"),
        (
            ("migrate",),
            {"DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "SECRET_KEYS": "A" * 43},
            1,
            "is unavailable",
        ),
        (("web",), {"PORT": "many"}, 2, "PORT"),
    ],
)
async def test_a_process_that_cannot_start_says_why_in_one_line(
    arguments: tuple[str, ...], env: dict[str, str], status: int, says: str
) -> None:
    ended, _, err = await ran(None, *arguments, **env)
    assert ended == status
    assert says in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("tenant", "create", "--name", " "), "--name"),
        (("tenant", "create", "--name", "x" * 201), "--name"),
        (("key", "create", "--name", "", "--tenant"), "--name"),
        (("user", "create", "--email", "jane", "--password-stdin", "--tenant"), "--email"),
    ],
)
async def test_a_name_or_an_address_that_is_none_is_refused(
    configuration: Settings, tenant: Tenant, arguments: tuple[str, ...], named: str
) -> None:
    owner = (tenant.tenant_id,) if arguments[-1] == "--tenant" else ()
    status, out, err = await ran(configuration, *arguments, *owner, typed="correct horse\n")
    assert (status, out) == (1, "")
    assert named in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_web_serves_and_stops_cleanly(configuration: Settings, tenant: Tenant, number: signal.Signals) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await started(configuration, "web", PORT=str(port))
    async with http_clients.build_client(base_url=f"http://127.0.0.1:{port}") as http:
        async with asyncio.timeout(15):
            while True:
                try:
                    ready = await http.get("/health/ready")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        assert ready.status_code == 200
        theirs = Tenant(tenant.tenant_id, tenant.key, http)
        lead = await theirs.lead(firstName="Not to be logged", phone="+12125550147")
        await theirs.call("GET", f"/leads/{lead['leadId']}")
        await theirs.call("GET", "/leads?search=Not")
    process.send_signal(number)
    _, err = await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode == 0
    told = err.decode()
    assert "route=/api/v1/leads/{lead_id}" in told
    for secret in ("Not to be logged", "5550147", tenant.key, lead["leadId"], "search"):
        assert secret not in told


COUNTS = ("rows", "taken", "added", "changed", "unchanged", "refused", "blank")


async def imported(
    configuration: Settings, what: str, tenant: Tenant, file: Path, *more: str, **env: str
) -> tuple[int | None, Data, list[str]]:
    """Exit status, the counts, and what was said on stderr. No row is lost from the report."""
    asked = (what, "import", str(file), "--tenant", tenant.tenant_id, *more)
    status, out, err = await ran(configuration, *asked, **env)
    counts = json.loads(out or "{}")
    if counts:
        number = {name: int(counts[name]) for name in COUNTS}
        assert number["taken"] + number["refused"] + number["blank"] == number["rows"]
        assert number["added"] + number["changed"] + number["unchanged"] == number["taken"]
    return status, counts, err.splitlines()


async def test_leads_are_imported_and_what_cannot_be_taken_is_told_by_its_line(
    configuration: Settings, tenant: Tenant, tmp_path: Path
) -> None:
    await tenant.campaign(campaignId="spring")
    file = tmp_path / "leads.csv"
    file.write_text(
        "leadId,firstName,phone,timezone\n"
        "a1,Ann,(212) 555-0134,America/New_York\n"
        "a2,Bob,12,\n"
        "a3,Cid,+12125550135,Mars/Base\n"
        "a4,Dan,+12125550136\n"
        ",Eve,+12125550137,\n"
    )
    for outcome in ("added", "unchanged"):
        status, counts, said = await imported(configuration, "leads", tenant, file, "--campaign", "spring")
        assert (status, counts["taken"], counts[outcome], counts["refused"]) == (1, "2", "2", "3")
        assert said == [
            "line 3: phone: is not a valid phone number",
            "line 4: timezone: is not an IANA time zone, such as America/New_York",
            "line 5: the row does not have the header's columns",
        ]
    ann = await tenant.call("GET", "/leads/a1")
    assert (ann["phone"], ann["campaignId"]) == ("+12125550134", "spring")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name,phone\nX,1\n", "the header must name phone"),
        (b"", "the header must name phone"),
        (b'"phone\n+12125550134\n', "line 1: a quote is opened and not closed"),
        (b"phone,firstN\xe4me\n", "the header must name phone"),
    ],
)
async def test_a_file_without_a_header_that_can_be_read_is_refused_whole(
    configuration: Settings, tenant: Tenant, tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "leads.csv"
    file.write_bytes(content)
    status, counts, err = await imported(configuration, "leads", tenant, file)
    assert (status, counts, len(err)) == (1, {}, 1)
    assert said in err[0]


async def test_an_import_changes_only_what_its_header_names_and_its_cells_say(
    configuration: Settings, tenant: Tenant, tmp_path: Path
) -> None:
    await tenant.campaign(campaignId="spring")
    await tenant.campaign(campaignId="autumn")
    known = {
        "firstName": "Ann", "lastName": "Lee", "email": "ann@example.com", "status": "contacted",
        "phone": "+12125550134", "campaignId": "spring", "timezone": "America/New_York",
        "isTest": True, "questionnaire": [{"key": "own", "question": "Own?", "answer": "yes"}],
    }  # fmt: skip
    for lead_id in ("w1", "w2", "w3"):
        await tenant.lead(leadId=lead_id, **known)
    file = tmp_path / "leads.csv"
    file.write_text("leadId,phone\nw1,2125550135\nn1,2125550136\nw1,\nw3,\n")
    status, counts, _ = await imported(configuration, "leads", tenant, file)
    assert (status, counts["taken"]) == (0, "4")
    file.write_text("leadId,phone,firstName,status,email\nw2,,Bea,,\nn1,,,won,\nw2,,,,b@example.com\n")
    status, counts, _ = await imported(configuration, "leads", tenant, file)
    assert (status, counts["taken"]) == (0, "3")

    async def now(lead_id: str, *named: str) -> Data:
        lead = await tenant.call("GET", f"/leads/{lead_id}")
        return {name: lead[name] for name in named or known}

    assert await now("w1") == known | {"phone": "+12125550135"}
    assert await now("w2") == known | {"firstName": "Bea", "email": "b@example.com"}
    assert await now("w3") == known
    assert await now("n1", "phone", "status", "isTest", "questionnaire", "firstName") == {
        "phone": "+12125550136", "status": "won", "isTest": False, "questionnaire": [],
        "firstName": None,
    }  # fmt: skip
    file.write_text("leadId,phone,campaignId\nw1,,spring\nn2,2125550137,\n")
    assert (await imported(configuration, "leads", tenant, file, "--campaign", "autumn"))[0] == 0
    assert await now("w1") == known | {"phone": "+12125550135", "campaignId": "autumn"}
    assert await now("n2", "campaignId") == {"campaignId": "autumn"}


LONG = "x" * 131_073
SPOILT = [
    # A row that is broken, and what is said of it.
    (b'b,"Bob,2125550199', "a quote is opened and not closed"),
    (b'b,Bob,"2125550199', "a quote is opened and not closed"),
    (b'b,"Bob"by,2125550199', "text follows the quote that closes a cell"),
    (f"b,{LONG},2125550199".encode(), "a cell is longer than 131072 characters"),
    (f'b,"{LONG}",2125550199'.encode(), "a cell is longer than 131072 characters"),
    (b"b," + b"x" * 2_000_000, "the line is longer than 1048576 characters"),
    (b"b,B\xf6b,2125550199", "the row holds a byte that is not UTF-8"),
    (b"b,Bob\xff\xfe,2125550199", "the row holds a byte that is not UTF-8"),
    (b"b,\xed\xa0\x80,2125550199", "the row holds a byte that is not UTF-8"),
    (b"b,B\x00b,2125550199", "the row holds a NUL character"),
    (b"b,Bob,2125550199,", "the row does not have the header's columns"),
    (b"b,Bob", "the row does not have the header's columns"),
]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
async def test_a_broken_row_is_told_by_its_line_and_all_others_are_taken(
    configuration: Settings, tenant: Tenant, tmp_path: Path, end: bytes
) -> None:
    lines, told = [b"leadId,firstName,phone"], []
    for number, (line, why) in enumerate(SPOILT):
        lines += [b"", b"a%d,Ann,2125550134" % number, line, b" , ,"]
        told.append(f"line {len(lines) - 1}: {why}")
    lines += [
        b'c1,"Lee, Ann ""Annie""",2125550134',
        b'c2,"Ann',
        b"of ",
        b'Troy",2125550134',
        b",,,,",
    ]
    lines += [b'd1,"Ann,2125550134', b'd2,Bob",2125550134', b'd3,"Cid",2125550134', b'"']
    told += [f"line {len(lines) - 3}: {SPOILT[0][1]}", f"line {len(lines)}: {SPOILT[0][1]}"]
    file = tmp_path / "leads.csv"
    file.write_bytes(end.join(lines))
    status, counts, said = await imported(configuration, "leads", tenant, file)
    assert said == told
    taken = len(SPOILT) + 4
    assert (status, counts["taken"], counts["refused"]) == (1, str(taken), str(len(told)))
    leads = (await tenant.call("GET", "/leads?limit=100"))["leads"]
    names = {lead["leadId"]: lead["firstName"] for lead in leads}
    assert len(names) == taken
    assert (names["c1"], names["c2"].split()) == ('Lee, Ann "Annie"', ["Ann", "of", "Troy"])
    assert (names["d2"], names["d3"]) == ('Bob"', "Cid")


async def test_a_row_that_is_spoilt_far_below_costs_no_other_row(
    configuration: Settings, tenant: Tenant, tmp_path: Path
) -> None:
    rows = [f"w{n},Ann,2125550134".encode() for n in range(6000)]
    rows[4500] = b"w4500,J\xfcrgen,2125550134"
    file = tmp_path / "leads.csv"
    file.write_bytes(b"\n".join([b"leadId,firstName,phone", *rows]))
    status, counts, said = await imported(configuration, "leads", tenant, file)
    assert (status, counts["taken"], counts["refused"]) == (1, "5999", "1")
    assert said == ["line 4502: the row holds a byte that is not UTF-8"]


@pytest.mark.parametrize("how", ["ctrl-c", "terminate", "no database"])
async def test_an_import_that_is_stopped_says_up_to_which_line_it_came(
    configuration: Settings, tenant: Tenant, resources: Resources, tmp_path: Path, how: str
) -> None:
    rows = [f"w{n},Ann,2125550134" for n in range(60_000)]
    rows[10] = "w10,Ann,12"
    file = tmp_path / "leads.csv"
    file.write_text("\n".join(["leadId,firstName,phone", *rows]))

    async def stored() -> int:
        async with resources.database.system_tx() as tx:
            return int(await tx.fetch_value("SELECT count(*) FROM leads"))

    async with relay_database(configuration) as (wire, behind_wire):
        process = await started(behind_wire, "leads", "import", str(file), "--tenant", tenant.tenant_id)
        await until(stored)
        if how == "no database":
            wire.cut()
        else:
            process.send_signal(signal.SIGINT if how == "ctrl-c" else signal.SIGTERM)
        out, err = await finish(process)
    counts, told = json.loads(out), err.splitlines()
    line = int(counts["upToLine"])
    assert process.returncode == (1 if how == "no database" else 130)
    assert told[0] == "line 12: phone: is not a valid phone number"
    assert told[1].startswith(f"stopped: up to line {line}, each row was taken or is reported above")
    assert await stored() == int(counts["taken"]) == line - 2
    assert ("is unavailable" in err) == (how == "no database")


async def test_phones_that_opted_out_elsewhere_are_imported(
    configuration: Settings, tenant: Tenant, tmp_path: Path
) -> None:
    file = tmp_path / "stopped.csv"
    file.write_text("phone\n+12125550141\nx\n2125550142\n")
    status, counts, said = await imported(configuration, "suppressions", tenant, file, "--reason", "old")
    assert (status, counts["taken"]) == (1, "2")
    assert said == ["line 3: phone: is not a valid phone number"]
    record = await tenant.call("GET", "/consent/+12125550142")
    assert (record["causes"], record["events"][0]["text"]) == (["person"], "old")


async def test_no_opt_out_is_lost_because_another_row_is_broken(
    configuration: Settings, tenant: Tenant, tmp_path: Path
) -> None:
    broken = [b'"+1212', b'"', b"\xff\xfe", b"+1\x00", b'"a"b', LONG.encode(), b"1,2"]
    phones = [f"+1212555{n:04}" for n in range(150, 150 + len(broken) + 1)]
    lines = [b"phone", b"", b'"' + phones[0].encode() + b'"']
    for line, phone in zip(broken, phones[1:], strict=True):
        lines += [line, b"  ", phone.encode()]
    file = tmp_path / "stopped.csv"
    file.write_bytes(b"\n".join(lines))
    status, counts, said = await imported(configuration, "suppressions", tenant, file)
    assert (status, counts["taken"]) == (1, str(len(phones)))
    assert [line.split(":")[0] for line in said] == [f"line {4 + 3 * n}" for n in range(len(broken))]
    for phone in phones:
        assert (await tenant.call("GET", f"/consent/{phone}"))["suppressed"], phone


async def test_decided_texts_are_exported_as_examples(configuration: Settings, idle_world: World) -> None:
    await idle_world.send()
    for text, is_opt_out in (("wrong number\n\tbye", True), ("is this spam?", False)):
        await idle_world.text(text)
        [thread] = (await idle_world.tenant.call("GET", f"/interactions/lead/{idle_world.lead['leadId']}"))[
            "interactions"
        ]
        message = next(entry["messageId"] for entry in thread["transcript"] if entry["message"] == text)
        await idle_world.tenant.call("POST", f"/messages/{message}/opt-out-decision", {"optOut": is_opt_out})
    tenant = idle_world.tenant.tenant_id
    status, out, err = await ran(configuration, "examples", "export", "--tenant", tenant)
    assert (status, out, err) == (0, "label\ttext\nstop\twrong number\\n bye\nnone\tis this spam?\n", "")
    status, out, err = await ran(configuration, "examples", "export", "--tenant", "org_none")
    assert (status, out) == (1, "")
    assert "no tenant" in err


async def test_figures_are_counted_on_request(configuration: Settings, idle_world: World) -> None:
    await idle_world.send()
    for arguments in (("figures",), ("figures", "--rebuild")):
        status, out, _ = await ran(configuration, *arguments)
        assert status == 0
        assert int(json.loads(out)["hoursCounted"]) > 0
