"""Runs the work of a stage call in a thread, while the event loop streams progress and answers others."""

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import grpc

from seamline.errors import Overloaded
from seamline.job import Job
from seamline.rpc.metrics import CAPACITY, REFUSED, RUNNING
from seamline.v1.media_pb2 import Progress

R = TypeVar("R")

HEARTBEAT_SECONDS = 0.9
"""A stage that has nothing new to say repeats itself, so that its caller hears it at least once a second."""

MAX_PENDING = 32
"""Messages kept for a caller that reads slowly; beyond that the oldest are dropped, never the result."""


class StageExecutor:
    """The worker threads of one replica; a call that finds none free is refused, not queued.

    Refusing lets the caller's balancer try another replica at once, where a queue would hide from it how
    loaded this one is. A thread counts as taken until its work has really stopped, cancelled or not.
    """

    def __init__(self, max_concurrent_stages: int) -> None:
        self._limit = max_concurrent_stages
        self._free = threading.BoundedSemaphore(max_concurrent_stages)
        self._threads = ThreadPoolExecutor(max_concurrent_stages, thread_name_prefix="stage")
        CAPACITY.set(max_concurrent_stages)

    def submit(self, job: Job, work: Callable[[Job], R]) -> "Future[R]":
        """Starts `work(job)` in a thread.

        Raises:
            Overloaded: every thread is taken.
        """
        if not self._free.acquire(blocking=False):
            REFUSED.labels(job.stage).inc()
            raise Overloaded(
                f"this replica already runs {self._limit} stage calls (SEAMLINE_MAX_CONCURRENT_STAGES); "
                "try again, another replica may be free",
                limit=self._limit,
            )
        RUNNING.labels(job.stage).inc()
        future = self._threads.submit(contextvars.copy_context().run, _contained, work, job)
        future.add_done_callback(lambda _: self._release(job.stage))
        return future

    def _release(self, stage: str) -> None:
        RUNNING.labels(stage).dec()
        self._free.release()


async def run_stage(
    context: grpc.aio.ServicerContext,
    stage: str,
    work: Callable[[Job], R],
    executor: StageExecutor,
) -> AsyncGenerator[Progress | R, None]:
    """Runs `work(job)` in a thread and yields its progress, at least once a second, then what it returns.

    When the call ends early, because its caller cancelled, vanished or set a deadline that passed, the job is
    cancelled: the thread stops at its next `Job.check`, that is within one optimiser step.

    Args:
        context: the call; only its end is watched.
        stage: align, invert, stitch, score or mux.
        work: domain code; it sees neither gRPC nor the event loop.
        executor: the replica's threads.

    Raises:
        Overloaded: no thread is free.
        Exception: whatever `work` raised; `seamline.rpc.calls` makes a status of it.
    """
    loop = asyncio.get_running_loop()
    news, pending = asyncio.Event(), deque[Progress](maxlen=MAX_PENDING)
    cancelled = threading.Event()
    context.add_done_callback(lambda _: cancelled.set())  # pyright: ignore[reportArgumentType]

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed: the process is ending
            loop.call_soon_threadsafe(news.set)

    def report(progress: Progress) -> None:
        pending.append(progress)
        wake()

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
