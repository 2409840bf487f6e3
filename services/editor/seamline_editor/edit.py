"""One edit: the stages in order, the frame ranges side by side, and what came of it."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from seamline.alignment import Alignment, crops_part
from seamline.bundles import Bundle
from seamline.job import Job
from seamline.storage import Store
from seamline.v1.editor_pb2 import EditVideoRequest, EditVideoResult
from seamline.v1.media_pb2 import ArtifactRef, FrameRange, Progress, Timing
from seamline.v1.metrics_pb2 import ScoreRequest
from seamline.v1.stitcher_pb2 import StitchRequest
from seamline_editor.fan_out import SummedProgress, fan_out
from seamline_editor.mux import mux
from seamline_editor.stages import Events, Here, Run, Stages

VIDEO = "video/mp4"


@dataclass(frozen=True, kw_only=True)
class Muxed:
    """What muxing gives."""

    edited: ArtifactRef
    timing: Timing


class EditRun(Run):
    """One EditVideo call under way."""

    def __init__(self, request: EditVideoRequest, bundle: Bundle, stages: Stages, store: Store, here: Here) -> None:
        self._request = request
        self._result = EditVideoResult(bundle=bundle.name)
        super().__init__(request, bundle, stages, store, here, self._result)

    async def events(self) -> Events:
        """Yields the stages' Progress, then the EditVideoResult.

        Raises:
            SeamlineError: what a stage raised.
        """
        own = [("stitch", self._stitch), ("score", self._score), ("mux", self._mux)]
        stages = [*self._beginning, *own, *self._ending(self._result.edited, VIDEO)]
        async with aclosing(self._run(stages)) as progress:
            async for event in progress:
                yield event
        self._result.alignment.CopyFrom(self._aligned.alignment)
        self._result.video.CopyFrom(self._aligned.video)
        self._result.inversion.CopyFrom(self._inversion)
        self._result.inversion_figures.CopyFrom(self._inverted)
        if self._style:
            self._result.restyle_figures.CopyFrom(self._restyled)
        yield self._result

    async def _stitch(self) -> Events:
        ranges = await asyncio.to_thread(ranges_with_faces, self._store, self._aligned.alignment)
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
            alignment=self._aligned.alignment,
            inversion=self._inversion,
            bundle=self._bundle,
            edits=self._request.edits,
            range=frames,
            options=self._request.stitch,
        )

    async def _score(self) -> Events:
        request = ScoreRequest(alignment=self._aligned.alignment, stitched=self._result.stitched, bundle=self._bundle)
        async with aclosing(self._stages.score.call(request)) as events:
            async for event in events:
                if not isinstance(event, Progress):
                    self._result.scores.CopyFrom(event)
                yield event

    async def _mux(self) -> Events:
        def work(job: Job) -> Muxed:
            stitched = list(self._result.stitched)
            edited = mux(self._store, self._video, self._aligned.alignment, stitched, job)
            return Muxed(edited=edited, timing=Timing(step_seconds=job.seconds))

        async with aclosing(self._here.run("mux", work)) as events:
            async for event in events:
                if not isinstance(event, Progress):
                    self._result.edited.CopyFrom(event.edited)
                yield event


def ranges_with_faces(store: Store, alignment: ArtifactRef) -> Sequence[FrameRange]:
    """The alignment's stored ranges in which a face is to be edited."""
    aligned = Alignment.open(store, alignment)
    return [
        FrameRange(start=stored[0], end=stored[1])
        for stored in aligned.ranges
        if any(crops_part(track.id, stored) in aligned.artifact.parts for track in aligned.tracks)
    ]
