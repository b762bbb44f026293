"""A tenant with many rows arrives in a cell that had none."""

from app.operations import tenant_moves
from app.resources import Resources
from app.store.engine import Database
from tests.deploy.test_moving import TEXTS_PER_THREAD, fill
from tests.makers import Tenant
from tests.test_cells import ignore, other

__all__ = ["other"]
THREADS = 60
COUNT_KNOWN_SQL = "SELECT reltuples::int FROM pg_class WHERE oid = 'messages'::regclass"


async def test_the_planner_learns_of_the_rows_before_they_are_committed(
    tenant: Tenant, resources: Resources, other: Database
) -> None:
    """Or each check of a foreign key reads all rows of the tenant: a copy takes the square of its time."""
    number = (await tenant.number())["phoneNumber"]
    await fill(resources.database, tenant.tenant_id, number, THREADS)
    async with other.system_tx() as tx:
        assert await tx.fetch_value(COUNT_KNOWN_SQL) <= 0
    await tenant_moves.move_tenant(resources.database, other, resources.seal, tenant.tenant_id, ignore)
    async with other.system_tx() as tx:
        assert 0 < await tx.fetch_value(COUNT_KNOWN_SQL) <= THREADS * TEXTS_PER_THREAD
