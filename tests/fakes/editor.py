"""An editor that does what a test wrote down, served as the real one is: to see what clients make of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from seamline.errors import SeamlineError
from seamline.rpc.config import ServerConfig
from seamline.rpc.server import started
from seamline.v1.editor_pb2 import EditVideoRequest, EditVideoResponse, EditVideoResult
from seamline.v1.editor_pb2_grpc import EditorServiceServicer, add_EditorServiceServicer_to_server
from seamline.v1.media_pb2 import ArtifactRef, Progress
from seamline.v1.metrics_pb2 import ScoreResult

RESULT = EditVideoResult(
    edited=ArtifactRef(uri="s3://videos/edited.mp4", sha256="e" * 64),
    scores=ScoreResult(tl_id=0.99),
    stage_seconds={"align": 1.5},
)


class ScriptedEditor(EditorServiceServicer):
    """Edits by answering.

    Attributes:
        requests: of every call, in order.
        metadata: of every call.
        failures: errors that the next calls raise, after their first progress.
        hold: whether calls wait for ever after their first progress.
        held: set when a call waits there.
        cancelled: set when a waiting call was cancelled.
    """

    def __init__(self, *failures: SeamlineError, hold: bool = False) -> None:
        self.requests: list[EditVideoRequest] = []
        self.metadata: list[dict[str, Any]] = []
        self.failures = list(failures)
        self.hold = hold
        self.held = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def EditVideo(  # noqa: N802
        self, request: EditVideoRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[EditVideoResponse]:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata() or ()))
        progress = Progress(stage="align", step="detect", done=1, total=2, figures={"faces": 1.0})
        yield EditVideoResponse(progress=progress)
        if self.failures:
            raise self.failures.pop(0)
        if self.hold:
            await self._wait()
        yield EditVideoResponse(result=RESULT)

    async def _wait(self) -> None:
        self.held.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@asynccontextmanager
async def scripted(editor: ScriptedEditor, **settings: Any) -> AsyncIterator[str]:
    """The editor's endpoint for as long as the block runs, with settings of ServerConfig."""
    defaults = {"host": "127.0.0.1", "port": 0, "metrics_port": 0, "store": "file:///nowhere", "drain_seconds": 0}
    config = ServerConfig(**{**defaults, **settings})

    def register(server: grpc.aio.Server) -> None:
        add_EditorServiceServicer_to_server(editor, server)

    async with started(config, register, "seamline.v1.EditorService") as bound:
        yield f"{config.host}:{bound.grpc}"
