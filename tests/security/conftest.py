"""The same whole world as the stories play in."""

from tests.web.conftest import sam, stranger
from tests.world import agent, carrier, idle_world, working, world

__all__ = ["agent", "carrier", "idle_world", "sam", "stranger", "working", "world"]
