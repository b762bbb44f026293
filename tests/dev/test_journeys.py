"""The pages for each journey, done as they say: every snippet of them is run."""

import asyncio
import json
import os
import re
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from app.embedded.processes import find_free_port
from tests.dev.screen import END_SECONDS, START_SECONDS, Screen, terminal
from tests.processes import end, finish
from tests.test_cli import OURS
from tests.world import World, agent, carrier, idle_world, working, world

__all__ = ["agent", "carrier", "idle_world", "working", "world"]
DOCS = Path(__file__).parents[2] / "docs"
LOCAL_LINES = re.compile(r"^(KEY=\$\(python3|API=http://127\.0\.0\.1:8000/).*\n", re.M)
"""Where a page says which service is meant: the test has another."""


def snippets(page: str, language: str = "") -> list[str]:
    tokens = MarkdownIt().parse((DOCS / page).read_text())
    return [token.content for token in tokens if token.type == "fence" and token.info == language]


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder with the installation beside it, as after `make setup`."""
    with tempfile.TemporaryDirectory(prefix="leadsail-journey-") as made:
        Path(made).chmod(0o755)  # the embedded servers' own account must be able to enter it
        (Path(made) / ".venv").symlink_to(sys.prefix)
        yield Path(made)


@pytest.fixture
def port() -> int:
    return find_free_port()


def environment(port: int) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OURS} | {"PORT": str(port)}


async def ran(snippet: str, folder: Path, env: dict[str, str]) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", snippet, cwd=folder, env=env, stdout=PIPE, stderr=STDOUT
    )
    out, _ = await finish(process)
    return process.returncode, out


async def write_as_page_says(screen: Screen, page: str) -> None:
    """Types the lead's lines of the page, and waits for each line that it shows, whatever the numbers."""
    [shown] = snippets(page, "text")
    seen_up_to = len(screen.text)
    for line in shown.splitlines():
        if line.startswith("lead> "):
            screen.press(line.removeprefix("lead> ") + "\r")
            continue
        pattern = re.sub(r"\d[\d,]*(?= ms)", r"[\\d,]+", re.escape(line).replace(r"\ ", " ").replace(r"\,", ","))
        seen_up_to = await screen.shows_after(seen_up_to, pattern)


async def test_from_nothing_to_an_agent_of_ones_own(folder: Path, port: int) -> None:
    setup, new_agent, dev, start_agent, new_chat_agent, *_ = snippets("first-agent.md")
    assert setup == "make setup\n"
    env = environment(port)
    status, out = await ran(new_agent, folder, env)
    assert status == 0, out
    assert (folder / "agent.py").read_text() == (DOCS / "examples" / "agent.py").read_text()
    command = dev.replace("9000", str(port)).split()
    async with terminal(command, env, folder) as (screen, process):
        await screen.shows("lead> ", START_SECONDS)
        secret = re.findall(r"AGENT_SECRET=(whsec_\S+)", screen.text)[0]
        started = await asyncio.create_subprocess_shell(
            f"exec env {start_agent.replace('whsec_…', secret)}", cwd=folder, env=env
        )
        try:
            await asyncio.sleep(1)
            await write_as_page_says(screen, "first-agent.md")
        finally:
            await end(started)
        screen.press("\x04")  # Ctrl-D
        assert await asyncio.wait_for(process.wait(), END_SECONDS) == 0
    status, out = await ran(new_chat_agent, folder, env)
    assert (status, (folder / "chat.py").exists()) == (0, True), out


async def test_an_agent_is_tested_by_a_script(folder: Path, port: int) -> None:
    [script] = snippets("testing.md", "yaml")
    [run_script] = snippets("testing.md")
    (folder / "talk.yaml").write_text(script)
    (folder / "agent.py").write_text((DOCS / "examples" / "agent.py").read_text())
    command, env = run_script.replace("9000", str(port)), environment(port)
    status, out = await ran(command, folder, env)
    assert (status, out.splitlines()[-1]) == (0, "passed"), out
    (folder / "talk.yaml").write_text(script.replace("contains: colleague", "contains: robot"))
    status, out = await ran(command, folder, env)
    assert (status, "found:    'A colleague will write to you.'" in out) == (1, True), out


@pytest.mark.parametrize("page", ["sending.md", "hearing.md", "going-live.md"])
async def test_each_request_of_the_page_is_answered(world: World, folder: Path, page: str) -> None:
    await world.tenant.lead(leadId="lead_amara", firstName="Amara", campaignId=world.campaign["campaignId"])
    api = str(world.tenant.http.base_url).rstrip("/") + "/api/v1"
    env = dict(os.environ) | {"API": api, "KEY": world.tenant.key}
    requests = [snippet for snippet in snippets(page) if "curl" in snippet]
    assert requests
    for request in requests:
        status, out = await ran(LOCAL_LINES.sub("", request), folder, env)
        assert status == 0, out
        answer = json.loads(out[out.index("{") :])
        assert answer["success"], (request, answer)


async def test_the_loop_of_the_page_hears_each_event_once(world: World, folder: Path) -> None:
    [_, loop] = snippets("hearing.md", "python")
    api = str(world.tenant.http.base_url).rstrip("/") + "/api/v1"
    env = dict(os.environ) | {"API": api, "KEY": world.tenant.key, "WAIT": "1"}
    (folder / "hear.py").write_text(loop)
    command = f"{sys.executable} hear.py"
    sent = await world.send("Hi Jane")
    await world.status_is(sent["messageId"], "delivered")
    status, out = await ran(command, folder, env)
    assert (status, sent["messageId"] in out) == (0, True), out
    await world.text("Who is this?")
    status, more = await ran(command, folder, env)
    assert (status, more.count("message ")) == (0, 1), more
    assert sent["messageId"] not in more
