"""One deployment for all tests of this folder: the five services as processes, with the shipped bundle."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seamline.client import Client, Retry
from seamline.deployment import Deployment
from seamline.storage import Store, open_store, put_object
from seamline.v1.editor_pb2 import EditVideoResult
from seamline.v1.media_pb2 import ArtifactRef, Progress
from tests.e2e.clips import cut

SHORT = 24
"""Frames of the clip on which quality is judged."""


@dataclass(frozen=True)
class System:
    """A running deployment and the store that it shares with the tests."""

    deployment: Deployment
    store: Store
    url: str
    directory: Path

    @property
    def client(self) -> Client:
        return Client(self.deployment.endpoint("editor"), retry=Retry(repeats=0, patience_seconds=0))

    def upload(self, path: Path) -> ArtifactRef:
        return put_object(self.store, f"videos/{path.name}", path)

    def edit(self, video: ArtifactRef, edits: dict[str, float], **options: Any) -> EditVideoResult:
        """Runs an edit to its end."""
        return asyncio.run(self._edit(video, edits, options))

    async def _edit(self, video: ArtifactRef, edits: dict[str, float], options: Any) -> EditVideoResult:
        async with self.client as client:
            async for event in client.edit_video(video, edits, timeout=500, **options):
                if not isinstance(event, Progress):
                    return event
        raise AssertionError("the stream ended without a result")

    def written(self) -> dict[str, int]:
        """When each object was written, in nanoseconds."""
        root = self.directory / "store"
        return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("system")
    url = (directory / "store").as_uri()
    with Deployment(directory / "services", store=url, environment={"SEAMLINE_DRAIN_SECONDS": "2"}) as deployment:
        yield System(deployment, open_store(url), url, directory)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cut(tmp_path_factory.mktemp("clip") / "short.mp4", SHORT)


@pytest.fixture(scope="session")
def smiling(system: System, clip: Path) -> EditVideoResult:
    """The short clip, edited as a user would."""
    return system.edit(system.upload(clip), {"smile": 2.0})
