"""Reading crops a group of ranges at a time: what is read, when, and how much of it is kept."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from seamline_inverter import crops
from seamline_inverter.crops import TrackCrops

from seamline.alignment import Range, TrackGeometry
from seamline.errors import DigestMismatch
from seamline.storage.framepack import Frames

SECONDS = 10.0


class CountingSource:
    """An alignment with one track, absent in frames 4 to 8; notes what is read of it and can refuse to be."""

    crop_size = 1
    ranges = ((0, 4), (4, 8), (8, 12), (12, 14))

    def __init__(self) -> None:
        self.reads: list[list[Range]] = []
        self.broken: Range | None = None
        self.another = threading.Event()

    def geometry(self, track: int) -> TrackGeometry:
        frames = np.array([frame for frame in range(14) if not 4 <= frame < 8], np.int32)
        count = len(frames)
        return TrackGeometry(
            frames=frames,
            quads=np.zeros((count, 4, 2)),
            landmarks=np.zeros((count, 68, 2), np.float32),
            detected=np.ones(count, bool),
        )

    def crops(self, track: int, stored: Sequence[Range]) -> Frames:
        self.reads.append(list(stored))
        if len(self.reads) > 1:
            self.another.set()
        if self.broken in stored:
            raise DigestMismatch(f"frames {self.broken} are damaged")
        return np.concatenate([np.arange(*range_, dtype=np.uint8)[:, None, None, None] for range_ in stored])


@pytest.fixture
def source() -> CountingSource:
    return CountingSource()


def opened(source: CountingSource, monkeypatch: pytest.MonkeyPatch, together: int) -> TrackCrops:
    """Crops of which a group holds so many ranges."""
    monkeypatch.setattr(crops, "MOST_BYTES", together * 4 * 3)
    return TrackCrops(source, 0)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize(("together", "groups"), [(1, 3), (2, 2), (3, 1), (9, 1)])
def test_a_pass_takes_every_crop_once(
    source: CountingSource, monkeypatch: pytest.MonkeyPatch, seed: int | None, together: int, groups: int
) -> None:
    with opened(source, monkeypatch, together) as crops:
        assert crops.groups == groups
        for start in (0, groups):
            taken = [crops.take(visit, 2 * groups, seed) for visit in range(start, start + groups)]
            places = np.concatenate([places for places, _ in taken])
            pixels = np.concatenate([pixels.ravel() for _, pixels in taken])
            assert sorted(places) == list(range(10))
            assert (crops.frames[places] == pixels).all()
    assert max(map(len, source.reads)) <= together


def test_the_order_is_the_videos_or_one_of_its_own_for_every_pass(
    source: CountingSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(source, monkeypatch, 1) as crops:
        video, drawn, again = (
            [crops.take(visit, 30, seed)[0][0].item() for visit in range(30)] for seed in (None, 3, 3)
        )
    assert video == [0, 4, 8] * 10
    assert len({tuple(drawn[start : start + 3]) for start in range(0, 30, 3)}) > 1
    assert drawn == again


def test_the_next_group_is_read_before_it_is_asked_for(source: CountingSource, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(source, monkeypatch, 1) as crops:
        crops.take(0, 3, None)
        assert source.another.wait(SECONDS)
        assert source.reads == [[(0, 4)], [(8, 12)]]


def test_nothing_is_read_after_the_last_visit(source: CountingSource, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(source, monkeypatch, 1) as crops:
        crops.take(2, 3, None)
    assert source.reads == [[(12, 14)]]


def test_a_short_clip_is_read_once(source: CountingSource, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(source, monkeypatch, 3) as crops:
        for visit in range(5):
            crops.take(visit, 5, 3)
    assert source.reads == [[(0, 4), (8, 12), (12, 14)]]


@pytest.mark.parametrize(("count", "frames"), [(3, [0, 8, 13]), (99, [0, 1, 2, 3, 8, 9, 10, 11, 12, 13]), (1, [0])])
def test_crops_spread_over_the_track_are_read_range_by_range(
    source: CountingSource, monkeypatch: pytest.MonkeyPatch, count: int, frames: list[int]
) -> None:
    with opened(source, monkeypatch, 9) as crops:
        places, pixels = crops.spread(count)
        assert crops.frames[places.numpy()].tolist() == frames
        assert pixels.ravel().tolist() == frames
    assert source.reads == [[stored] for stored in source.ranges if any(stored[0] <= f < stored[1] for f in frames)]


def test_a_read_that_fails_fails_the_one_who_asks(source: CountingSource, monkeypatch: pytest.MonkeyPatch) -> None:
    source.broken = (8, 12)
    with opened(source, monkeypatch, 1) as crops:
        assert len(crops.take(0, 3, None)[1]) == 4
        with pytest.raises(DigestMismatch, match="damaged"):
            crops.take(1, 3, None)
