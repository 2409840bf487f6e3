"""Stage services for an editor to call: real gRPC and real artifacts, with work that takes no time.

The aligner answers with an alignment made beforehand, the stitcher shifts grey levels. What goes wrong, and
when, is said by the test.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from seamline.errors import SeamlineError
from seamline.rpc.config import ServerConfig
from seamline.rpc.server import started
from seamline.storage import Store, put_object
from seamline.v1 import aligner_pb2, inverter_pb2, metrics_pb2, stitcher_pb2
from seamline.v1.aligner_pb2_grpc import AlignerServiceServicer, add_AlignerServiceServicer_to_server
from seamline.v1.inverter_pb2_grpc import InverterServiceServicer, add_InverterServiceServicer_to_server
from seamline.v1.media_pb2 import ArtifactRef, Edit, Progress, Timing, VideoInfo
from seamline.v1.metrics_pb2_grpc import MetricsServiceServicer, add_MetricsServiceServicer_to_server
from seamline.v1.stitcher_pb2_grpc import StitcherServiceServicer, add_StitcherServiceServicer_to_server
from tests.fakes.stitched import put_stitched


class Stages(AlignerServiceServicer, InverterServiceServicer, StitcherServiceServicer, MetricsServiceServicer):
    """One replica of every stage.

    Attributes:
        calls: (stage, request) of every call, in order.
        failures: errors that the next calls of a stage raise, by stage.
        fail_after: what a call that is going to fail waits for first.
        hold: a stage that waits for ever after its first progress, or "".
        held: set when a call waits there.
        cancelled: how many of the waiting calls were cancelled.
        most: most stitch calls under way at a time.
        duration_seconds: of the video, as the aligner says.
    """

    def __init__(self, store: Store, alignment: ArtifactRef) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.failures: dict[str, list[SeamlineError]] = {}
        self.fail_after = asyncio.Event()
        self.fail_after.set()
        self.hold = ""
        self.held = asyncio.Event()
        self.cancelled = 0
        self.running = 0
        self.most = 0
        self.duration_seconds = 0.0
        self._store = store
        self._alignment = alignment

    async def Align(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async with self._called("align", request):
            yield aligner_pb2.AlignResponse(progress=Progress(stage="align", step="detect", done=1, total=2))
            await self._maybe_hold("align")
        result = aligner_pb2.AlignResult(
            alignment=self._alignment,
            video=VideoInfo(frame_count=10, duration_seconds=self.duration_seconds),
            timing=Timing(step_seconds={"detect": 1.0}),
        )
        yield aligner_pb2.AlignResponse(result=result)

    async def Invert(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async with self._called("invert", request):
            yield inverter_pb2.InvertResponse(progress=Progress(stage="invert", step="pti"))
            await self._maybe_hold("invert")
        inversion = put_object(self._store, "inversion", b"inversion")
        result = inverter_pb2.InvertResult(inversion=inversion, psnr_db=30.0, pivot_psnr_db=20.0)
        yield inverter_pb2.InvertResponse(result=result)

    async def Restyle(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async with self._called("restyle", request):
            yield inverter_pb2.RestyleResponse(progress=Progress(stage="restyle", step="learn"))
            await self._maybe_hold("restyle")
        inversion, style = (put_object(self._store, name, name.encode()) for name in ("restyled", "style"))
        timing = Timing(step_seconds={"learn": 3.0})
        result = inverter_pb2.RestyleResult(inversion=inversion, style=style, steps=120, loss=0.5, timing=timing)
        yield inverter_pb2.RestyleResponse(result=result)

    async def Stitch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async with self._called("stitch", request):
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                frames = request.range.end - request.range.start
                progress = Progress(stage="stitch", step="tune", done=frames, total=frames)
                yield stitcher_pb2.StitchResponse(progress=progress)
                await asyncio.sleep(0.1)
                await self._maybe_hold("stitch")
            finally:
                self.running -= 1
        edits = [(edit.name, _strength(edit)) for edit in request.edits]
        span = (request.range.start, request.range.end)
        stitched = put_stitched(self._store, request.alignment, span, edits=edits)
        timing = Timing(step_seconds={"tune": 2.0})
        yield stitcher_pb2.StitchResponse(result=stitcher_pb2.StitchResult(stitched=stitched, timing=timing))

    async def Preview(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async with self._called("preview", request):
            yield stitcher_pb2.PreviewResponse(progress=Progress(stage="preview", step="draw", done=1, total=1))
            await self._maybe_hold("preview")
        sheet = put_object(self._store, "sheet.png", b"sheet")
        timing = Timing(step_seconds={"draw": 0.5})
        result = stitcher_pb2.PreviewResult(sheet=sheet, frames=[1, 5, 9], timing=timing)
        yield stitcher_pb2.PreviewResponse(result=result)

    async def Score(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async with self._called("score", request):
            yield metrics_pb2.ScoreResponse(progress=Progress(stage="score", step="measure"))
            await self._maybe_hold("score")
        yield metrics_pb2.ScoreResponse(result=metrics_pb2.ScoreResult(tl_id=0.99, tg_id=0.9))

    @asynccontextmanager
    async def _called(self, stage: str, request: Any) -> AsyncIterator[None]:
        self.calls.append((stage, request))
        if failures := self.failures.get(stage):
            error = failures.pop(0)
            await self.fail_after.wait()
            raise error
        yield

    async def _maybe_hold(self, stage: str) -> None:
        if self.hold != stage:
            return
        self.held.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def _strength(edit: Edit) -> float | list[tuple[float, float]]:
    return [(keyframe.seconds, keyframe.strength) for keyframe in edit.keyframes] or edit.strength


@asynccontextmanager
async def served(stages: Stages, **settings: Any) -> AsyncIterator[str]:
    """The endpoint of a replica that runs as long as the block, with settings of ServerConfig."""
    defaults = {"host": "127.0.0.1", "port": 0, "metrics_port": 0, "store": "file:///nowhere", "drain_seconds": 0}
    config = ServerConfig(**{**defaults, **settings})

    def register(server: grpc.aio.Server) -> None:
        add_AlignerServiceServicer_to_server(stages, server)
        add_InverterServiceServicer_to_server(stages, server)
        add_StitcherServiceServicer_to_server(stages, server)
        add_MetricsServiceServicer_to_server(stages, server)

    async with started(config, register, "seamline.v1.AlignerService") as bound:
        yield f"{config.host}:{bound.grpc}"
