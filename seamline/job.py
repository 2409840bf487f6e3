"""One call of a stage, as domain code sees it: progress, timing and cancellation, without gRPC.

    job = Job("align")                      # stand-alone; a service gets one from seamline.rpc.stage
    with job.step("detect", total=len(frames)) as step:
        for frame in frames:
            ...
            step.advance(confidence=0.98)
    job.seconds["detect"]

A cancelled job raises `seamline.errors.Cancelled` at its next step or `advance`.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from seamline.errors import Cancelled
from seamline.rpc import steps, tracing
from seamline.rpc.metrics import STAGE
from seamline.v1.media_pb2 import Progress

MIN_PROGRESS_INTERVAL = 0.2
"""Seconds between two Progress messages of one step, unless it is the step's first or last."""


class Job:
    """The work of one stage call. It belongs to the one thread that does the work.

    Attributes:
        stage: align, invert, stitch, score or mux.
        seconds: wall seconds spent in each step so far, summed over repetitions of the step.
    """

    def __init__(
        self,
        stage: str,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> None:
        """Makes a job.

        Args:
            stage: align, invert, stitch, score or mux.
            on_progress: called in the working thread with each message.
            cancelled: once set, the job stops at its next `check`.
        """
        self.stage = stage
        self.seconds: dict[str, float] = {}
        self._on_progress = on_progress
        self._cancelled = cancelled or threading.Event()

    def check(self) -> None:
        """Call it at least once in each optimiser step, so that nobody pays for work that nobody waits for.

        Raises:
            Cancelled: the caller went away or its deadline passed.
        """
        if self._cancelled.is_set():
            raise Cancelled(
                f"{self.stage} stopped: the caller went away or its deadline passed; "
                "repeat the call to go on from what is finished"
            )

    @contextmanager
    def step(self, name: str, total: int = 0) -> Iterator["Step"]:
        """Times the block into `seconds` and the metrics, and reports its progress.

        Args:
            name: the step, a constant of the code: it becomes a label of a metric.
            total: how often `Step.advance` is going to count one; 0 if that is not known.

        Raises:
            Cancelled: as `check`, at the start of the block and whenever it advances.
        """
        self.check()
        step = Step(self, name, total)
        start = time.perf_counter()
        try:
            with tracing.step(self.stage, name):
                yield step
            step.finish()
        finally:
            elapsed = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + elapsed
            STAGE.labels(self.stage, name).observe(elapsed)

    def report(self, progress: Progress) -> None:
        """Hands one message to whoever listens."""
        if self._on_progress is not None:
            self._on_progress(progress)


class Step:
    """One step under way; `Job.step` makes it."""

    def __init__(self, job: Job, name: str, total: int) -> None:
        self.name = name
        self.total = total
        self.done = 0
        self.figures: dict[str, float] = {}
        self._job = job
        self._reported_at = 0.0
        self._report()

    def advance(self, done: int = 1, **figures: float) -> None:
        """Counts `done` more of the total, and keeps the latest value of each figure (psnr_db=31.2).

        Raises:
            Cancelled: the caller went away or its deadline passed.
        """
        steps.count(self._job.stage, self.name, done)
        self._move(done, figures)

    def skip(self, done: int) -> None:
        """Counts `done` more that an earlier call has left: progress, but no work that the metrics count.

        Raises:
            Cancelled: as `advance`.
        """
        self._move(done, {})

    def _move(self, done: int, figures: Mapping[str, float]) -> None:
        self.done += done
        self.figures.update(figures)
        self._stale = True
        if time.monotonic() - self._reported_at >= MIN_PROGRESS_INTERVAL:
            self._report()
        self._job.check()

    def finish(self) -> None:
        """Keeps how the step ended, and reports it unless that was the last thing reported."""
        steps.keep_figures(self._job.stage, self.name, self.figures)
        if self._stale:
            self._report()

    def _report(self) -> None:
        self._stale = False
        self._reported_at = time.monotonic()
        self._job.report(
            Progress(stage=self._job.stage, step=self.name, done=self.done, total=self.total, figures=self.figures)
        )
