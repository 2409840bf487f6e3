"""Every frame, in order, upright and in its true colours, from wherever one starts."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from seamline.errors import InvalidInput
from seamline.video import probe, read_frames
from tests.unit.video.films import film, number_of, picture

ONE = 1 << 16
LAST = 1 << 30

# Streams that seeking gets wrong in different ways.
STREAMS: dict[str, tuple[str, dict[str, object]]] = {
    "closed groups with B-frames": ("a.mp4", {"options": {"x264-params": "keyint=5:bframes=2:scenecut=0"}}),
    "open groups": (
        "a.mp4",
        {"options": {"x264-params": "keyint=6:min-keyint=2:open-gop=1:bframes=3:b-adapt=0:scenecut=0"}},
    ),
    "one group": ("a.mp4", {"options": {"x264-params": "keyint=250"}}),
    "Matroska": ("a.mkv", {"options": {"x264-params": "keyint=5:bframes=2"}}),
    "broadcast": ("a.ts", {"options": {"x264-params": "keyint=5:bframes=2"}}),
    "every frame a key": ("a.avi", {"codec": "mjpeg", "layout": "yuvj420p", "options": {"qscale": "2"}}),
    "MPEG-4 part 2": ("a.avi", {"codec": "mpeg4", "options": {"g": "4", "qscale": "2"}}),
    "no times at all": ("a.h264", {"options": {"x264-params": "keyint=5:bframes=0"}}),
}


@pytest.mark.parametrize("name", STREAMS)
def test_any_range_is_that_slice_of_the_whole(tmp_path: Path, name: str) -> None:
    file, shape = STREAMS[name]
    path = film(tmp_path / file, count=17, **shape)  # type: ignore[arg-type]
    whole = list(read_frames(path))
    assert [number_of(frame) for frame in whole] == list(range(17))
    assert probe(path).frame_count == 17
    for start in range(17):
        for end in {start, start + 1, min(start + 4, 17)}:
            part = list(read_frames(path, start, end))
            assert len(part) == end - start
            assert all(np.array_equal(a, b) for a, b in zip(part, whole[start:end], strict=True)), (
                start,
                end,
            )
    assert number_of(next(read_frames(path, 16))) == 16


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 2), (0, 13), (12, 13)])
def test_a_range_outside_the_video_is_refused(tmp_path: Path, start: int, end: int) -> None:
    path = film(tmp_path / "a.mp4", count=12)
    with pytest.raises(InvalidInput, match=r"a\.mp4, which has 12 frames"):
        next(read_frames(path, start, end))


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((0, ONE, 0, -ONE, 0, 0, 0, 0, LAST), lambda stored: np.rot90(stored, -1)),  # a phone held upright
        ((0, -ONE, 0, ONE, 0, 0, 0, 0, LAST), lambda stored: np.rot90(stored, 1)),
        ((-ONE, 0, 0, 0, -ONE, 0, 0, 0, LAST), lambda stored: np.rot90(stored, 2)),
        ((-ONE, 0, 0, 0, ONE, 0, 0, 0, LAST), np.fliplr),  # a selfie
        ((0, ONE, 0, ONE, 0, 0, 0, 0, LAST), lambda stored: stored.swapaxes(0, 1)),
    ],
)
def test_frames_come_upright(
    tmp_path: Path, matrix: tuple[int, ...], upright: Callable[[np.ndarray], np.ndarray]
) -> None:
    stored = list(read_frames(film(tmp_path / "plain.mp4", count=2)))
    path = film(tmp_path / "turned.mp4", count=2, matrix=matrix)
    turned = list(read_frames(path))
    assert all(np.array_equal(a, upright(b)) for a, b in zip(turned, stored, strict=True))
    assert (probe(path).width, probe(path).height) == turned[0].shape[1::-1]


def test_the_turn_is_the_one_that_the_decoder_reports(tmp_path: Path) -> None:
    path = film(tmp_path / "turned.mp4", count=1, matrix=(0, ONE, 0, -ONE, 0, 0, 0, 0, LAST))
    with av.open(str(path)) as container:
        quarter_turns = next(container.decode(video=0)).rotation // 90
    stored = next(read_frames(film(tmp_path / "plain.mp4", count=1)))
    assert np.array_equal(next(read_frames(path)), np.rot90(stored, quarter_turns))


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(("matrix", "size"), [(1, (64, 48)), (6, (64, 48)), (2, (64, 48)), (2, (64, 720))])
def test_colours_follow_the_tags(tmp_path: Path, matrix: int, size: tuple[int, int], full_range: bool) -> None:
    path = tmp_path / "a.mp4"
    # Untagged (2) is BT.709 from HD on and BT.601 below.
    weights = (0.2126, 0.0722) if matrix == 1 or size[1] > 576 else (0.299, 0.114)
    colour = np.array([200.0, 80.0, 40.0])
    _flat_film(path, size, matrix, full_range, _yuv(colour, *weights, full_range))
    assert np.abs(next(read_frames(path))[20, 20] - colour).max() <= 2


def test_reading_does_not_darken(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", count=1, options={"qp": "0"}, tags={"colorspace": 6})
    got = next(read_frames(path)).astype(float)
    assert abs((got - picture(0)).mean()) < 0.5


def test_frames_are_decoded_as_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "a.mp4", count=40)
    probe(path)
    converted = []
    monkeypatch.setattr("seamline.video.read.to_rgb", lambda frame: converted.append(frame) or frame)
    assert len(list(islice(read_frames(path), 3))) == len(converted) == 3


def _yuv(rgb: np.ndarray, red: float, blue: float, full_range: bool) -> tuple[int, int, int]:
    """Y'CbCr of one colour by the definition in ITU-R BT.601 and BT.709."""
    luma = red * rgb[0] + (1 - red - blue) * rgb[1] + blue * rgb[2]
    cb, cr = (rgb[2] - luma) / (2 - 2 * blue), (rgb[0] - luma) / (2 - 2 * red)
    if full_range:
        return round(luma), round(cb + 128), round(cr + 128)
    return round(16 + luma * 219 / 255), round(128 + cb * 224 / 255), round(128 + cr * 224 / 255)


def _flat_film(path: Path, size: tuple[int, int], matrix: int, full_range: bool, yuv: tuple[int, int, int]) -> None:
    width, height = size
    planes = [np.full((height, width), yuv[0]), *(np.full((height // 4, width), value) for value in yuv[1:])]
    frame = av.VideoFrame.from_ndarray(np.concatenate(planes).astype(np.uint8), format="yuv420p")
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.color_range = frame.color_range = 2 if full_range else 1
        stream.codec_context.colorspace = frame.colorspace = matrix
        target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
