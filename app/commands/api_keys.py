"""API keys: add, change, revoke. `access.keys` makes the key itself."""

from app.commands.directory import Fields, add_row, change_row, require_found, require_known, require_not_null
from app.domain.callers import Caller
from app.domain.problems import Invalid
from app.domain.words import Scope
from app.store import api_keys, directory
from app.store.engine import Tx
from app.store.schema import ApiKey


async def add(
    tx: Tx,
    caller: Caller,
    name: str,
    scope: Scope,
    sms_agent_id: str | None,
    prefix: str,
    digest: bytes,
    per_second: int | None = None,
) -> ApiKey:
    """Adds a key. A key with scope `agent` is bound to one SMS agent, all others to none. Raises
    `Invalid`."""
    if (scope == "agent") != (sms_agent_id is not None):
        fault = "is required with scope agent" if scope == "agent" else "needs scope agent"
        raise Invalid(details=[f"smsAgentId: {fault}"])
    values = {
        "name": name,
        "scope": scope,
        "sms_agent_id": sms_agent_id,
        "prefix": prefix,
        "digest": digest,
        "requests_per_second": per_second,
    }
    await require_known(tx, caller.tenant_id, ApiKey, values)
    return await add_row(tx, caller, ApiKey, "key", values)


async def change(tx: Tx, caller: Caller, key_id: str, fields: Fields) -> ApiKey:
    """Changes name and limit, where given. Raises `Invalid`, `NotFound`."""
    require_found(await directory.lock(tx, ApiKey, caller.tenant_id, key_id, api_keys.NOT_REVOKED))
    require_not_null(ApiKey, fields)
    return await change_row(tx, caller, ApiKey, key_id, fields)


async def revoke(tx: Tx, caller: Caller, key_id: str) -> ApiKey:
    """Revokes the key. Raises `NotFound`, also if it is revoked already."""
    return require_found(await api_keys.revoke(tx, caller.tenant_id, key_id))
