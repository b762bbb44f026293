"""The TypeScript client: its types, and its story against the service."""

import asyncio
from pathlib import Path

import pytest

from tests.document.node import FOLDER, MODULES, NODE, Unreachable, install_tools, run_tool
from tests.document.test_generated import run
from tests.service import Api
from tests.world import World, agent, carrier, idle_world, working, world

__all__ = ["agent", "carrier", "idle_world", "working", "world"]
HERE, CLIENT = Path(__file__).parent, FOLDER.parents[1] / "clients" / "typescript"


async def test_it_sends_reads_repeats_and_verifies(world: World, api: Api) -> None:
    given = {"API_URL": api.url, "API_KEY": world.tenant.key}
    assert (await asyncio.to_thread(run, NODE, HERE / "story.mts", **given)).strip() == "told"


@pytest.mark.parametrize("project", [CLIENT, HERE], ids=["client", "tests"])
def test_its_types_are_sound_and_it_can_be_built(project: Path, tmp_path: Path) -> None:
    try:
        install_tools()
    except Unreachable as error:
        pytest.skip(str(error))
    options = ("--typeRoots", MODULES / "@types", "--outDir", tmp_path)
    checked = run_tool("tsc", "--project", project, *options)
    assert checked.returncode == 0, checked.stdout
    built = {file.name for file in tmp_path.iterdir()}
    assert built == set() if project is HERE else {"index.js", "index.d.ts", "client.js", "agent.js"} < built
