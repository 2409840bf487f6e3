"""Edits as jobs of a product backend: several at a time, with progress, repetition and cancellation.

A job is its request and nothing else: keep it in a table, and after a crash submit it again, from whichever process.
What was finished of it is found, not done again.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from uuid import uuid4

from seamline.client import Client
from seamline.errors import Overloaded, QuotaExceeded, SeamlineError, ServiceUnavailable, StoreUnavailable
from seamline.rpc.logs import REQUEST_ID
from seamline.v1.editor_pb2 import EditVideoResult
from seamline.v1.media_pb2 import ArtifactRef, Progress

LOG = logging.getLogger(__name__)

LATER = (ServiceUnavailable, StoreUnavailable, Overloaded, QuotaExceeded)
"""What may be well in a while. Anything else is wrong with the job, and stays wrong."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One edit that somebody ordered."""

    name: str
    """Yours, to find it by."""
    video: ArtifactRef | str
    """An object in the store, or an https address that the editor may fetch."""
    edits: Mapping[str, float]
    """Strengths by name."""
    bundle: str = ""
    """Name of an installed bundle; empty for the default."""
    deliver_to: str = ""
    """An https address that the edited video is sent to; empty to leave it in the store."""


class Jobs:
    """Runs jobs against one editor.

    async with Client("editor:50051") as client:
        jobs = Jobs(client, on_progress=lambda job, progress: ...)
        result = await jobs.submit(Job(name="42", video="https://…", edits={"smile": 2.0}))
    """

    def __init__(
        self,
        client: Client,
        *,
        on_progress: Callable[[Job, Progress], None],
        at_once: int = 4,
        deadline_seconds: float = 4 * 3600.0,
        pauses_seconds: tuple[float, ...] = (60.0, 600.0),
    ) -> None:
        """Prepares; nothing runs before `submit`.

        Args:
            client: of the editor. It repeats calls that break, for a minute or so.
            on_progress: called at least once a second for every job at work.
            at_once: jobs that are with the editor at a time; the others wait here.
            deadline_seconds: for one call.
            pauses_seconds: what to wait before a job is tried again that failed because something was down or full.
        """
        self._client = client
        self._on_progress = on_progress
        self._room = asyncio.Semaphore(at_once)
        self._deadline = deadline_seconds
        self._pauses = pauses_seconds
        self._tasks: dict[str, asyncio.Task[EditVideoResult]] = {}

    def submit(self, job: Job) -> asyncio.Task[EditVideoResult]:
        """Starts a job; one that is under way already is returned as it is.

        The task raises SeamlineError, whose type, `field` and `metadata` say what is wrong, or CancelledError.
        """
        task = self._tasks.get(job.name)
        if task is None:
            task = self._tasks[job.name] = asyncio.create_task(self._run(job))
            task.add_done_callback(lambda _: self._tasks.pop(job.name))
        return task

    def cancel(self, name: str) -> bool:
        """Ends a job: all services stop within one optimiser step. False if there is no such job under way."""
        task = self._tasks.get(name)
        return task is not None and task.cancel()

    async def _run(self, job: Job) -> EditVideoResult:
        REQUEST_ID.set(uuid4().hex)  # of this task: goes into every log line of the services that work on the job
        LOG.info("job %s: request %s", job.name, REQUEST_ID.get())
        for pause in self._pauses:
            try:
                return await self._attempt(job)
            except LATER as error:
                wait = max(pause, getattr(error, "retry_seconds", None) or 0.0)
                LOG.warning("job %s: %s; again in %.0f s", job.name, error, wait)
            await asyncio.sleep(wait)
        return await self._attempt(job)

    async def _attempt(self, job: Job) -> EditVideoResult:
        events = self._client.edit_video(
            job.video, job.edits, bundle=job.bundle, deliver_to=job.deliver_to, timeout=self._deadline
        )
        # Closed at once when this task is cancelled, which is what cancels the call.
        async with self._room, aclosing(events):
            async for event in events:
                if isinstance(event, EditVideoResult):
                    return event
                self._on_progress(job, event)
        raise SeamlineError("the editor ended its stream without a result")
