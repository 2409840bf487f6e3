"""Runs the work of a stage call in a thread, while the event loop streams progress and answers others."""

import asyncio
import contextvars
import threading
import time
from asyncio import FIRST_COMPLETED
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing, suppress
from typing import TypeVar

import grpc

from seamline.errors import Overloaded
from seamline.job import Job
from seamline.rpc.calls import DRAINING
from seamline.rpc.metrics import CAPACITY, QUEUE_CAPACITY, QUEUE_SECONDS, QUEUED, REFUSED, RUNNING
from seamline.v1.media_pb2 import Progress

R = TypeVar("R")

HEARTBEAT_SECONDS = 0.9
"""A stage that has nothing new to say repeats itself, so that its caller hears it at least once a second."""

MAX_PENDING = 32
"""Messages kept for a caller that reads slowly; beyond that the oldest are dropped, never the result."""


QUEUE_KEY = "x-seamline-queue"
"""Metadata: a call with the value "no" is rather refused than queued, since another replica may be idle."""


class StageExecutor:
    """The worker threads of one replica, and the few calls that wait for one; a call beyond these is refused.

    The queue is short: it only has to bridge the moment between the end of one call and the arrival of the next.
    Refusing lets a caller go to another replica at once, where a long queue would hold the call while that one idles.
    A thread counts as taken until its work has really stopped, cancelled or not.

    Everything but the work happens in the event loop.
    """

    def __init__(self, max_concurrent_stages: int, queue: int = 0) -> None:
        """Makes the threads.

        Args:
            max_concurrent_stages: calls that work at a time.
            queue: calls that may wait.
        """
        self._limit, self._queue = max_concurrent_stages, queue
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._threads = ThreadPoolExecutor(max_concurrent_stages, thread_name_prefix="stage")
        CAPACITY.set(max_concurrent_stages)
        QUEUE_CAPACITY.set(queue)

    async def turn(self, stage: str, *, may_queue: bool = True) -> AsyncGenerator[None, None]:
        """Ends when a thread is the caller's, who must `submit` at once; yields every second while there is none.

        Args:
            stage: for the metrics.
            may_queue: wait for a thread, if there is a place; or be refused unless one is free.

        Raises:
            Overloaded: every thread and every place in the queue is taken, or the server is told to stop.
        """
        start = time.monotonic()
        if self._running < self._limit:
            self._running += 1
        elif may_queue and len(self._waiting) < self._queue:
            QUEUED.labels(stage).inc()
            try:
                async with aclosing(self._wait(stage)) as waiting:
                    async for _ in waiting:
                        yield
            finally:
                QUEUED.labels(stage).dec()
        else:
            REFUSED.labels(stage, "full" if may_queue else "busy").inc()
            raise Overloaded(
                f"this replica already runs {self._limit} stage calls and {len(self._waiting)} wait "
                "(SEAMLINE_MAX_CONCURRENT_STAGES, SEAMLINE_QUEUE); try again, another replica may be free",
                limit=self._limit,
            )
        QUEUE_SECONDS.labels(stage).observe(time.monotonic() - start)

    async def _wait(self, stage: str) -> AsyncGenerator[None, None]:
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        draining = asyncio.ensure_future((DRAINING.get() or asyncio.Event()).wait())
        try:
            while not place.done():
                if draining.done():
                    REFUSED.labels(stage, "draining").inc()
                    raise Overloaded("this replica is told to stop; try again, another replica may be free")
                yield
                await asyncio.wait({place, draining}, timeout=HEARTBEAT_SECONDS, return_when=FIRST_COMPLETED)
        except BaseException:
            self._leave(place)
            raise
        finally:
            draining.cancel()

    def submit(self, job: Job, work: Callable[[Job], R]) -> "Future[R]":
        """Starts `work(job)` in the thread that a `turn` has ended with."""
        RUNNING.labels(job.stage).inc()
        loop = asyncio.get_running_loop()
        future = self._threads.submit(contextvars.copy_context().run, _contained, work, job)

        def release() -> None:
            RUNNING.labels(job.stage).dec()
            self._pass_on()

        future.add_done_callback(lambda _: _call_in(loop, release))
        return future

    def _leave(self, place: "asyncio.Future[None]") -> None:
        """Gives up a place in the queue, or the thread that it has just become."""
        if place.done():
            self._pass_on()
        else:
            self._waiting.remove(place)

    def _pass_on(self) -> None:
        """Hands a thread that is free to the call that has waited longest."""
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._running -= 1


async def run_stage(
    context: grpc.aio.ServicerContext,
    stage: str,
    work: Callable[[Job], R],
    executor: StageExecutor,
) -> AsyncGenerator[Progress | R, None]:
    """Runs `work(job)` in a thread and yields its progress, at least once a second, then what it returns.

    While it waits for a thread, the step is "queue".

    When the call ends early, because its caller cancelled, vanished or set a deadline that passed, the job is
    cancelled: the thread stops at its next `Job.check`, that is within one optimiser step.

    Args:
        context: the call; its end is watched, and its metadata may say that it is not to be queued.
        stage: align, invert, stitch, score or mux.
        work: domain code; it sees neither gRPC nor the event loop.
        executor: the replica's threads.

    Raises:
        Overloaded: no thread is free, and too many calls wait for one.
        Exception: whatever `work` raised; `seamline.rpc.calls` makes a status of it.
    """
    loop = asyncio.get_running_loop()
    news, pending = asyncio.Event(), deque[Progress](maxlen=MAX_PENDING)
    cancelled = threading.Event()
    context.add_done_callback(lambda _: cancelled.set())  # pyright: ignore[reportArgumentType]

    def wake() -> None:
        _call_in(loop, news.set)

    def report(progress: Progress) -> None:
        pending.append(progress)
        wake()

    may_queue = dict(context.invocation_metadata() or ()).get(QUEUE_KEY) != "no"
    async with aclosing(executor.turn(stage, may_queue=may_queue)) as waiting:
        async for _ in waiting:
            yield Progress(stage=stage, step="queue")
    future = executor.submit(Job(stage, on_progress=report, cancelled=cancelled), work)
    future.add_done_callback(lambda _: wake())
    try:
        latest = Progress(stage=stage, step="start")
        yield latest
        finished = False
        while not finished:
            silent = await _silent(news)
            finished = future.done()  # asked before draining, so that nothing reported earlier is left behind
            if silent and not finished:
                yield latest
            while pending:
                latest = pending.popleft()
                yield latest
        yield future.result()
    finally:
        cancelled.set()


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """Makes a call in the loop's thread, from any."""
    with suppress(RuntimeError):  # the loop is closed: the process is ending
        loop.call_soon_threadsafe(call)


async def _silent(news: asyncio.Event) -> bool:
    """Waits for news, and says whether none came in time."""
    try:
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            await news.wait()
    except TimeoutError:
        return True
    news.clear()
    return False


def _contained(work: Callable[[Job], R], job: Job) -> R:
    """Runs the work; a library that calls sys.exit() in it fails the call, not the service."""
    try:
        return work(job)
    except (SystemExit, KeyboardInterrupt) as stop:
        raise RuntimeError(f"{job.stage} tried to end the process ({stop!r})") from stop
