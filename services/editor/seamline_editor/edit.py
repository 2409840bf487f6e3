"""One edit: the stages in order, the frame ranges side by side, and what came of it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from seamline.alignment import Alignment, crops_part
from seamline.bundles import Bundle
from seamline.errors import InvalidInput
from seamline.job import Job
from seamline.storage import Store
from seamline.v1.aligner_pb2 import AlignRequest
from seamline.v1.editor_pb2 import EditVideoRequest, EditVideoResult
from seamline.v1.inverter_pb2 import InvertRequest
from seamline.v1.media_pb2 import ArtifactRef, Edit, FrameRange, Progress, Timing
from seamline.v1.metrics_pb2 import ScoreRequest
from seamline.v1.stitcher_pb2 import StitchRequest
from seamline_editor.fan_out import SummedProgress, fan_out
from seamline_editor.mux import mux
from seamline_editor.replicas import Replicas

Events = AsyncGenerator[Any, None]
"""Progress messages, then a result with its timing; more than one result where ranges run side by side."""

RunMux = Callable[[Callable[[Job], "Muxed"]], Events]
"""Runs the muxing in a thread of this service."""


@dataclass(frozen=True, kw_only=True)
class Stages:
    """The services that do the work."""

    align: Replicas
    invert: Replicas
    stitch: Replicas
    score: Replicas
    stitch_concurrency: int
    """Frame ranges of one video that are stitched at a time."""


@dataclass(frozen=True, kw_only=True)
class Muxed:
    """What muxing gives."""

    edited: ArtifactRef
    timing: Timing


def check_request(request: EditVideoRequest, bundle: Bundle) -> None:
    """Refuses what would fail after minutes of work.

    Raises:
        InvalidInput: there is no video or no edit, or an edit is named twice.
        UnknownEdit: the bundle cannot do an edit, or not that strongly.
    """
    if not request.video.uri:
        raise InvalidInput("no video is given; upload it to the object store first", field="video.uri")
    if not request.edits:
        raise InvalidInput(
            f"no edit is given; bundle {bundle.name} has: {', '.join(sorted(bundle.edits))}", field="edits"
        )
    names = [edit.name for edit in request.edits]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidInput(
                f"edit {name!r} is given twice; add the strengths up", field=f"edits[{index}].name"
            )
    bundle.check_edits([(edit.name, edit.strength) for edit in request.edits])


class EditRun:
    """One EditVideo call under way."""

    def __init__(
        self, request: EditVideoRequest, bundle: Bundle, stages: Stages, store: Store, run_mux: RunMux
    ) -> None:
        self._request = request
        self._bundle = bundle.name
        self._stages = stages
        self._store = store
        self._run_mux = run_mux
        self._result = EditVideoResult(bundle=bundle.name)

    async def events(self) -> Events:
        """Yields the stages' Progress, then the EditVideoResult.

        Raises:
            SeamlineError: what a stage raised.
        """
        for stage, run in (
            ("align", self._align),
            ("invert", self._invert),
            ("stitch", self._stitch),
            ("score", self._score),
            ("mux", self._mux),
        ):
            start = time.perf_counter()
            async with aclosing(run()) as events:
                async for event in events:
                    if isinstance(event, Progress):
                        yield event
                    else:
                        self._add_steps(stage, event.timing)
            self._result.stage_seconds[stage] = time.perf_counter() - start
        yield self._result

    async def _align(self) -> Events:
        request = AlignRequest(video=self._request.video, bundle=self._bundle, options=self._request.align)
        async with aclosing(self._stages.align.call(request)) as events:
            async for event in events:
                if not isinstance(event, Progress):
                    self._result.alignment.CopyFrom(event.alignment)
                    self._result.video.CopyFrom(event.video)
                yield event

    async def _invert(self) -> Events:
        request = InvertRequest(
            alignment=self._result.alignment, bundle=self._bundle, options=self._request.invert
        )
        async with aclosing(self._stages.invert.call(request)) as events:
            async for event in events:
                if not isinstance(event, Progress):
                    self._result.inversion.CopyFrom(event.inversion)
                    self._result.inversion_figures.CopyFrom(event)
                yield event

    async def _stitch(self) -> Events:
        ranges = await asyncio.to_thread(ranges_with_faces, self._store, self._result.alignment)
        summed = SummedProgress([frames.end - frames.start for frames in ranges])
        stitched: dict[int, ArtifactRef] = {}
        streams = [partial(self._stages.stitch.call, self._stitch_request(frames)) for frames in ranges]
        async with aclosing(fan_out(streams, self._stages.stitch_concurrency)) as events:
            async for index, event in events:
                if isinstance(event, Progress):
                    yield summed.add(index, event)
                else:
                    stitched[index] = event.stitched
                    yield event
        self._result.stitched.extend(stitched[index] for index in sorted(stitched))

    def _stitch_request(self, frames: FrameRange) -> StitchRequest:
        return StitchRequest(
            alignment=self._result.alignment,
            inversion=self._result.inversion,
            bundle=self._bundle,
            edits=[Edit(name=edit.name, strength=edit.strength) for edit in self._request.edits],
            range=frames,
            options=self._request.stitch,
        )

    async def _score(self) -> Events:
        request = ScoreRequest(
            alignment=self._result.alignment, stitched=self._result.stitched, bundle=self._bundle
        )
        async with aclosing(self._stages.score.call(request)) as events:
            async for event in events:
                if not isinstance(event, Progress):
                    self._result.scores.CopyFrom(event)
                yield event

    async def _mux(self) -> Events:
        def work(job: Job) -> Muxed:
            stitched = list(self._result.stitched)
            edited = mux(self._store, self._request.video, self._result.alignment, stitched, job)
            return Muxed(edited=edited, timing=Timing(step_seconds=job.seconds))

        async with aclosing(self._run_mux(work)) as events:
            async for event in events:
                if not isinstance(event, Progress):
                    self._result.edited.CopyFrom(event.edited)
                yield event

    def _add_steps(self, stage: str, timing: Timing) -> None:
        for step, seconds in timing.step_seconds.items():
            self._result.step_seconds[f"{stage}.{step}"] += seconds


def ranges_with_faces(store: Store, alignment: ArtifactRef) -> Sequence[FrameRange]:
    """The alignment's stored ranges in which a face is to be edited."""
    aligned = Alignment.open(store, alignment)
    return [
        FrameRange(start=stored[0], end=stored[1])
        for stored in aligned.ranges
        if any(crops_part(track.id, stored) in aligned.artifact.parts for track in aligned.tracks)
    ]
