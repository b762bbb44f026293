"""What PostgreSQL puts off, so that few slices show it: dead rows, words that wait for their index, checkpoints."""

from collections.abc import Awaitable, Callable

import asyncpg

from tests.bench.figures import ROUNDS, Figure
from tests.bench.load import Run
from tests.bench.processor import Cost, ProcessTimes, cost_figure
from tests.bench.servers import Bench


async def do_later_work(bench: Bench) -> None:
    connection = await asyncpg.connect(bench.database_url)
    try:
        await connection.execute("VACUUM")
        await connection.execute("CREATE DATABASE bench_checkpoint")
        await connection.execute("DROP DATABASE bench_checkpoint")  # makes one; CHECKPOINT is for superusers
    finally:
        await connection.close()


async def measure_all_work(bench: Bench, name: str, item: str, run_slice: Callable[[], Awaitable[Run]]) -> Figure:
    """What an item costs when nothing is put off: nothing waits at the beginning, and nothing at the end."""
    await do_later_work(bench)
    before = ProcessTimes.read()
    items = sum([(await run_slice()).cost.items for _ in range(ROUNDS)])
    await do_later_work(bench)
    return cost_figure(f"{name}, nothing put off", item, [Cost(items, ProcessTimes.read().since(before))])
