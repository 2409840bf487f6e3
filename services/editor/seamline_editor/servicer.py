"""Between the contract and `edit`."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import grpc

from seamline.bundles import Bundle, load_bundle
from seamline.client import open_channel
from seamline.job import Job
from seamline.rpc.stage import StageExecutor, run_stage
from seamline.storage import Store
from seamline.v1.aligner_pb2_grpc import AlignerServiceStub
from seamline.v1.editor_pb2 import (
    EditInfo,
    EditVideoRequest,
    EditVideoResponse,
    ListEditsRequest,
    ListEditsResponse,
)
from seamline.v1.editor_pb2_grpc import EditorServiceServicer
from seamline.v1.inverter_pb2_grpc import InverterServiceStub
from seamline.v1.media_pb2 import Progress
from seamline.v1.metrics_pb2_grpc import MetricsServiceStub
from seamline.v1.stitcher_pb2_grpc import StitcherServiceStub
from seamline_editor.config import EditorConfig
from seamline_editor.edit import EditRun, Muxed, Stages, check_request
from seamline_editor.replicas import Persistence, Replicas


class EditorServicer(EditorServiceServicer):
    """Serves `seamline.v1.EditorService`. It keeps nothing between calls."""

    def __init__(self, config: EditorConfig, store: Store) -> None:
        self._config = config
        self._store = store
        self._stages = connect(config)
        self._executor = StageExecutor(config.max_concurrent_stages)
        self._mux_turn = asyncio.Semaphore(config.max_concurrent_stages)

    async def EditVideo(  # noqa: N802
        self, request: EditVideoRequest, context: grpc.aio.ServicerContext
    ) -> AsyncGenerator[EditVideoResponse, None]:
        """Runs every stage on one video."""

        async def run_mux(work: Callable[[Job], Muxed]) -> AsyncGenerator[Any, None]:
            async with self._mux_turn, aclosing(run_stage(context, "mux", work, self._executor)) as events:
                async for event in events:
                    yield event

        bundle = await self._bundle(request.bundle)
        check_request(request, bundle)
        run = EditRun(request, bundle, self._stages, self._store, run_mux)
        async with aclosing(run.events()) as events:
            async for event in events:
                yield (
                    EditVideoResponse(progress=event)
                    if isinstance(event, Progress)
                    else EditVideoResponse(result=event)
                )

    async def ListEdits(  # noqa: N802
        self, request: ListEditsRequest, context: grpc.aio.ServicerContext
    ) -> ListEditsResponse:
        """What a bundle can do."""
        bundle = await self._bundle(request.bundle)
        edits = [
            EditInfo(
                name=edit.name,
                description=edit.description,
                min_strength=edit.min_strength,
                max_strength=edit.max_strength,
            )
            for edit in bundle.edits.values()
        ]
        return ListEditsResponse(bundle=bundle.name, edits=edits)

    async def _bundle(self, name: str) -> Bundle:
        return await asyncio.to_thread(load_bundle, name, self._config.bundles_path)


def connect(config: EditorConfig) -> Stages:
    """Opens the channels to the stages; needs a running event loop."""
    persistence = Persistence(patience_seconds=config.patience_seconds)

    def replicas(endpoints: str, method: Callable[[grpc.aio.Channel], Any]) -> Replicas:
        return Replicas(endpoints, open_channel, method, persistence)

    stitch = replicas(config.stitcher, lambda channel: StitcherServiceStub(channel).Stitch)
    return Stages(
        align=replicas(config.aligner, lambda channel: AlignerServiceStub(channel).Align),
        invert=replicas(config.inverter, lambda channel: InverterServiceStub(channel).Invert),
        stitch=stitch,
        score=replicas(config.metrics, lambda channel: MetricsServiceStub(channel).Score),
        stitch_concurrency=config.stitch_concurrency or stitch.concurrency,
    )
