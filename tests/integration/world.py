"""An editor over real sockets, with stages whose work takes no time."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from seamline_editor.config import EditorConfig
from seamline_editor.servicer import EditorServicer

from seamline.bundles import load_bundle
from seamline.client import Client, Retry
from seamline.rpc.server import started
from seamline.storage import open_store
from seamline.v1.editor_pb2_grpc import add_EditorServiceServicer_to_server
from seamline.v1.media_pb2 import ArtifactRef
from tests.fakes.alignment import put_alignment
from tests.fakes.stages import Stages, served

AT_ONCE = Retry(connect_seconds=10, repeats=0, patience_seconds=0)
SMILE = {"smile": 2.0}


@dataclass
class World:
    """The editor, its stage replicas and the store they share."""

    endpoint: str
    client: Client
    replicas: list[Stages]
    video: ArtifactRef | str

    @property
    def calls(self):
        return [call for stages in self.replicas for call in stages.calls]

    def edit(self, edits=SMILE, **options):
        return self.client.edit_video(self.video, edits, bundle="tiny-64", **options)

    async def edited(self, edits=SMILE, **options):
        return [event async for event in self.edit(edits, **options)]

    async def previewed(self, variants, **options):
        events = self.client.preview_video(self.video, variants, bundle="tiny-64", **options)
        return [event async for event in events]


@asynccontextmanager
async def world_of(
    store_url: str,
    bundles: Path,
    video: ArtifactRef | str,
    *,
    replicas: int = 1,
    dead: Sequence[str] = (),
    aligned: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[World]:
    """A World for as long as the block runs.

    Args:
        store_url: its store.
        bundles: directory with the bundle tiny-64.
        video: what is edited.
        replicas: of every stage.
        dead: endpoints of stitchers that are gone.
        aligned: of the alignment that the stages find.
        settings: of the editor.
    """
    store = open_store(store_url)
    alignment = put_alignment(store, load_bundle("tiny-64", bundles), **(aligned or {}))
    async with AsyncExitStack() as stack:
        stages = [Stages(store, alignment) for _ in range(replicas)]
        endpoints = [await stack.enter_async_context(served(each)) for each in stages]
        config = EditorConfig(
            host="127.0.0.1",
            port=0,
            metrics_port=0,
            drain_seconds=0,
            store=store_url,
            bundles_path=bundles,
            aligner=endpoints[0],
            inverter=endpoints[0],
            stitcher=",".join([*dead, *endpoints]),
            metrics=endpoints[0],
            **settings,
        )

        def register(server: grpc.aio.Server) -> None:
            add_EditorServiceServicer_to_server(EditorServicer(config, store), server)

        bound = await stack.enter_async_context(started(config, register, "seamline.v1.EditorService"))
        endpoint = f"127.0.0.1:{bound.grpc}"
        client = await stack.enter_async_context(Client(endpoint, retry=AT_ONCE))
        yield World(endpoint, client, stages, video)
