"""Between the contract and `edit`."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc

from seamline.bundles import Bundle
from seamline.client import open_channel
from seamline.client.abilities import abilities
from seamline.errors import InvalidInput
from seamline.job import Job
from seamline.rpc.bundles import Bundles
from seamline.rpc.callers import ADMISSION
from seamline.rpc.stage import HEARTBEAT_SECONDS, StageExecutor, run_stage
from seamline.storage import Store
from seamline.storage.erasure import erase
from seamline.v1.aligner_pb2_grpc import AlignerServiceStub
from seamline.v1.editor_pb2 import (
    EditVideoRequest,
    EditVideoResponse,
    EraseRequest,
    EraseResponse,
    ListEditsRequest,
    ListEditsResponse,
    PreviewVideoRequest,
    PreviewVideoResponse,
)
from seamline.v1.editor_pb2_grpc import EditorServiceServicer
from seamline.v1.inverter_pb2_grpc import InverterServiceStub
from seamline.v1.media_pb2 import Progress
from seamline.v1.metrics_pb2_grpc import MetricsServiceStub
from seamline.v1.stitcher_pb2_grpc import StitcherServiceStub
from seamline_editor.addresses import Origins
from seamline_editor.config import EditorConfig
from seamline_editor.connections import Bounds
from seamline_editor.edit import EditRun
from seamline_editor.ends import ends_of
from seamline_editor.preview import PreviewRun
from seamline_editor.quota import work_of
from seamline_editor.replicas import Persistence, Replicas
from seamline_editor.request import check_edit, check_preview
from seamline_editor.stages import Here, Stages


class EditorServicer(EditorServiceServicer):
    """Serves `seamline.v1.EditorService`. It keeps nothing between calls."""

    def __init__(self, config: EditorConfig, store: Store) -> None:
        self._bundles = Bundles(config)
        self._store = store
        self._stages = connect(config)
        self._origins = Origins.parse(config.url_origins)
        self._bounds = Bounds(bytes=config.max_video_bytes, seconds=config.transfer_seconds)
        # The turns say whose it is; a cancelled call may hold its thread a moment longer than its turn.
        threads = config.max_concurrent_stages + config.max_transfers
        self._executor = StageExecutor(threads, queue=threads)
        transfers = asyncio.Semaphore(config.max_transfers)
        self._turns = {"mux": asyncio.Semaphore(config.max_concurrent_stages), "fetch": transfers, "deliver": transfers}

    async def EditVideo(  # noqa: N802
        self, request: EditVideoRequest, context: grpc.aio.ServicerContext
    ) -> AsyncGenerator[EditVideoResponse, None]:
        """Runs every stage on one video."""

        here = self._here(request, context)
        bundle = await self._bundle(request.bundle)
        # A text's check reads the texts' network: not on the loop.
        await asyncio.to_thread(check_edit, request, bundle)
        run = EditRun(request, bundle, self._stages, self._store, here)
        async with aclosing(run.events()) as events:
            async for event in events:
                yield (
                    EditVideoResponse(progress=event)
                    if isinstance(event, Progress)
                    else EditVideoResponse(result=event)
                )

    async def PreviewVideo(  # noqa: N802
        self, request: PreviewVideoRequest, context: grpc.aio.ServicerContext
    ) -> AsyncGenerator[PreviewVideoResponse, None]:
        """Draws what some edits would look like."""
        here = self._here(request, context)
        bundle = await self._bundle(request.bundle)
        await asyncio.to_thread(check_preview, request, bundle)
        async with aclosing(PreviewRun(request, bundle, self._stages, self._store, here).events()) as events:
            async for event in events:
                yield (
                    PreviewVideoResponse(progress=event)
                    if isinstance(event, Progress)
                    else PreviewVideoResponse(result=event)
                )

    async def ListEdits(  # noqa: N802
        self, request: ListEditsRequest, context: grpc.aio.ServicerContext
    ) -> ListEditsResponse:
        """What a bundle can do."""
        return abilities(await self._bundle(request.bundle))

    async def Erase(  # noqa: N802
        self, request: EraseRequest, context: grpc.aio.ServicerContext
    ) -> EraseResponse:
        """Removes a video and all that was made of it."""
        try:
            removed = await asyncio.to_thread(erase, self._store, request.video, keep_source=request.keep_source)
        except InvalidInput as error:
            error.field = f"video.{error.field}"
            raise
        return EraseResponse(objects=removed.objects, bytes=removed.bytes)

    def _here(self, request: EditVideoRequest | PreviewVideoRequest, context: grpc.aio.ServicerContext) -> Here:
        """Raises InvalidInput if the request names what this service may not reach."""

        async def run(stage: str, work: Callable[[Job], Any]) -> AsyncGenerator[Any, None]:
            turn = asyncio.ensure_future(self._turns[stage].acquire())
            try:
                await asyncio.wait({turn}, timeout=HEARTBEAT_SECONDS)
                while not turn.done():
                    yield Progress(stage=stage, step="queue")
                    await asyncio.wait({turn}, timeout=HEARTBEAT_SECONDS)
                async with aclosing(run_stage(context, stage, work, self._executor)) as events:
                    async for event in events:
                        yield event
            finally:
                if not turn.cancel():
                    self._turns[stage].release()

        def charge(video: str, seconds: float) -> None:
            ADMISSION.get().charge(work_of(request, video), seconds)

        ends = ends_of(request, self._store, self._origins)
        return Here(run=run, ends=ends, bounds=self._bounds, charge=charge)

    async def _bundle(self, name: str) -> Bundle:
        return await asyncio.to_thread(self._bundles.open, name)


def connect(config: EditorConfig) -> Stages:
    """Opens the channels to the stages; needs a running event loop."""
    persistence = Persistence(patience_seconds=config.patience_seconds)

    def replicas(stage: str, endpoints: str, method: Callable[[grpc.aio.Channel], Any]) -> Replicas:
        return Replicas(stage, endpoints, partial(open_channel, tls=config.tls), method, persistence)

    stitch = replicas("stitch", config.stitcher, lambda channel: StitcherServiceStub(channel).Stitch)
    return Stages(
        align=replicas("align", config.aligner, lambda channel: AlignerServiceStub(channel).Align),
        invert=replicas("invert", config.inverter, lambda channel: InverterServiceStub(channel).Invert),
        restyle=replicas("restyle", config.inverter, lambda channel: InverterServiceStub(channel).Restyle),
        stitch=stitch,
        preview=replicas("preview", config.stitcher, lambda channel: StitcherServiceStub(channel).Preview),
        score=replicas("score", config.metrics, lambda channel: MetricsServiceStub(channel).Score),
        stitch_concurrency=config.stitch_concurrency or stitch.concurrency,
    )
