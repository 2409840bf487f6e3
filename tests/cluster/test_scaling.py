"""Stitchers come and go while a video is stitched: real processes behind one name, as in a cluster.

The name is served on loopback; the replicas share a port, each at an address of its own.
"""

import asyncio
import signal
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from seamline.client import Client
from seamline.deployment import Deployment, Service
from seamline.storage import open_store, put_object
from seamline.v1.editor_pb2 import EditVideoResult
from seamline.v1.inverter_pb2 import InvertOptions
from seamline.v1.media_pb2 import ArtifactRef, Progress
from seamline.v1.stitcher_pb2 import StitchOptions
from tests.e2e.clips import looped
from tests.fakes.dns import ChangingNames, names

pytestmark = pytest.mark.cluster

RANGES, FRAMES = 3, 144
FIRST, SECOND = "127.0.0.1", "127.0.0.2"
QUICK = {"invert": InvertOptions(max_passes=1), "stitch": StitchOptions(max_steps=2)}


@dataclass(frozen=True)
class System:
    """A deployment whose editor finds its stitchers by name."""

    deployment: Deployment
    known: ChangingNames
    video: ArtifactRef
    store: Path

    def edit(self, strength: float, when_stitching: Callable[[], None]) -> EditVideoResult:
        """Edits, and calls `when_stitching` once a frame is being stitched."""
        return asyncio.run(self._edit({"smile": strength}, when_stitching))

    async def _edit(self, edits: dict[str, float], when_stitching: Callable[[], None]) -> EditVideoResult:
        happened = False
        async with Client(self.deployment.endpoint("editor")) as client:
            async for event in client.edit_video(self.video, edits, timeout=500, **QUICK):
                if not isinstance(event, Progress):
                    assert happened
                    return event
                if event.stage == "stitch" and event.step == "stitch" and not happened:
                    when_stitching()
                    happened = True
        raise AssertionError("no result")

    def finished(self) -> dict[Path, int]:
        """The stitched ranges in the store, and when each was written."""
        parts = self.store.glob("artifacts/*/stitch/*/parts/*/frames-*")
        return {path: path.stat().st_mtime_ns for path in parts}

    def cut_off(self) -> float:
        """Stitch calls that the editor repeated because their replica was gone."""
        return figure(self.deployment.services["editor"], "seamline_stage_retries_total", reason="unavailable")


def figure(service: Service, name: str, **labels: str) -> float:
    """One of a service's metrics, of its stitching."""
    with urllib.request.urlopen(f"http://{service.host}:{service.metrics_port}/metrics") as page:
        families = text_string_to_metric_families(page.read().decode())
    wanted = {"stage": "stitch", **labels}
    return sum(s.value for family in families for s in family.samples if s.name == name and s.labels == wanted)


@contextmanager
def name_server(address: str) -> Iterator[ChangingNames]:
    """The name server, in a thread of its own."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    stopped, served = asyncio.Event(), []

    async def serve() -> None:
        async with names(address) as server:
            served.append(server)
            started.set()
            await stopped.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(10)
    try:
        yield served[0]
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("scaling")
    store = folder / "store"
    video = put_object(open_store(store.as_uri()), "videos/long.mp4", looped(folder / "long.mp4", 2))
    with socket.socket() as held:
        held.bind((FIRST, 0))
        port = held.getsockname()[1]
    with name_server(FIRST) as known:
        environment = {
            "SEAMLINE_STITCHER": f"dns://{known.endpoint}/stitcher.test:{port}",
            "SEAMLINE_MAX_CONNECTION_AGE_SECONDS": "1",
            "SEAMLINE_DRAIN_SECONDS": "120",
            "SEAMLINE_THREADS": "1",
        }
        services = Deployment(
            folder / "services", store=store.as_uri(), environment=environment, replicas={"stitcher": 0}
        )
        with services as deployment:
            assert deployment.add("stitcher", host=FIRST, port=port) == "stitcher"
            assert deployment.add("stitcher", host=SECOND, port=port) == "stitcher-2"
            yield System(deployment, known, video, store)


@pytest.fixture
def joined(system: System) -> str:
    """The second stitcher, running and known by name."""
    if system.deployment.services["stitcher-2"].process.poll() is not None:
        system.deployment.restart("stitcher-2")
    system.known.addresses[:] = [FIRST, SECOND]
    return "stitcher-2"


def test_a_stitcher_that_joins_takes_its_share_of_a_video_under_way(system: System) -> None:
    result = system.edit(1.0, lambda: system.known.addresses.append(SECOND))
    assert len(result.stitched) == RANGES
    shares = [
        figure(system.deployment.services[name], "seamline_frames_processed_total")
        for name in ("stitcher", "stitcher-2")
    ]
    assert sum(shares) == FRAMES  # nothing is done twice
    assert min(shares) > 0
    assert len(system.finished()) == RANGES


def test_a_stitcher_that_is_told_to_stop_finishes_its_range(system: System, joined: str) -> None:
    earlier, before = system.cut_off(), system.finished()
    leaving = system.deployment.services[joined].process
    result = system.edit(1.5, lambda: leaving.send_signal(signal.SIGTERM))
    assert leaving.wait(120) == 0
    assert len(result.stitched) == RANGES
    assert system.cut_off() == earlier
    assert len(system.finished()) - len(before) == RANGES


def test_a_stitcher_that_dies_costs_its_range_in_hand(system: System, joined: str) -> None:
    earlier, before = system.cut_off(), system.finished()
    survived: dict[Path, int] = {}

    def die() -> None:
        survived.update(system.finished())
        system.deployment.kill(joined)

    done = figure(system.deployment.services["stitcher"], "seamline_frames_processed_total")
    result = system.edit(2.0, die)
    assert len(result.stitched) == RANGES
    assert system.cut_off() > earlier
    finished = system.finished()
    assert len(finished) - len(before) == RANGES
    assert {path: finished[path] for path in survived} == survived
    done = figure(system.deployment.services["stitcher"], "seamline_frames_processed_total") - done
    assert done == FRAMES - sum(FRAMES // RANGES for path in survived if path not in before)
