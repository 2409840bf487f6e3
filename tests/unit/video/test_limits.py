"""What is too large or too long is refused when its header says so, or while it is decoded where headers lie."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from seamline.errors import InvalidInput, UnreadableVideo
from seamline.video import Limits, probe, source
from seamline.video.limits import MAX_FRAMES
from tests.unit.video.films import STEADY, film


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the frames that are decoded, in its only element."""
    count = [0]
    decode = source.decode

    def counted(*given):
        for frame in decode(*given):
            count[0] += 1
            yield frame

    monkeypatch.setattr("seamline.video.index.decode", counted)
    return count


def refused(path: Path, limits: Limits) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        probe(path, limits)
    assert caught.type is InvalidInput
    return caught.value


def test_what_is_just_within_the_limits_is_accepted(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", count=10)
    size = path.stat().st_size
    assert probe(path, Limits(bytes=size, seconds=0.4, frames=10, pixels=64 * 48)).frame_count == 10


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts", "h264"])
@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Limits(bytes=900), "of 900 at most (SEAMLINE_MAX_VIDEO_BYTES)"),
        (Limits(seconds=0.25), "lasts longer than 0.25 s (SEAMLINE_MAX_VIDEO_SECONDS)"),
        (Limits(frames=9), "more than 9 frames (SEAMLINE_MAX_VIDEO_FRAMES)"),
        (Limits(pixels=3071), "64x48, 3072 pixels a frame, of 3071 at most (SEAMLINE_MAX_VIDEO_PIXELS)"),
        (Limits(pixels=500), "64x48, 3072 pixels a frame, of 500 at most"),
    ],
)
def test_what_is_beyond_a_limit_is_refused(tmp_path: Path, suffix: str, limits: Limits, text: str) -> None:
    options = {"bf": "0"} if suffix in ("h264", "avi") else None
    error = refused(film(tmp_path / f"a.{suffix}", count=10, options=options), limits)
    assert text in str(error)
    assert float(error.metadata["limit"]) in (900, 0.25, 9, 3071, 500)


@pytest.mark.parametrize("limits", [Limits(seconds=0.2), Limits(frames=5), Limits(pixels=3000)])
def test_a_header_that_says_so_is_enough(tmp_path: Path, limits: Limits, decoded: list[int]) -> None:
    refused(film(tmp_path / "a.mp4", count=10), limits)
    assert decoded == [0]


def claiming(path: Path, name: bytes, write: Callable[[bytearray, int], None]) -> Path:
    """Changes what a file says of itself; `write` gets the bytes, and where the content of the last `name` begins."""
    data = bytearray(path.read_bytes())
    write(data, data.rindex(name) + len(name))
    path.write_bytes(data)
    return path


DURATION = b"\x44\x89\x88"
"""Matroska's element, and that it has 8 bytes: a double, in milliseconds."""


def test_a_header_that_claims_hours_is_not_decoded_to_find_out(tmp_path: Path, decoded: list[int]) -> None:
    path = film(tmp_path / "a.mkv", count=10)
    claiming(path, DURATION, lambda data, at: struct.pack_into(">d", data, at, 7_200_000.0))
    assert "lasts longer than 3600 s" in str(refused(path, Limits(seconds=3600)))
    assert decoded == [0]


def test_a_header_that_claims_less_ends_the_decoding_at_the_limit(tmp_path: Path, decoded: list[int]) -> None:
    path = film(tmp_path / "a.mkv", count=40)
    claiming(path, DURATION, lambda data, at: struct.pack_into(">d", data, at, 40.0))
    assert "lasts longer than 0.4 s" in str(refused(path, Limits(seconds=0.4)))
    assert decoded == [12]
    assert "more than 20 frames" in str(refused(path, Limits(frames=20)))
    assert decoded == [12 + 21]


def test_a_stream_without_a_header_is_decoded_to_the_limit(tmp_path: Path, decoded: list[int]) -> None:
    path = film(tmp_path / "a.h264", count=40, options={"bf": "0"})
    refused(path, Limits(seconds=0.4))
    refused(path, Limits(frames=20))
    assert decoded == [12 + 21]


def test_few_frames_can_be_long(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", count=3, times=[0, STEADY, 4000 * 12800])
    assert "lasts longer than 3600 s" in str(refused(path, Limits(seconds=3600)))


def test_a_small_header_over_large_pictures_is_not_believed(tmp_path: Path, decoded: list[int]) -> None:
    """The container says 64x48, the stream inside 1024x1024."""
    path = film(tmp_path / "a.mp4", count=2, size=(1024, 1024), options={"preset": "ultrafast"})
    claiming(path, b"avc1", lambda data, at: struct.pack_into(">HH", data, at + 24, 64, 48))
    assert "is 1024x1024" in str(refused(path, Limits(pixels=640 * 480)))
    assert decoded == [0]
    assert probe(path).width == 1024


def test_decoders_have_no_room_for_what_no_header_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "a.h264", count=3, size=(1024, 1024), options={"bf": "0"})
    monkeypatch.setattr(Limits, "check_picture", lambda *_: None)
    with pytest.raises(UnreadableVideo, match=r"no frame of a\.h264 can be decoded"):
        probe(path, Limits(pixels=256 * 256))
    assert probe(path, Limits(pixels=1024 * 1024)).width == 1024


def test_what_was_found_under_wide_limits_is_measured_by_narrow_ones(tmp_path: Path, decoded: list[int]) -> None:
    path = film(tmp_path / "a.mp4", count=10)
    probe(path)
    assert decoded == [10]
    for limits in (Limits(seconds=0.3), Limits(frames=9), Limits(bytes=10), Limits(pixels=3000)):
        refused(path, limits)
    assert decoded == [10]


def test_without_limits_there_still_is_an_end(tmp_path: Path) -> None:
    assert Limits().frames == MAX_FRAMES
    Limits().check_length(MAX_FRAMES, 1e9, tmp_path)
    with pytest.raises(InvalidInput, match="more than 100000 frames"):
        Limits().check_length(MAX_FRAMES + 1, 1.0, tmp_path)
