"""Reading crops range by range: what is read, when, and how much of it is kept."""

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from seamline_inverter.crops import TrackCrops

from seamline.alignment import Range, TrackGeometry
from seamline.errors import DigestMismatch
from seamline.storage.framepack import Frames

SECONDS = 10.0


class CountingSource:
    """An alignment with one track, absent in frames 4 to 8; notes what is read of it and can refuse to be."""

    ranges = ((0, 4), (4, 8), (8, 12), (12, 14))

    def __init__(self) -> None:
        self.reads: list[Range] = []
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
        (wanted,) = stored
        self.reads.append(wanted)
        if len(self.reads) > 1:
            self.another.set()
        if wanted == self.broken:
            raise DigestMismatch(f"frames {wanted} are damaged")
        return np.full((wanted[1] - wanted[0], 1, 1, 3), wanted[0], np.uint8)


@pytest.fixture
def source() -> CountingSource:
    return CountingSource()


@pytest.fixture
def crops(source: CountingSource) -> Iterator[TrackCrops]:
    with TrackCrops(source, 0) as crops:  # pyright: ignore[reportArgumentType]
        yield crops


def test_places_are_those_of_the_ranges_that_show_the_face(crops: TrackCrops) -> None:
    assert crops.places == [slice(0, 4), slice(4, 8), slice(8, 10)]
    assert crops.frames.tolist() == [0, 1, 2, 3, 8, 9, 10, 11, 12, 13]
    for number, place in enumerate(crops.places):
        taken = crops.take(number, number)
        assert len(taken) == place.stop - place.start
        assert (taken == crops.frames[place][0]).all()


def test_the_next_range_is_read_before_it_is_asked_for(source: CountingSource, crops: TrackCrops) -> None:
    crops.take(0, following=2)
    assert source.another.wait(SECONDS)
    assert source.reads == [(0, 4), (12, 14)]


@pytest.mark.parametrize("ranges", [1, 2])
def test_a_short_clip_is_read_once(source: CountingSource, crops: TrackCrops, ranges: int) -> None:
    visits = [0, 1 % ranges, 1 % ranges, 0, 0]
    for number, following in zip(visits, [*visits[1:], 0], strict=True):
        crops.take(number, following)
    assert len(source.reads) == ranges


def test_a_read_that_fails_fails_the_one_who_asks(source: CountingSource, crops: TrackCrops) -> None:
    source.broken = (8, 12)
    assert len(crops.take(0, following=1)) == 4
    with pytest.raises(DigestMismatch, match="damaged"):
        crops.take(1, following=2)
