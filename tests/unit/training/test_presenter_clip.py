"""The demo clip: what it shows, what is heard, and that the stored one is what the code makes."""

from pathlib import Path

import av
import numpy as np
import pytest

from seamline.errors import InvalidInput
from seamline.video.pixels import to_rgb
from training.presenter_clip import (
    RATE,
    ClipConfig,
    backdrop,
    performance,
    pictures,
    voice,
    write_clip,
)
from training.renderer.camera import aligned_axes
from training.renderer.parameters import INDEX, group_indices
from training.renderer.render import render

ASSET = Path(__file__).parents[3] / "assets" / "presenter.mp4"
CONFIG = ClipConfig()


def curve(name: str) -> np.ndarray:
    """The stored clip's parameter (72,)."""
    return np.array([m.params[INDEX[name]] for m in performance(CONFIG)])


def written(path: Path, config: ClipConfig) -> bytes:
    moments = performance(config)
    write_clip(path, pictures(moments, backdrop(config)), voice(config, moments), config)
    return path.read_bytes()


def test_presenter_is_one_calm_person_within_the_poses_of_training() -> None:
    params = np.stack([m.params for m in performance(CONFIG)])
    identity = params[:, group_indices("identity")]
    assert (identity == identity[0]).all()
    for name, limit in {"yaw": 15.0, "pitch": 8.0, "roll": 6.0, "smile": 0.1}.items():
        assert np.abs(curve(name)).max() <= limit, name
    assert np.abs(np.diff(curve("yaw"))).max() < 1.0
    assert np.ptp(curve("yaw")) > 4.0
    assert 0.3 < curve("mouth_open").max() < 0.45
    assert curve("eyes_open").min() < 0.1
    assert (curve("eyes_open") > 0.8).mean() > 0.85
    assert curve("glasses").max() == curve("beard").max() == 0.0


def test_another_seed_is_another_person() -> None:
    one, other = (performance(ClipConfig(seed=s, frames=1))[0].params for s in (4137, 4143))
    assert np.abs(one - other)[group_indices("identity")].max() > 0.1


def test_voice_is_heard_when_the_mouth_is_open() -> None:
    moments = performance(CONFIG)
    sound = voice(CONFIG, moments)
    assert sound.shape == (CONFIG.frames * RATE // CONFIG.fps,)
    assert np.abs(sound).max() == pytest.approx(0.5, abs=1e-3)
    assert max(abs(sound[0]), abs(sound[-1])) < 1e-3
    loudness = np.sqrt((sound.reshape(CONFIG.frames, -1) ** 2).mean(axis=1))
    mouth = curve("mouth_open")
    at_once = np.corrcoef(loudness, mouth)[0, 1]
    assert at_once > 0.85
    assert all(np.corrcoef(np.roll(loudness, lag), mouth)[0, 1] < at_once for lag in (-3, -2, 2, 3))
    assert loudness[mouth < 0.01].max() < 0.02 * loudness.max()


def test_voice_has_the_pitch_of_a_voice() -> None:
    sound = voice(CONFIG, performance(CONFIG))
    pieces = sound[: 4096 * (sound.size // 4096)].reshape(-1, 4096).astype(float)
    piece = pieces[(pieces**2).sum(axis=1).argmax()]
    likeness = np.fft.irfft(np.abs(np.fft.rfft(piece, 8192)) ** 2)  # autocorrelation
    periods = np.arange(RATE // 300, RATE // 80)
    assert 115.0 < RATE / periods[likeness[periods].argmax()] < 185.0


def test_a_clip_is_written_with_sound_and_tags_and_the_same_again(tmp_path: Path) -> None:
    config = ClipConfig(seed=5, frames=3, width=96, height=72)
    data = written(tmp_path / "a.mp4", config)
    assert data == written(tmp_path / "b.mp4", config)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["a.mp4", "b.mp4"]
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(tmp_path / "a.mp4")) as clip:
        frames = list(clip.decode(video=0))
        assert [(f.width, f.height) for f in frames] == [(96, 72)] * 3
        assert [f.time for f in frames] == pytest.approx([0.0, 1 / 24, 2 / 24])
        assert (frames[0].colorspace, frames[0].color_primaries, frames[0].color_trc) == (1, 1, 1)
        assert clip.streams.video[0].average_rate == 24
        clip.seek(0)
        speech = clip.streams.audio[0]
        assert (speech.codec_context.name, speech.rate, speech.channels) == ("aac", RATE, 1)
        assert sum(f.samples for f in clip.decode(speech)) == pytest.approx(3 / 24 * RATE, abs=1024)


def test_a_failed_clip_leaves_nothing(tmp_path: Path) -> None:
    config = ClipConfig(frames=2, width=96, height=72)
    wrong = [np.zeros((72, 96, 3), np.uint8), np.zeros((72, 96), np.uint8)]
    with pytest.raises(ValueError, match="ndim"):
        write_clip(tmp_path / "a.mp4", wrong, np.zeros(4000, np.float32), config)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"width": 97}, {"height": 71}, {"fps": 7}])
def test_a_clip_that_cannot_be_encoded_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        ClipConfig(**wrong)


def test_stored_clip_is_what_the_code_makes() -> None:
    moments = performance(CONFIG)
    assert ASSET.stat().st_size < 2_000_000
    with av.open(str(ASSET)) as clip:
        frames = [to_rgb(f) for f in clip.decode(video=0)]
    assert len(frames) == CONFIG.frames
    with av.open(str(ASSET)) as clip:
        heard = np.concatenate([f.to_ndarray()[0] for f in clip.decode(audio=0)])
    made = voice(CONFIG, moments)
    assert np.corrcoef(heard[: made.size], made)[0, 1] > 0.99
    moment = moments[31]
    shown = render(moment.params, moment.camera, background=backdrop(CONFIG))
    assert ((frames[31].astype(float) - shown.image) ** 2).mean() < 6.0
    centre, x, y = aligned_axes(shown.landmarks.astype(float))
    quad = np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])
    assert 256 <= 2.0 * np.hypot(*x) <= 330
    assert (quad > 0).all()
    assert (quad < (CONFIG.width, CONFIG.height)).all()
