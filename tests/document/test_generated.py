"""Clients that ordinary generators make of the document: they compile, and do a round trip."""

import asyncio
import compileall
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import makers
from tests.document.node import FOLDER, NODE, Unreachable, install_tools, run_tool
from tests.makers import Tenant
from tests.security.walk import DOCUMENT
from tests.service import Api

COMPILER_OPTIONS = ("--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom")


@pytest.fixture
def document_file(tmp_path: Path) -> Path:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(DOCUMENT))
    return file


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def tell_story(tenant: Tenant, api: Api, *command: str | Path, **environment: str) -> None:
    """Runs a story against the service, and looks at the text that it says it sent."""
    await tenant.number(providerAccountId=(await tenant.account())["accountId"])
    given = {"API_URL": api.url, "API_KEY": tenant.key, "PHONE": makers.phone(), **environment}
    message_id = (await asyncio.to_thread(run, *command, **given)).strip()
    message = await tenant.call("GET", f"/messages/{message_id}")
    assert message["message"] == "Hi Tess"


async def test_the_generated_python_client_does_a_round_trip(
    tenant: Tenant, api: Api, document_file: Path, tmp_path: Path
) -> None:
    package, config = tmp_path / "leadsail_api", tmp_path / "config.yaml"
    config.write_text("post_hooks: []\n")  # they only format
    await asyncio.to_thread(
        run, sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", "--meta", "none",
        "--path", document_file, "--config", config, "--output-path", package,
    )  # fmt: skip
    assert compileall.compile_dir(package, quiet=1)
    await tell_story(tenant, api, sys.executable, FOLDER / "story.py", PYTHONPATH=str(tmp_path))


async def test_the_generated_typescript_types_do_a_round_trip(
    tenant: Tenant, api: Api, document_file: Path, tmp_path: Path
) -> None:
    try:
        await asyncio.to_thread(install_tools)
    except Unreachable as error:
        pytest.skip(str(error))
    made = await asyncio.to_thread(run_tool, "openapi-typescript", document_file, "-o", tmp_path / "openapi.d.ts")
    assert made.returncode == 0, made.stderr
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "story.ts").write_text((FOLDER / "story.ts").read_text())
    checked = await asyncio.to_thread(run_tool, "tsc", *COMPILER_OPTIONS, tmp_path / "story.ts", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    await tell_story(tenant, api, NODE, tmp_path / "story.js")
