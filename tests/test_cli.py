"""The command line, as processes (contract 1)."""

import asyncio
import base64
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import httpx
import pytest

from app.access import sessions
from app.demo import calls
from app.resources import Resources
from app.settings import Settings
from app.store import people
from tests.makers import Tenant

OURS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEYS", "ENVIRONMENT", "PORT", "PUBLIC_BASE_URL")


async def started(configuration: Settings | None, *arguments: str, **env: str) -> Process:
    given = {name: value for name, value in os.environ.items() if name not in OURS}
    if configuration:
        given |= {
            "DATABASE_URL": str(configuration.database_url),
            "REDIS_URL": str(configuration.redis_url),
            "SECRET_KEYS": base64.urlsafe_b64encode(configuration.sealing_keys()[0]).decode(),
        }
    command = (sys.executable, "-m", "app", *arguments)
    return await asyncio.create_subprocess_exec(
        *command, env=given | env, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )


async def ran(
    configuration: Settings | None, *arguments: str, typed: str = "", **env: str
) -> tuple[int | None, str, str]:
    """Exit status, stdout and stderr."""
    process = await started(configuration, *arguments, **env)
    out, err = await process.communicate(typed.encode())
    return process.returncode, out.decode(), err.decode()


async def test_a_tenant_is_made_with_a_key_that_opens_everything(
    configuration: Settings, tenant: Tenant
) -> None:
    status, out, _ = await ran(configuration, "tenant", "create", "--name", "Sunny Roofs")
    assert status == 0
    made = json.loads(out)
    theirs = Tenant(made["tenantId"], made["apiKey"], tenant.http)
    assert (await theirs.call("GET", "/settings"))["name"] == "Sunny Roofs"


async def test_a_key_is_made_for_a_tenant_with_a_scope(
    configuration: Settings, tenant: Tenant
) -> None:
    asked = ("key", "create", "--tenant", tenant.tenant_id, "--name", "crm", "--scope", "read")
    status, out, _ = await ran(configuration, *asked)
    assert status == 0
    made = json.loads(out)
    assert (await tenant.call("GET", f"/api-keys/{made['keyId']}"))["scope"] == "read"
    reader = Tenant(tenant.tenant_id, made["apiKey"], tenant.http)
    assert (await reader.ask("GET", "/leads")).status_code == 200


async def test_a_person_is_made_and_can_sign_in(
    configuration: Settings, tenant: Tenant, resources: Resources
) -> None:
    asked = ("user", "create", "--tenant", tenant.tenant_id, "--email", "jane@example.com",
             "--password-stdin")  # fmt: skip
    assert (await ran(configuration, *asked, typed="correct horse\n"))[0] == 0
    assert await sessions.sign_in(resources.database, "Jane@example.com", "correct horse")
    status, _, err = await ran(configuration, *asked, typed="another\n")
    assert (status, err.strip()) == (1, "leadsail-sms: somebody has this e-mail already")


async def test_the_first_person_is_an_admin_and_the_others_are_what_is_said(
    configuration: Settings, tenant: Tenant, resources: Resources
) -> None:
    asked = ("user", "create", "--tenant", tenant.tenant_id, "--password-stdin", "--email")
    for more in (("a@example.com",), ("b@example.com",), ("c@example.com", "--role", "admin")):
        assert (await ran(configuration, *asked, *more, typed="correct horse\n"))[0] == 0
    async with resources.database.system() as tx:
        rows = await people.listed(tx, tenant.tenant_id, None, 9)
    assert {row["email"][0]: row["role"] for row in rows} == {
        "a": "admin", "b": "member", "c": "admin",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "env", "status", "says"),
    [
        (("web",), {}, 2, "DATABASE_URL and REDIS_URL must be set"),
        (("migrate",), {}, 2, "DATABASE_URL is required"),
        (("web",), {"DATABASE_URL": "postgresql://x/x"}, 2, "SECRET_KEYS is required"),
        (("web",), {"ENVIRONMENT": "production"}, 2, "PUBLIC_BASE_URL is required in production"),
        (("demo",), {"ENVIRONMENT": "production"}, 2, ""),
        (
            ("migrate",),
            {"DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "SECRET_KEYS": "A" * 43},
            1,
            "is away",
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
async def test_web_serves_and_stops_cleanly(
    configuration: Settings, tenant: Tenant, number: signal.Signals
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await started(configuration, "web", PORT=str(port))
    async with calls.client(base_url=f"http://127.0.0.1:{port}") as http:
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
        await theirs.call("GET", f"/leads/{lead['leadId']}?search=Not")
    process.send_signal(number)
    _, err = await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode == 0
    told = err.decode()
    assert "route=/api/v1/leads/{lead_id}" in told
    for secret in ("Not to be logged", "5550147", tenant.key, lead["leadId"], "search"):
        assert secret not in told


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
    asked = ("leads", "import", str(file), "--tenant", tenant.tenant_id, "--campaign", "spring")
    for _ in range(2):
        status, out, err = await ran(configuration, *asked)
        assert status == 1
        assert json.loads(out) == {"taken": "2", "refused": "3"}
        assert err.splitlines() == [
            "line 5: the row does not have the header's columns",
            "line 3: phone: is not a valid phone number",
            "line 4: timezone: is not an IANA time zone, such as America/New_York",
        ]
    ann = await tenant.call("GET", "/leads/a1")
    assert (ann["phone"], ann["campaignId"]) == ("+12125550134", "spring")
    file.write_text("name,phone\nX,1\n")
    status, _, err = await ran(configuration, *asked)
    assert (status, "the header must name phone" in err) == (1, True)


async def test_phones_that_opted_out_elsewhere_are_imported(
    configuration: Settings, tenant: Tenant, tmp_path: Path
) -> None:
    file = tmp_path / "stopped.csv"
    file.write_text("phone\n+12125550141\nx\n2125550142\n")
    asked = ("suppressions", "import", str(file), "--tenant", tenant.tenant_id, "--reason", "old")
    status, out, err = await ran(configuration, *asked)
    assert (status, json.loads(out)["taken"]) == (1, "2")
    assert err == "line 3: phones[0]: is not a valid phone number\n"
    record = await tenant.call("GET", "/consent/+12125550142")
    assert (record["causes"], record["events"][0]["text"]) == (["person"], "old")
