"""Tenants, their API keys, and the people who sign in."""

import argparse
import re
import sys

from app.access import keys, passwords
from app.cli.results import CommandError, require_tenant, run_and_print
from app.commands import api_keys, tenants
from app.domain import ids
from app.domain.callers import Caller
from app.settings import Settings
from app.store import tenants as tenants_store
from app.store.engine import Database

MAX_NAME_LENGTH, MAX_EMAIL_LENGTH = 200, 320
EMAIL_PATTERN = re.compile(r"[^@\s]+@[^@\s]+")


def create_tenant(configuration: Settings, options: argparse.Namespace) -> int:
    name = _check_name(options.name)

    async def create_all(database: Database) -> dict[str, str]:
        new_key = keys.make(configuration.cell)
        async with database.system_tx() as tx:
            tenant_id = await tenants.add(tx, name)
            caller = Caller(tenant_id, "service", "service", "admin")
            await api_keys.add(tx, caller, "First key", "admin", None, new_key.prefix, new_key.digest)
        return {"tenantId": tenant_id, "apiKey": new_key.full_key}

    return run_and_print(configuration, create_all)


def _check_name(name: str) -> str:
    """The name, by the API's rule for names. Raises `CommandError`."""
    if not name.strip() or len(name) > MAX_NAME_LENGTH:
        raise CommandError(f"--name must have 1 to {MAX_NAME_LENGTH} characters")
    return name


def create_key(configuration: Settings, options: argparse.Namespace) -> int:
    name = _check_name(options.name)

    async def create_row(database: Database) -> dict[str, str]:
        new_key = keys.make(configuration.cell)
        caller = Caller(options.tenant, "service", "service", "admin")
        await require_tenant(database, options.tenant)
        async with database.system_tx() as tx:
            row = await api_keys.add(tx, caller, name, options.scope, options.agent, new_key.prefix, new_key.digest)
        return {"keyId": row.key_id, "apiKey": new_key.full_key}

    return run_and_print(configuration, create_row)


def create_user(configuration: Settings, options: argparse.Namespace) -> int:
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise CommandError("there is no password on stdin")
    email = options.email.strip()
    if len(email) > MAX_EMAIL_LENGTH or not EMAIL_PATTERN.fullmatch(email):
        raise CommandError("--email is not an e-mail address")

    async def create_row(database: Database) -> dict[str, str]:
        await require_tenant(database, options.tenant)
        password_hash = await passwords.hash_password(password)
        async with database.system_tx() as tx:
            user_id = await tenants_store.add_user(
                tx, options.tenant, ids.make("user"), email, password_hash, options.role
            )
        if user_id is None:
            raise CommandError("a person with this e-mail address exists already")
        return {"userId": user_id}

    return run_and_print(configuration, create_row)
