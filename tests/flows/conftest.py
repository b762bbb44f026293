"""Stories play in a whole world."""

from tests.world import agent, carrier, idle_world, working, world

__all__ = ["agent", "carrier", "idle_world", "working", "world"]
