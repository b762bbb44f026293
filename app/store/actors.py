"""The names of those who did something, as records name them: `person:…`, `key:…`, `agent:…`, `lead`, `carrier`
or `service`."""

from collections.abc import Collection
from dataclasses import dataclass

from app.store.engine import ReadTx


def actor_name_sql(row: str) -> str:
    """The name of the actor of `row`, an alias with `tenant_id` and `actor`: a person's e-mail, the name of a
    key or an agent. NULL: it has none, or is gone."""
    id_sql = f"split_part({row}.actor, ':', 2)"
    return f"""CASE split_part({row}.actor, ':', 1)
        WHEN 'person' THEN (SELECT n.email FROM users n WHERE n.tenant_id = {row}.tenant_id AND n.user_id = {id_sql})
        WHEN 'key' THEN (SELECT n.name FROM api_keys n WHERE n.tenant_id = {row}.tenant_id AND n.key_id = {id_sql})
        WHEN 'agent' THEN (SELECT n.name FROM sms_agents n
                           WHERE n.tenant_id = {row}.tenant_id AND n.sms_agent_id = {id_sql}) END"""


@dataclass(frozen=True, slots=True)
class NamedActor:
    actor: str
    name: str | None


GET_NAMES_SQL = f"""
SELECT a.actor, coalesce(u.name, {actor_name_sql("a")}) AS name
FROM (SELECT $1::text AS tenant_id, unnest($2::text[]) AS actor) a
LEFT JOIN users u ON u.tenant_id = a.tenant_id AND 'person:' || u.user_id = a.actor
"""


async def get_names(read: ReadTx, tenant_id: str, actors: Collection[str]) -> dict[str, str]:
    """The names of those actors that have one, as colleagues know them: people by the name that they chose, or
    their e-mail."""
    named_actors = await read.fetch(NamedActor, GET_NAMES_SQL, tenant_id, list(actors))
    return {named_actor.actor: named_actor.name for named_actor in named_actors if named_actor.name}
