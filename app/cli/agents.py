"""For those who build agents: an agent to begin with, and `dev`."""

import argparse
import shutil
import sys
from pathlib import Path

import httpx

from app.cli.results import CommandError
from app.documents import get_folder
from app.settings import ConfigurationError, Settings

EXAMPLE_URL = "http://127.0.0.1:9000/"
"""Where the examples listen."""


def write_agent(_: Settings, options: argparse.Namespace) -> int:
    """Writes one of the examples of the documents, and says what to do next."""
    name = "agent.ts" if options.typescript else "openai_agent.py" if options.openai else "agent.py"
    file = options.file or Path("agent.ts" if options.typescript else "agent.py")
    try:
        with file.open("x") as out:
            out.write((get_folder() / "examples" / name).read_text())
    except FileExistsError:
        raise CommandError(f"{file} exists; name another file") from None
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from None
    runtime = "node" if options.typescript else "python3"
    more = " OPENAI_API_KEY=…" if options.openai else ""
    print(f"""{file} is written. Next, in two terminals:

  {_get_own_command()} dev --agent {EXAMPLE_URL}     # prints AGENT_SECRET
  AGENT_SECRET=whsec_…{more} {runtime} {file}

Then write as the lead in the first one.""")
    return 0


def _get_own_command() -> str:
    """How this program was called: what is printed shall work when it is pasted."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{sys.executable} -m app"
    return called.name if shutil.which(called.name) == str(called) else str(called)


def run_dev(configuration: Settings, options: argparse.Namespace) -> int:
    if configuration.is_production:
        raise ConfigurationError("dev is for trying agents, and is refused in production")
    _require_url(options.agent)
    from app.dev.script import ScriptError, read_scripts
    from app.embedded import EmbeddedError
    from app.operations import dev

    try:
        if options.script:
            conversations = read_scripts(options.script)
            return dev.run_script(configuration, options.agent, options.secret_file, conversations)
        return dev.run_terminal(configuration, options.agent, options.secret_file)
    except ScriptError as error:
        raise ConfigurationError(f"--script: {error}") from None
    except EmbeddedError as error:
        raise CommandError(str(error)) from None


def run_lead(configuration: Settings, options: argparse.Namespace) -> int:
    if configuration.is_production:
        raise ConfigurationError("lead writes to the simulated carrier, and is refused in production")
    from app.operations import lead

    return lead.run_lead(configuration, options.lead)


def _require_url(url: str) -> None:
    try:
        parsed_url = httpx.URL(url)
    except httpx.InvalidURL:
        parsed_url = httpx.URL()
    if parsed_url.scheme not in ("http", "https") or not parsed_url.host:
        raise ConfigurationError("--agent: must be an http or https URL, such as http://127.0.0.1:9000/")
