"""The TypeScript client: its types, and its story against the service."""

import asyncio
from pathlib import Path

import pytest

from tests.document.node import MODULES, NODE, Unreachable, install_tools, run_tool
from tests.document.test_generated import run
from tests.service import Api
from tests.world import World, agent, carrier, idle_world, working, world

__all__ = ["agent", "carrier", "idle_world", "working", "world"]
HERE = Path(__file__).parent


async def test_it_sends_reads_repeats_and_verifies(world: World, api: Api) -> None:
    given = {"API_URL": api.url, "API_KEY": world.tenant.key}
    assert (await asyncio.to_thread(run, NODE, HERE / "story.mts", **given)).strip() == "told"


def test_its_story_and_its_agent_have_sound_types() -> None:
    try:
        install_tools()
    except Unreachable as error:
        pytest.skip(str(error))
    checked = run_tool("tsc", "--project", HERE, "--typeRoots", MODULES / "@types")
    assert checked.returncode == 0, checked.stdout
