"""What `probe` says is what the frames are."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from seamline.v1.media_pb2 import VideoInfo
from seamline.video import VideoFacts, probe
from seamline.video.index import index_video
from tests.unit.video.films import STEADY, film


def test_a_plain_video(tmp_path: Path) -> None:
    facts = probe(film(tmp_path / "a.mp4", count=10, sound="aac"))
    assert facts == VideoFacts(width=64, height=48, frame_count=10, fps=25.0, duration_seconds=0.4, has_audio=True)
    assert facts.to_proto() == VideoInfo(
        width=64, height=48, frame_count=10, fps=25.0, duration_seconds=0.4, has_audio=True
    )


def test_a_variable_rate_has_its_mean_and_its_whole_duration(tmp_path: Path) -> None:
    facts = probe(film(tmp_path / "a.mp4", times=[0, 512, 1024, 2560, 5120]))
    assert facts.frame_count == 5
    # The last frame is taken to stay as long as the median one: 1536 ticks of the steps 512, 512, 1536, 2560.
    assert facts.duration_seconds == pytest.approx((5120 + 1536) / 12800)
    assert facts.fps == pytest.approx(5 / facts.duration_seconds)
    assert not facts.has_audio
    assert index_video(tmp_path / "a.mp4").seconds == pytest.approx([0, 0.04, 0.08, 0.2, 0.4])


def test_moments_count_from_the_first_frame(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", times=[1280, 2560, 3840])
    assert index_video(path).seconds == pytest.approx([0, 0.1, 0.2])


@pytest.mark.parametrize("file", ["a.mkv", "a.ts", "a.mov", "a.webm"])
def test_containers_with_and_without_a_count(tmp_path: Path, file: str) -> None:
    codec = {"codec": "libvpx"} if file == "a.webm" else {"options": {"x264-params": "bframes=2"}}
    facts = probe(film(tmp_path / file, count=9, **codec))
    assert facts.frame_count == 9
    assert facts.fps == pytest.approx(25, rel=0.03)


def test_odd_sizes_and_other_pixel_shapes_are_told_in_pixels(tmp_path: Path) -> None:
    facts = probe(film(tmp_path / "a.mp4", size=(51, 37), layout="yuv444p", aspect=Fraction(4, 3)))
    assert (facts.width, facts.height) == (51, 37)


def test_times_that_a_container_mixes_up_go_forward_again(tmp_path: Path) -> None:
    # AVI has no presentation times; guessed ones come out of order with B-frames.
    path = film(tmp_path / "a.avi", count=9, options={"x264-params": "bframes=2"})
    index = index_video(path)
    assert len(index) == 9
    assert not index.timed
    steps = [b - a for a, b in pairwise(index.times)]
    assert min(steps) > 0
    assert steps.count(STEADY * 600 // 12800) >= 7


def test_a_changed_file_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    assert probe(film(path, count=4)).frame_count == 4
    assert probe(film(path, count=7)).frame_count == 7
