"""`dev`, as a builder of an agent uses it: in a terminal, with lines piped in, with a script."""

import asyncio
import fcntl
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.embedded.processes import find_free_port
from tests.dev.screen import END_SECONDS, START_SECONDS, terminal
from tests.processes import end, finish
from tests.test_cli import OURS

ROOT = Path(__file__).parents[2]
SECRET = "whsec_" + "c2VjcmV0IG9mIDI0IGJ5dGVzIG9yIG1vcmU="


@dataclass(frozen=True, slots=True)
class Desk:
    """Where somebody builds an agent: a folder with the data of `dev`, and the agent's address."""

    folder: Path
    agent_url: str

    @property
    def env(self) -> dict[str, str]:
        given = {name: value for name, value in os.environ.items() if name not in OURS}
        return given | {"DATA_DIR": str(self.folder / "data"), "TERM": "xterm", "PYTHONPATH": str(ROOT)}

    def command(self, *more: str) -> list[str]:
        asked = ["dev", "--agent", self.agent_url, "--secret-file", str(self.folder / "secret")]
        return [sys.executable, "-m", "app", *asked, *more]

    async def run(self, *more: str, typed: str = "") -> tuple[int | None, str]:
        """Exit status, and what was printed."""
        process = await asyncio.create_subprocess_exec(
            *self.command(*more),
            env=self.env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await finish(process, typed.encode())
        return process.returncode, out

    def script(self, text: str) -> str:
        (self.folder / "talk.yaml").write_text(text)
        return str(self.folder / "talk.yaml")


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """A desk at which the example agent runs, with a secret that was made before."""
    with tempfile.TemporaryDirectory(prefix="leadsail-dev-") as made:
        folder, port = Path(made), find_free_port()
        folder.chmod(0o755)  # the embedded servers' own account must be able to enter it
        (folder / "secret").write_text(SECRET)
        agent = subprocess.Popen(
            [sys.executable, str(ROOT / "docs" / "examples" / "agent.py")],
            env={**os.environ, "AGENT_SECRET": SECRET, "PORT": str(port)},
        )
        try:
            yield Desk(folder, f"http://127.0.0.1:{port}/")
        finally:
            agent.kill()
            agent.wait()


async def test_in_a_terminal_the_builder_sees_what_the_agent_does(desk: Desk) -> None:
    async with terminal(desk.command(), desk.env) as (screen, process):
        await screen.shows(f"AGENT_SECRET={SECRET}", START_SECONDS)
        await screen.shows("lead> ")
        screen.press(":status\r")
        await screen.shows("the lead has not written yet")
        screen.press("Tell me more\r")
        await screen.shows("turn: 1 text handed over after 1,0")
        await screen.shows("agent: HTTP 200 in ")
        await screen.shows("agent> Hi Jane, you wrote: Tell me more")
        screen.press(":payload\r")
        await screen.shows('"combinedText": "Tell me more"')
        screen.press("My answer: yes, I do\r")
        await screen.shows("outcome: status 'qualified', homeowner = 'yes, I do'")
        await screen.shows("status: in_progress → qualified")
        screen.press(":status\r")
        await screen.shows("answer: homeowner = 'yes, I do'")
        screen.press("I want a human\r")
        await screen.shows("turn ended: the agent handed off: asked")
        await screen.shows("agent mode: off")
        screen.press(":mode on\r")
        await screen.shows("agent mode: on")
        screen.press(":new\r")
        await screen.shows("a new lead, +1415")
        screen.press("\x1b[A\x1b[A\x1b[A\x1b[A\r")  # the fourth last line again
        screen.press("sorry, not interested\r")
        await screen.shows("agent held: a person decides whether the lead has opted out; :release")
        screen.press(":release\r")
        await screen.shows("agent> Thanks for telling us!")
        screen.press(":what\r")
        await screen.shows(":what is no command; :help lists them")
        screen.press("First\r")
        await screen.shows("First\n")
        screen.press("half a li")  # what is being written stays when something happens
        await screen.shows("agent> Hi Jane, you wrote: First\nlead> half a li")
        screen.press("ne\r")
        await screen.shows("agent> Hi Jane, you wrote: half a line")
        screen.press("STOP\r")
        await screen.shows("service> Dev: You are unsubscribed")
        screen.press("\x03")  # Ctrl-C
        assert await asyncio.wait_for(process.wait(), END_SECONDS) == 0
    assert "Traceback" not in screen.text


async def test_lines_that_are_piped_in_are_a_conversation(desk: Desk) -> None:
    status, out = await desk.run(typed="Hello\n\nMy answer: yes\n:status\n:quit\nnever written\n")
    assert status == 0, out
    talk = [line for line in out.splitlines() if line.startswith(("lead> ", "agent> ", "answer: "))]
    assert talk == [
        "lead> Hello",
        "agent> Hi Jane, you wrote: Hello",
        "lead> My answer: yes",
        "agent> Noted!",
        "answer: homeowner = 'yes'",
    ]


SCRIPT = """
lead_fields: {firstName: Luis}
questionnaire: [{key: owner, question: "Do you own it?"}]
steps:
  - lead: [Hello, "Anybody?"]
    expect_reply: {equals: "Hi Luis, you wrote: Hello\\nAnybody?"}
    expect_status: in_progress
    expect_handoff: false
  - lead: "My answer: yes"
    expect_reply: noted
    expect_status: qualified
    expect_answers: {owner: {equals: yes}}
---
- lead: I want a human
  expect_reply: A colleague
  expect_handoff: true
  expect_status: follow_up
"""


async def test_a_script_that_fails_says_what_was_expected_and_ends_with_1(desk: Desk) -> None:
    script = "- lead: Hello\n  expect_reply: Goodbye\n  expect_status: qualified\n- lead: never written\n"
    begun_at = time.monotonic()
    status, out = await desk.run("--script", desk.script(f"{SCRIPT}---\n{script}"))
    assert status == 1
    assert [line for line in out.splitlines() if "failed" in line] == ["  step 1 failed:"], "the others pass"
    assert out.splitlines()[-8:] == [
        "  step 1 failed:",
        "    expects.reply",
        "      - expected: contains 'Goodbye'",
        "      + found:    'Hi Jane, you wrote: Hello'",
        "    expects.status",
        "      - expected: qualified",
        "      + found:    in_progress",
        "FAILED",
    ], out
    assert "never written" not in out
    assert time.monotonic() - begun_at < START_SECONDS


DEMO_AGENT = f"import uvicorn; from app.demo.agent import build_app; uvicorn.run(build_app({SECRET!r}), port=%d)"


async def test_the_scripts_that_come_along_pass_with_the_demo_agent_in_less_time_than_they_tell(desk: Desk) -> None:
    port = find_free_port()
    agent = await asyncio.create_subprocess_exec(sys.executable, "-c", DEMO_AGENT % port, cwd=ROOT)
    try:
        status, out = await Desk(desk.folder, f"http://127.0.0.1:{port}/").run(
            "--script", str(ROOT / "docs" / "examples" / "leads")
        )
    finally:
        await end(agent)
    assert (status, out.splitlines()[-1]) == (0, "passed"), out
    assert out.count("conversation ") == 20
    told_ms = sum(int(told.replace(",", "")) for told in re.findall(r"handed over after ([\d,]+) ms", out))
    assert told_ms > 150_000, "thirty windows of seven seconds"


async def test_an_agent_that_is_not_there_is_said_to_be_so(desk: Desk) -> None:
    nowhere = Desk(desk.folder, f"http://127.0.0.1:{find_free_port()}/")
    status, out = await nowhere.run("--script", nowhere.script("- lead: Hello\n  expect_reply: Hi\n  timeout: 4\n"))
    assert status == 1
    assert "agent: no answer after" in out
    assert "the connection was refused" in out
    assert "agent retrying: attempt 1 failed" in out


async def test_a_second_one_is_told_that_the_folder_is_taken(desk: Desk) -> None:
    folder = desk.folder / "data" / "dev"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "dev.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, out = await desk.run()
    assert (status, f"another dev runs in {folder}" in out) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "env", "says"),
    [
        (("--agent", "nowhere"), {}, "--agent: must be an http or https URL"),
        (("--agent", "ftp://a/"), {}, "--agent: must be an http or https URL"),
        (("--agent", "http://127.0.0.1:9/", "--script", "none.yaml"), {}, "--script: none.yaml: No such file"),
        (("--agent", "http://127.0.0.1:9/", "--secret-file", "pyproject.toml"), {}, "--secret-file: pyproject.toml"),
        (
            ("--agent", "http://127.0.0.1:9/"),
            {
                "ENVIRONMENT": "production",
                "DATABASE_URL": "postgresql://db/ours",
                "REDIS_URL": "redis://cache/0",
                "PUBLIC_BASE_URL": "https://sms.example.com",
                "METRICS_TOKEN": "t",
                "SECRET_KEYS": "A" * 43,
            },
            "refused in production",
        ),
    ],
    ids=["no-url", "other-scheme", "no-script", "no-secret", "production"],
)
async def test_what_cannot_be_run_is_refused_before_anything_starts(
    tmp_path: Path, arguments: tuple[str, ...], env: dict[str, str], says: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "dev", *arguments,
        env=Desk(tmp_path, "").env | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    _, err = await finish(process)
    assert (process.returncode, says in err) == (2, True), err
    assert not (tmp_path / "data").exists()
