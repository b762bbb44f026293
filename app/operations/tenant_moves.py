"""A tenant moves to another cell: most of its rows while it is served, the rest while it waits.

The copy is one transaction of the target, so nobody sees half a tenant. Before the rest is copied, the tenant's brake
is set, so that no text is on its way to a carrier. The copy releases it, so from its commit on the target serves the
tenant. Only then are the rows of the source deleted, which takes longer than anybody should wait; there the brake stays
set to the end, so that no text is sent twice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from app.access.sealing import Seal
from app.operations.tenants import (
    NO_TENANT,
    SNAPSHOT_SQL,
    TenantStays,
    build_header,
    require_equal,
    stay_when_busy,
    store_tenant,
)
from app.store import audit, brakes, late_rows, tenant_rows
from app.store import tenants as tenants_store
from app.store.clock import AT_ONCE, OUTBOX_HINT
from app.store.connections import CommitLost, loop_time
from app.store.engine import Database, Tx
from app.store.late_rows import Start
from app.store.schema import Tenant
from app.store.tenant_rows import RowWriter, Sums

REASON = "The organization moves to another installation."
LEFT = "the tenant has moved, but its rows are still here and nothing sends them: run `tenant delete` here"
UNKNOWN = "perhaps the tenant has moved: if the other cell has it, run `tenant delete` here; if not, move it again"
ON_THEIR_WAY = "texts of the tenant are still on their way to a carrier; try again"
MAX_WAIT_SECONDS = 40.0
MAX_LOCK_WAIT_SQL = "SET LOCAL lock_timeout = '5s'"


@dataclass(frozen=True, slots=True)
class Copied:
    """Most is copied; what comes now for the tenant waits while the rest is."""

    rows: int


@dataclass(frozen=True, slots=True)
class Served:
    """The target serves the tenant. `names`: what a balancer knows it by. `seconds`: how long its work waited."""

    names: Sequence[str]
    seconds: float


class TenantLeft(Exception):
    """The other cell has the tenant, or may have it, and its rows are still here. The message says what to do."""


async def move_tenant(
    source: Database, target: Database, seal: Seal, tenant_id: str, tell: Callable[[Copied | Served], Awaitable[None]]
) -> dict[str, int]:
    """Moves the tenant's rows to another cell; how many of each table. `tell` is called when the target serves
    the tenant, and the source has still to delete it. It must not raise then. Raises `TenantStays`, `TenantLeft`."""
    brake = _Brake(source, tenant_id)
    with stay_when_busy():
        try:
            return await _move_rows(source, target, seal, tenant_id, tell, brake)
        except CommitLost as error:
            raise TenantLeft(LEFT if brake.is_kept else UNKNOWN) from error
        except Exception as error:
            if brake.is_kept:
                raise TenantLeft(LEFT) from error
            raise


async def _move_rows(
    source: Database,
    target: Database,
    seal: Seal,
    tenant_id: str,
    tell: Callable[[Copied | Served], Awaitable[None]],
    brake: "_Brake",
) -> dict[str, int]:
    async with brake, source.system_tx() as late_tx:
        await tenant_rows.allow_long(late_tx)
        header = await build_header(late_tx, seal, tenant_id)
        async with store_tenant(target, seal, header) as (target_tx, writer):
            start, sums = await _copy_rows(source, target_tx, writer, tenant_id)
            await tell(Copied(sum(table_sum.row_count for table_sum in sums.values())))
            marks = await late_rows.find_marks(target_tx, tenant_id)
            await brake.set()
            stopped_at = await late_rows.lock_rows(late_tx, tenant_id)
            if await late_rows.has_claimed_texts(late_tx, tenant_id):  # by who had not seen the brake
                raise TenantStays(ON_THEIR_WAY)
            await _copy_late_rows(late_tx, target_tx, writer, tenant_id, start, sums, marks)
            names = await tenants_store.list_names(late_tx, tenant_id)
            await brake.release_copy(target_tx)
        brake.is_kept = True
        await tell(Served(names, loop_time() - stopped_at))
        await late_rows.cancel_waiting(late_tx)
        await late_rows.lock_figures(late_tx, tenant_id)
        return await tenant_rows.delete_rows(late_tx, tenant_id)


class _Brake:
    """Nothing of the tenant is sent while the rest is copied, also if the move is killed: then the next one takes
    its brake over. One that somebody else had set stays."""

    def __init__(self, source: Database, tenant_id: str) -> None:
        self._source, self._tenant_id = source, tenant_id
        self._is_ours = False
        self.is_kept = False
        """Whether it stays set here, because the other cell serves the tenant."""

    async def __aenter__(self) -> "_Brake":
        async with self._source.system_tx() as tx:
            if await tenants_store.get(tx, self._tenant_id) is None:
                raise TenantStays(NO_TENANT)
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._is_ours and not self.is_kept and not isinstance(error, CommitLost):
            async with self._source.system_tx() as tx:
                await self._release(tx)

    async def set(self) -> None:
        async with self._source.system_tx() as tx:
            await tx.execute(MAX_LOCK_WAIT_SQL)
            tenant = await tenants_store.lock(tx, self._tenant_id)
            self._is_ours = tenant is not None and (tenant.paused_at is None or tenant.paused_reason == REASON)
            if self._is_ours:
                await brakes.pause(tx, Tenant, self._tenant_id, self._tenant_id, REASON)
        await self._wait_for_claimed()

    async def _wait_for_claimed(self) -> None:
        """Texts that a worker has claimed are handed to their carrier."""
        end = loop_time() + MAX_WAIT_SECONDS
        while loop_time() < end:
            async with self._source.system_tx() as tx:
                if not await late_rows.has_claimed_texts(tx, self._tenant_id):
                    return
            await asyncio.sleep(0.05)
        raise TenantStays(ON_THEIR_WAY)

    async def release_copy(self, target_tx: Tx) -> None:
        """In the other cell, for when the copy is committed."""
        await audit.switch_on(target_tx)
        if self._is_ours:
            await self._release(target_tx)

    async def _release(self, tx: Tx) -> None:
        await brakes.resume(tx, Tenant, self._tenant_id, self._tenant_id)
        tx.hints[OUTBOX_HINT] = AT_ONCE


async def _copy_rows(source: Database, target_tx: Tx, writer: RowWriter, tenant_id: str) -> tuple[Start, Sums]:
    """Copies the tenant as it is at this moment, while it is served; which rows are late, and what was copied."""
    sums: Sums = {}
    async with source.system_tx() as tx:
        await tx.execute(SNAPSHOT_SQL)
        await tenant_rows.allow_long(tx)
        start = await late_rows.find_start(tx, tenant_id)
        async for batch in tenant_rows.read_rows(tx, tenant_id, sums, start.transaction):
            await writer.write(batch)
    await writer.finish()
    await require_equal(target_tx, tenant_id, sums)
    return start, sums


async def _copy_late_rows(
    source_tx: Tx,
    target_tx: Tx,
    writer: RowWriter,
    tenant_id: str,
    start: Start,
    sums: Sums,
    marks: Mapping[str, int],
) -> None:
    """Nothing of the tenant changes any more."""
    rows = await late_rows.read_late_rows(source_tx, tenant_id, start)
    await late_rows.store_late_rows(source_tx, target_tx, writer, tenant_id, sums, rows, marks)
    if different := await late_rows.find_different_rows(target_tx, tenant_id, rows):
        raise TenantStays(f"what was stored differs in {', '.join(different)}; try again")
