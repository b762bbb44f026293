"""How AI agents are spoken to: the payload, its signature, and what an answer means. Pure."""
