"""API keys: add, change, revoke. `access.keys` makes the key itself."""

from app.commands.directory import (
    Fields,
    merge_fields,
    require_found,
    require_known,
    require_not_null,
)
from app.domain import ids
from app.domain.callers import Caller
from app.domain.problems import Invalid
from app.domain.words import Scope
from app.store import api_keys
from app.store.engine import Row, Tx


async def add(
    tx: Tx,
    caller: Caller,
    name: str,
    scope: Scope,
    sms_agent_id: str | None,
    prefix: str,
    digest: bytes,
    per_second: int | None = None,
) -> Row:
    """Adds a key. A key with scope `agent` is bound to one SMS agent, all others to none. Raises
    `Invalid`."""
    if (scope == "agent") != (sms_agent_id is not None):
        fault = "is required with scope agent" if scope == "agent" else "needs scope agent"
        raise Invalid(details=[f"smsAgentId: {fault}"])
    await require_known(
        tx,
        caller.tenant_id,
        {"sms_agent_id": sms_agent_id},
        {"sms_agent_id": ("smsAgentId", "agent")},
    )
    key_id = ids.make("key")
    return await api_keys.add(tx, caller.tenant_id, key_id, name, scope, sms_agent_id, prefix, digest, per_second)


async def change(tx: Tx, caller: Caller, key_id: str, fields: Fields) -> Row:
    """Changes name and limit, where given. Raises `Invalid`, `NotFound`."""
    row = require_found(await api_keys.lock(tx, caller.tenant_id, key_id))
    require_not_null(fields, {"name": "name"})
    new_row = merge_fields(row, fields)
    limit = new_row["requests_per_second"]
    return require_found(await api_keys.change(tx, caller.tenant_id, key_id, new_row["name"], limit))


async def revoke(tx: Tx, caller: Caller, key_id: str) -> Row:
    """Revokes the key. Raises `NotFound`, also if it is revoked already."""
    return require_found(await api_keys.revoke(tx, caller.tenant_id, key_id))
