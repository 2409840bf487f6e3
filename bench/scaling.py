"""What a second stitcher is worth, and what calls and storage cost beside the work.

    python -m bench.scaling [--video assets/presenter.mp4] [--edit smile=2] [--s3] [--rounds 1]

Three deployments of real processes edit the clip over one store, a directory or (--s3) a real S3 server here. The
first edits it all, as a user would: its overhead is the wall time that no step accounts for, and every second spent
on the object store, also where a step went on meanwhile. Then one and two stitchers, each with one thread and held to a
core of its own, take turns at stitching what the first inverted. Nothing else should run.
"""

import argparse
import asyncio
import os
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from minio import Minio
from prometheus_client.parser import text_string_to_metric_families

from seamline.client import Client
from seamline.deployment import Deployment
from seamline.storage import open_store, put_object
from seamline.v1.editor_pb2 import EditVideoResult, InvertedVideo
from seamline.v1.media_pb2 import ArtifactRef, Progress
from tests.integration.swift import ACCESS_KEY, SECRET_KEY, running_swift

STORE_SECONDS = "seamline_store_operation_duration_seconds_sum"
PINNED = {"SEAMLINE_THREADS": "1"}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Where the seconds of one edit went."""

    wall: float
    steps: float
    """In the steps of all stages."""
    store: float
    """In operations on the object store, of all services."""

    @property
    def overhead(self) -> float:
        """Share of the wall time, at most."""
        return (self.wall - self.steps + self.store) / self.wall


@contextmanager
def shared_store(folder: Path, s3: bool) -> Iterator[str]:
    """The URL of a fresh store."""
    if not s3:
        yield (folder / "store").as_uri()
        return
    os.environ |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    with running_swift() as server:
        Minio(server.endpoint.removeprefix("http://"), ACCESS_KEY, SECRET_KEY, secure=False).make_bucket("seamline")
        yield server.url("seamline")


async def edited(
    deployment: Deployment, video: ArtifactRef, edits: Mapping[str, float], inverted: InvertedVideo | None = None
) -> EditVideoResult:
    """One edit, to its end."""
    async with Client(deployment.endpoint("editor")) as client:
        async for event in client.edit_video(video, edits, inverted=inverted):
            if not isinstance(event, Progress):
                return event
    raise RuntimeError("the stream ended without a result")


def spent_on_store(deployment: Deployment) -> float:
    """Seconds, of all services since they started."""
    total = 0.0
    for service in deployment.services.values():
        with urllib.request.urlopen(f"http://127.0.0.1:{service.metrics_port}/metrics") as page:
            families = text_string_to_metric_families(page.read().decode())
        total += sum(s.value for family in families for s in family.samples if s.name == STORE_SECONDS)
    return total


def whole(folder: Path, url: str, video: ArtifactRef, edits: Mapping[str, float]) -> tuple[EditVideoResult, Cost]:
    """The edit from the video, and what it cost."""
    with Deployment(folder, store=url) as deployment:
        result = asyncio.run(edited(deployment, video, edits))
        store = spent_on_store(deployment)
    wall, steps = sum(result.stage_seconds.values()), sum(result.step_seconds.values())
    return result, Cost(wall=wall, steps=steps, store=store)


def stitching(
    folder: Path, url: str, video: ArtifactRef, edits: Mapping[str, float], inverted: InvertedVideo, stitchers: int
) -> float:
    """Seconds that so many stitchers take, each on a core of its own."""
    cores = sorted(os.sched_getaffinity(0))
    with Deployment(folder, store=url, environment=PINNED, replicas={"stitcher": stitchers}) as deployment:
        replicas = [service for service in deployment.services.values() if service.stage == "stitcher"]
        for core, replica in zip(cores, replicas, strict=False):
            for thread in Path(f"/proc/{replica.process.pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {core})
        return asyncio.run(edited(deployment, video, edits, inverted)).stage_seconds["stitch"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, default=Path("assets/presenter.mp4"))
    parser.add_argument("--edit", default="smile=2")
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    name, _, strength = arguments.edit.partition("=")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        url = stack.enter_context(shared_store(folder, arguments.s3))
        video = put_object(open_store(url), "videos/bench/source.mp4", arguments.video)
        result, cost = whole(folder / "whole", url, video, {name: float(strength)})
        print(f"whole edit {cost.wall:.1f} s, steps {cost.steps:.1f} s, store {cost.store:.2f} s: "
              f"overhead at most {cost.overhead:.1%}", flush=True)  # fmt: skip
        inverted = InvertedVideo(alignment=result.alignment, inversion=result.inversion)
        for turn in range(arguments.rounds):
            seconds = {}
            for stitchers in (1, 2):
                # A strength of its own, or the store would answer.
                own = {name: float(strength) + 1e-6 * (2 * turn + stitchers)}
                seconds[stitchers] = stitching(folder / f"{turn}-{stitchers}", url, video, own, inverted, stitchers)
            print(f"stitching: one stitcher {seconds[1]:.1f} s, two {seconds[2]:.1f} s, "
                  f"{seconds[2] / seconds[1]:.2f} of it", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
