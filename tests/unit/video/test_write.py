"""An edited video differs from its source in the frames handed in, and in nothing else."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from seamline.errors import InvalidInput
from seamline.video import probe, read_frames, write_video
from seamline.video.index import index_video
from tests.unit.video.films import Rgb, film, number_of, packets, picture, shown

PHONE = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
UNEVEN = [0, 300, 1111, 1112, 5000, 5400, 12800, 12900]

Rewrite = Callable[[Path], Path]


@pytest.fixture
def rewrite(tmp_path: Path) -> Rewrite:
    """Writes a source's own frames anew."""

    def run(source: Path) -> Path:
        write_video(tmp_path / "out" / "edited.mp4", read_frames(source), like=source)
        return tmp_path / "out" / "edited.mp4"

    return run


def noisy(count: int) -> Iterator[Rgb]:
    draw = np.random.default_rng(7)
    for number in range(count):
        yield np.clip(picture(number).astype(int) + draw.integers(-9, 10, (48, 64, 1)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "3"}])
def test_a_variable_rate_stays_as_it_was_to_the_tick(tmp_path: Path, rewrite: Rewrite, options: dict[str, str]) -> None:
    source = film(tmp_path / "a.mp4", times=UNEVEN, options=options)
    edited = rewrite(source)
    assert shown(edited) == shown(source) == [Fraction(time, 12800) for time in UNEVEN]
    assert probe(edited) == probe(source)
    assert [number_of(frame) for frame in read_frames(edited)] == list(range(len(UNEVEN)))


def test_even_noise_comes_back_nearly_as_handed_in(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", count=20)
    frames = list(noisy(20))
    write_video(tmp_path / "b.mp4", frames, like=source)
    got = np.stack(list(read_frames(tmp_path / "b.mp4"))).astype(float)
    luma = np.array([0.299, 0.587, 0.114])
    error = ((got - np.stack(frames)) @ luma) ** 2
    assert 10 * np.log10(255**2 / error.mean()) > 38
    assert abs((got - np.stack(frames)).mean()) < 0.3


def test_the_bytes_depend_on_nothing_that_was_left_in_memory(tmp_path: Path) -> None:
    """In processes whose memory is filled with one thing or another when they get it."""
    source = film(tmp_path / "source.mp4", count=24, size=(320, 240))
    program = (
        "import sys; from seamline.video import read_frames, write_video; "
        "_, source, path = sys.argv; write_video(path, read_frames(source), like=source)"
    )
    made = []
    for left in ("0", "1", "170"):
        path = tmp_path / f"{left}.mp4"
        environment = os.environ | {"MALLOC_PERTURB_": left}
        subprocess.run([sys.executable, "-c", program, str(source), str(path)], env=environment, check=True)
        made.append(path.read_bytes())
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("codec", ["aac", "libmp3lame", "libopus", "flac"])
def test_sound_is_passed_on_packet_by_packet(tmp_path: Path, rewrite: Rewrite, codec: str) -> None:
    source = film(tmp_path / ("a.mkv" if codec == "libopus" else "a.mp4"), count=30, sound=codec)
    edited = rewrite(source)
    old, new = packets(source, "audio"), packets(edited, "audio")
    assert [data for _, data in new] == [data for _, data in old]
    offset = new[0][0] - old[0][0]
    # Matroska counts milliseconds; nothing may drift.
    assert all(abs((b - a) - offset) <= Fraction(1, 1000) for (a, _), (b, _) in zip(old, new, strict=True))
    assert abs(offset - (shown(edited)[0] - shown(source)[0])) <= Fraction(1, 1000)


def test_sound_that_players_do_not_find_in_mp4_becomes_aac(tmp_path: Path, rewrite: Rewrite) -> None:
    source = film(tmp_path / "a.mov", count=50, sound="pcm_s16le")
    edited = rewrite(source)
    with av.open(str(edited)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.rate, stream.channels) == ("aac", 44100, 2)
        wave = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(stream)])
    assert len(wave) / 44100 == pytest.approx(2.0, abs=0.08)
    # It still is a hum of 440 Hz.
    spectrum = np.abs(np.fft.rfft(wave[8192 : 8192 + 44100]))
    assert spectrum.argmax() == pytest.approx(440, abs=2)


def test_every_sound_track_is_kept_with_its_language(tmp_path: Path, rewrite: Rewrite) -> None:
    source = tmp_path / "two.mkv"
    with (
        av.open(str(film(tmp_path / "a.mp4", count=5, sound="aac"))) as old,
        av.open(str(source), "w") as new,
    ):
        picture_in, sound_in = old.streams.video[0], old.streams.audio[0]
        picture_out = new.add_stream_from_template(picture_in)
        tracks = [new.add_stream_from_template(sound_in) for _ in range(2)]
        for track, language in zip(tracks, ("eng", "deu"), strict=True):
            track.metadata["language"] = language
        for packet in old.demux(picture_in, sound_in):
            if packet.dts is None:
                continue
            for target in [picture_out] if packet.stream is picture_in else tracks:
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.duration, copy.is_keyframe, copy.stream = packet.duration, packet.is_keyframe, target
                new.mux(copy)
    with av.open(str(rewrite(source))) as container:
        assert [stream.language for stream in container.streams.audio] == ["eng", "deu"]


