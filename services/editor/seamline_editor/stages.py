"""The services that do the work, and the stages that an edit and a preview begin with."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, MutableMapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from seamline.bundles import Bundle
from seamline.job import Job
from seamline.storage import Store
from seamline.v1.aligner_pb2 import AlignRequest, AlignResult
from seamline.v1.editor_pb2 import EditVideoRequest, InvertedVideo, PreviewVideoRequest
from seamline.v1.inverter_pb2 import InvertRequest, InvertResult, RestyleRequest, RestyleResult
from seamline.v1.media_pb2 import ArtifactRef, Progress
from seamline_editor.addresses import Address
from seamline_editor.connections import Bounds
from seamline_editor.ends import Ends
from seamline_editor.incoming import Fetched, fetch
from seamline_editor.outgoing import Delivered, deliver
from seamline_editor.replicas import Replicas
from seamline_editor.taken_up import taken_up

Events = AsyncGenerator[Any, None]
"""Progress messages, then a result with its timing; more than one result where ranges run side by side."""

Stage = tuple[str, Callable[[], Events]]
"""Its name and what runs it."""


RunHere = Callable[[str, Callable[[Job], Any]], Events]
"""Runs a stage of this name in a thread of this service."""


@dataclass(frozen=True, kw_only=True)
class Here:
    """What a call needs of this service itself."""

    run: RunHere
    ends: Ends
    bounds: Bounds
    charge: Callable[[str, float], None]
    """Counts the video, by its digest and seconds, as used by the client, or raises QuotaExceeded."""


@dataclass(frozen=True, kw_only=True)
class Stages:
    """The services."""

    align: Replicas
    invert: Replicas
    restyle: Replicas
    stitch: Replicas
    preview: Replicas
    score: Replicas
    stitch_concurrency: int
    """Frame ranges of one video that are stitched at a time."""


class Run:
    """One call under way: stage after stage, each on what the earlier ones found."""

    def __init__(
        self,
        request: EditVideoRequest | PreviewVideoRequest,
        bundle: Bundle,
        stages: Stages,
        store: Store,
        here: Here,
        result: Any,
    ) -> None:
        """Prepares.

        Args:
            request: names the video and the options.
            bundle: found for the request.
            stages: the services.
            store: where everything lies.
            here: this service.
            result: the message that the call ends with; its source and its seconds are filled in here.
        """
        self._video, self._align_options, self._invert_options = request.video, request.align, request.invert
        self._style = request.style if request.HasField("style") else None
        self._given = request.inverted if request.HasField("inverted") else None
        self._bundle = bundle.name
        self._stages, self._store, self._here = stages, store, here
        self._source: ArtifactRef = result.source
        self._seconds: MutableMapping[str, float] = result.stage_seconds
        self._steps: MutableMapping[str, float] = result.step_seconds
        self._aligned = AlignResult()
        self._inverted = InvertResult()
        self._restyled = RestyleResult()

    @property
    def _beginning(self) -> list[Stage]:
        """The stages up to the inversion that is drawn from."""
        stages: list[Stage] = [("align", self._align), ("invert", self._invert)]
        if self._given:
            stages = [("invert", self._take_up)]
        if self._here.ends.source:
            stages = [("fetch", partial(self._fetch, self._here.ends.source)), *stages]
        return [*stages, ("restyle", self._restyle)] if self._style else stages

    def _ending(self, result: ArtifactRef, kind: str) -> list[Stage]:
        """What comes after the result, which a stage before fills in, is there; `kind` is its Content-Type."""
        target = self._here.ends.target
        return [("deliver", partial(self._deliver, target, result, kind))] if target else []

    @property
    def _inversion(self) -> ArtifactRef:
        """What is drawn from, once it is there."""
        return self._restyled.inversion if self._style else self._inverted.inversion

    async def _run(self, stages: Sequence[Stage]) -> Events:
        """Yields the stages' Progress and notes their seconds."""
        for stage, run in stages:
            start = time.perf_counter()
            async with aclosing(run()) as events:
                async for event in events:
                    if isinstance(event, Progress):
                        yield event
                    else:
                        for step, seconds in event.timing.step_seconds.items():
                            self._steps[f"{stage}.{step}"] += seconds
            self._seconds[stage] = time.perf_counter() - start
        self._source.CopyFrom(self._video)

    async def _fetch(self, address: Address) -> Events:
        def work(job: Job) -> Fetched:
            return fetch(self._store, address, self._video.sha256, self._here.bounds, job)

        async with aclosing(self._here.run("fetch", work)) as events:
            async for event in events:
                if not isinstance(event, Progress):
                    self._video = event.video
                yield event

    async def _deliver(self, address: Address, result: ArtifactRef, kind: str) -> Events:
        def work(job: Job) -> Delivered:
            return deliver(self._store, result, kind, address, self._here.bounds, job)

        async with aclosing(self._here.run("deliver", work)) as events:
            async for event in events:
                yield event

    async def _align(self) -> Events:
        request = AlignRequest(video=self._video, bundle=self._bundle, options=self._align_options)
        async with aclosing(self._stages.align.call(request)) as events:
            async for event in events:
                if not isinstance(event, Progress):
                    self._aligned = event
                    self._charge()
                yield event

    async def _invert(self) -> Events:
        request = InvertRequest(alignment=self._aligned.alignment, bundle=self._bundle, options=self._invert_options)
        async with aclosing(self._stages.invert.call(request)) as events:
            async for event in events:
                if not isinstance(event, Progress):
                    self._inverted = event
                yield event

    async def _take_up(self) -> Events:
        given = self._given or InvertedVideo()
        self._aligned, self._inverted = await asyncio.to_thread(taken_up, self._store, given, self._video)
        self._charge()
        yield self._inverted

    def _charge(self) -> None:
        self._here.charge(self._video.sha256 or self._video.uri, self._aligned.video.duration_seconds)

    async def _restyle(self) -> Events:
        request = RestyleRequest(inversion=self._inverted.inversion, bundle=self._bundle, style=self._style)
        async with aclosing(self._stages.restyle.call(request)) as events:
            async for event in events:
                if not isinstance(event, Progress):
                    self._restyled = event
                yield event
