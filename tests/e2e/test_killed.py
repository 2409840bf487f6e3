"""A stitcher that is killed half-way costs the frame range in hand, and nothing else."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from seamline.v1.inverter_pb2 import InvertOptions
from seamline.v1.media_pb2 import Progress
from seamline.v1.stitcher_pb2 import StitchOptions
from tests.e2e.clips import cut

pytestmark = pytest.mark.e2e

QUICK = {"invert": InvertOptions(max_passes=1), "stitch": StitchOptions(max_steps=2)}
EDITS = {"smile": 1.5}
FRAMES, RANGES = 52, 2
"""Frames of the clip, and the ranges in which they are stored."""


@pytest.fixture(scope="module")
def video(system, tmp_path_factory):
    return system.upload(cut(tmp_path_factory.mktemp("long") / "long.mp4", FRAMES))


def _stitched(system):
    """The finished ranges: parts with edited frames, and when they were written."""
    return {
        key: time
        for key, time in system.written().items()
        if key.startswith("artifacts/") and "/stitch/" in key and "/parts/" in key and "/frames-" in key
    }


async def _edit_until_a_range_is_done(system, video, before):
    """Edits until the first range of this video is in the store, then kills the stitcher."""
    async with system.client as client:
        async for event in client.edit_video(video, EDITS, timeout=400, **QUICK):
            if isinstance(event, Progress) and len(_stitched(system)) > before:
                system.deployment.kill("stitcher")
                return
    raise AssertionError("the edit was over before a range could be seen")


def test_a_killed_stitcher_is_taken_up_where_it_stopped(system, video):
    earlier = _stitched(system)
    asyncio.run(_edit_until_a_range_is_done(system, video, len(earlier)))
    survived = {key: time for key, time in _stitched(system).items() if key not in earlier}
    assert survived

    system.deployment.restart("stitcher")
    result = system.edit(video, EDITS, **QUICK)

    assert len(result.stitched) == RANGES
    finished = _stitched(system)
    assert {key: finished[key] for key in survived} == survived  # not written again
    assert len(finished) - len(earlier) == RANGES
    assert "invert.pti" not in result.step_seconds


def test_an_edit_outlives_the_death_of_its_stitcher(system, video):
    """The editor repeats the range by itself once the stitcher is back."""
    edits = {"smile": -0.5}

    stitching = threading.Event()

    async def edit():
        async with system.client as client:
            async for event in client.edit_video(video, edits, timeout=400, **QUICK):
                if not isinstance(event, Progress):
                    return event
                if event.stage == "stitch":
                    stitching.set()
        raise AssertionError("no result")

    with ThreadPoolExecutor(1) as thread:
        result = thread.submit(asyncio.run, edit())
        assert stitching.wait(timeout=300)
        system.deployment.kill("stitcher")
        system.deployment.restart("stitcher")
        assert len(result.result().stitched) == RANGES
