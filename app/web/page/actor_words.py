"""Who did something, in words."""

from collections.abc import Collection

from app.domain.callers import get_author
from app.store import actors
from app.store.engine import ReadTx

WORDS_BY_KIND = {
    "person": "A person",
    "key": "API",
    "agent": "AI agent",
    "carrier": "The carrier",
    "service": "The service",
}


async def describe_actors(
    read: ReadTx, tenant_id: str, recorded_actors: Collection[str], lead_name: str | None
) -> dict[str, str]:
    """Who they are, by what is recorded of them."""
    authors = {actor: get_author(actor) for actor in recorded_actors}
    names = await actors.get_names(read, tenant_id, set(authors.values())) if authors else {}
    words = WORDS_BY_KIND | {"lead": lead_name or "The lead"}
    return {actor: _describe_author(author, names.get(author), words) for actor, author in authors.items()}


def _describe_author(author: str, name: str | None, words: dict[str, str]) -> str:
    kind = author.partition(":")[0]
    if name is None:
        return words.get(kind, author)
    return name if kind == "person" else f"{words[kind]} {name}"
