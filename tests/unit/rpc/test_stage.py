"""A replica's threads and queue, without a server; tests/integration/test_admission.py has them behind one."""

import asyncio

from seamline.job import Job
from seamline.rpc.stage import StageExecutor
from tests.asynchronous import asynchronous


async def use(executor: StageExecutor) -> None:
    """Works for a moment in a thread that must be free at once, or be the caller's already."""
    assert await asyncio.wrap_future(executor.submit(Job("align"), lambda job: "done")) == "done"


async def waits(executor: StageExecutor):
    """A call that has to wait."""
    turn = executor.turn("align")
    await anext(turn)
    return turn


@asynchronous
async def test_a_call_that_ends_as_a_thread_becomes_its_own_passes_it_on() -> None:
    executor = StageExecutor(1, 1)
    assert [None async for _ in executor.turn("align")] == []
    first = await waits(executor)
    await use(executor)  # the thread is the first's from here on, which has not heard of it yet
    second = await waits(executor)
    await first.aclose()
    assert [None async for _ in second] == []
    await use(executor)
    assert [None async for _ in executor.turn("align")] == []
