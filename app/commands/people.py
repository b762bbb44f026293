"""The people of a tenant: add, change role, switch off, reset password. Callers pass hashed
passwords."""

from app.commands.directory import change_row, lock_row, require_found
from app.domain import ids
from app.domain.callers import Caller
from app.domain.problems import AlreadyExists, Invalid
from app.domain.words import PersonRole
from app.store import access, directory, people, tenants
from app.store.engine import Tx
from app.store.schema import User


async def add(tx: Tx, caller: Caller, email: str, role: PersonRole, password_hash: str) -> str:
    """Adds a person; returns the id. Raises `AlreadyExists`, also for an e-mail of another tenant,
    because people sign in with the e-mail alone."""
    user_id = await tenants.add_user(tx, caller.tenant_id, ids.make("user"), email, password_hash, role)
    if user_id is None:
        raise AlreadyExists(details=["email: somebody has this e-mail already"])
    return user_id


async def change(tx: Tx, caller: Caller, user_id: str, role: PersonRole, active: bool) -> User:
    """Sets role and `active`. A person who is switched off is signed out at once. Raises `Invalid`
    if no admin would be left, or if callers switch off themselves; `NotFound`."""
    # Locks the tenant: two admins who demote each other at once must not both succeed.
    await tenants.lock(tx, caller.tenant_id)
    person = await lock_row(tx, caller, User, user_id)
    if not active and user_id == caller.actor:
        raise Invalid(details=["active: you cannot switch off yourself"])
    stays_admin = active and role == "admin"
    loses_admin = person.role == "admin" and not stays_admin
    if loses_admin and not await people.has_other_admins(tx, caller.tenant_id, user_id):
        raise Invalid(details=["role: the tenant must keep one admin"])
    if not active:
        await access.close_sessions(tx, caller.tenant_id, user_id)
    return await change_row(tx, caller, User, user_id, {"role": role, "active": active})


async def reset_password(tx: Tx, caller: Caller, user_id: str, password_hash: str) -> User:
    """Sets another password, and signs the person out everywhere. Raises `NotFound`."""
    person = require_found(await directory.get(tx, User, caller.tenant_id, user_id))
    await access.set_password_hash(tx, caller.tenant_id, user_id, password_hash)
    await access.close_sessions(tx, caller.tenant_id, user_id)
    return person
