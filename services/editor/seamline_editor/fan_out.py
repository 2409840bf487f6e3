"""Runs many streams side by side, and sums up their progress."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from seamline.v1.media_pb2 import Progress

Stream = Callable[[], AsyncGenerator[Any, None]]


async def fan_out(streams: Sequence[Stream], limit: int) -> AsyncGenerator[tuple[int, Any], None]:
    """Yields (index, event) of all streams as they come.

    Args:
        streams: each is opened when its turn comes.
        limit: how many run at a time.

    Raises:
        Exception: the first that a stream raises; the others are cancelled. So are all when the iterator is
            closed.
    """
    events: asyncio.Queue[tuple[int, Any] | None] = asyncio.Queue()
    waiting = iter(enumerate(streams))

    async def work() -> None:
        for index, stream in waiting:
            async with aclosing(stream()) as running:
                async for event in running:
                    events.put_nowait((index, event))

    workers = [asyncio.ensure_future(work()) for _ in range(min(limit, len(streams)))]
    for worker in workers:
        worker.add_done_callback(lambda _: events.put_nowait(None))
    try:
        for _ in workers:
            while (event := await events.get()) is not None:
                yield event
            for worker in workers:
                if worker.done():
                    worker.result()  # raises what the worker raised
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


class SummedProgress:
    """One progress of many ranges that are in different steps at a time."""

    def __init__(self, frames: Sequence[int]) -> None:
        """Starts.

        Args:
            frames: number of frames of each range; one that has not reported yet is taken to have as much to
                do per frame as the others.
        """
        self._frames = list(frames)
        self._latest: dict[str, dict[int, Progress]] = {}

    def add(self, index: int, progress: Progress) -> Progress:
        """The progress of all ranges in the step that range `index` reports."""
        ranges = self._latest.setdefault(progress.step, {})
        ranges[index] = progress
        total = sum(latest.total for latest in ranges.values())
        heard = sum(self._frames[number] for number in ranges)
        return Progress(
            stage=progress.stage,
            step=progress.step,
            done=sum(latest.done for latest in ranges.values()),
            total=round(total * sum(self._frames) / heard) if heard else total,
            figures=progress.figures,
        )
