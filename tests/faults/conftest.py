"""Fixtures of the fault suite: the world, workers to kill, an island."""

from tests.faults.crew import crew, rng, spawn
from tests.faults.island import harbour, island
from tests.world import agent, carrier, idle_world, working, world

__all__ = [
    "agent", "carrier", "crew", "harbour", "idle_world", "island", "rng", "spawn", "working",
    "world",
]  # fmt: skip