@pytest.mark.parametrize("size", [(51, 48), (64, 37), (51, 37), (1, 1)])
def test_odd_sizes_stay_exactly(tmp_path: Path, size: tuple[int, int]) -> None:
    source = film(tmp_path / "a.mp4", count=3)
    frames = [picture(number, *size) for number in range(3)]
    write_video(tmp_path / "b.mp4", frames, like=source)
    got = list(read_frames(tmp_path / "b.mp4"))
    assert [frame.shape for frame in got] == [(size[1], size[0], 3)] * 3
    assert np.abs(got[2].astype(int) - frames[2]).mean() < 3


@pytest.mark.parametrize(
    "tags",
    [
        {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1},
        {"colorspace": 6, "color_primaries": 6, "color_trc": 6, "color_range": 2},
        {"colorspace": 9, "color_primaries": 9, "color_trc": 14, "color_range": 1},
    ],
)
def test_colours_and_their_tags_stay(tmp_path: Path, rewrite: Rewrite, tags: dict[str, int]) -> None:
    source = film(tmp_path / "a.mp4", count=3, tags=tags)
    edited = rewrite(source)
    with av.open(str(edited)) as container:
        context = container.streams.video[0].codec_context
        assert {name: int(getattr(context, name)) for name in tags} == tags
    old, new = next(read_frames(source)), next(read_frames(edited))
    assert np.abs(old.astype(int) - new).mean() < 2


def test_a_turned_video_is_stored_upright(tmp_path: Path, rewrite: Rewrite) -> None:
    source = film(tmp_path / "a.mp4", count=3, matrix=PHONE, aspect=Fraction(4, 3))
    edited = rewrite(source)
    with av.open(str(edited)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        assert (frame.rotation, frame.width, frame.height) == (0, 48, 64)
        assert stream.sample_aspect_ratio == Fraction(3, 4)
    assert np.abs(next(read_frames(source)).astype(int) - next(read_frames(edited))).mean() < 2


def test_a_broadcast_that_begins_late_begins_at_once(tmp_path: Path, rewrite: Rewrite) -> None:
    source = film(tmp_path / "a.ts", count=20, sound="aac", start=1_000_000)
    assert shown(source)[0] > 78
    edited = rewrite(source)
    assert index_video(edited).times[0] * index_video(edited).time_base < Fraction(1, 10)
    lag = [shown(path)[0] - packets(path, "audio")[0][0] for path in (source, edited)]
    assert abs(lag[0] - lag[1]) < Fraction(1, 1000)
    steps = [b - a for a, b in pairwise(shown(edited))]
    assert set(steps) == {Fraction(1, 25)}


def test_the_index_is_in_front_and_sound_beside_the_picture(tmp_path: Path, rewrite: Rewrite) -> None:
    edited = rewrite(film(tmp_path / "a.mp4", count=60, sound="aac"))
    data = edited.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(edited)) as container:
        kinds = [packet.stream.type for packet in container.demux() if packet.size]
    assert sum(a != b for a, b in pairwise(kinds)) > 78


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "no frames for a video like a.mp4, which has 4"),
        ([picture(0)] * 3, "only 3 frames for a video like one of 4"),
        ([picture(0)] * 5, "more frames than the 4"),
        ([picture(0), picture(1, 62, 48), picture(2), picture(3)], r"frame 1 is uint8 \(48, 62, 3\)"),
        ([picture(0), picture(1).astype(float), picture(2), picture(3)], "frame 1 is float64"),
        ([picture(0)[..., 0]] * 4, r"frame 0 is uint8 \(48, 64\)"),
    ],
)
def test_frames_that_do_not_fit_leave_no_file(tmp_path: Path, frames: list[Rgb], message: str) -> None:
    source = film(tmp_path / "a.mp4", count=4)
    with pytest.raises(InvalidInput, match=message):
        write_video(tmp_path / "b.mp4", frames, like=source)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_frames_are_taken_one_at_a_time(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", count=40)
    alive: list[int] = []

    def frames() -> Iterator[Rgb]:
        for number in range(40):
            frame = picture(number)
            alive.append(number)
            yield frame
            alive.remove(number)
            assert len(alive) <= 1

    write_video(tmp_path / "b.mp4", frames(), like=source)
    assert probe(tmp_path / "b.mp4").frame_count == 40
