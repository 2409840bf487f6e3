"""The demo clip: somebody on whom no network was trained, speaking to the camera, with sound.

`python -m training.presenter_clip --out assets/presenter.mp4` renders it, the same for the same seed.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.video.stream import VideoStream
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.signal import butter, lfilter, sosfilt

from seamline.errors import InvalidInput
from seamline.video.pixels import Colour, from_rgb
from training.renderer.parameters import INDEX
from training.renderer.presenter import Moment, presenter, studio
from training.renderer.render import render

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]
RATE: Final = 48_000
_BT709 = Colour(matrix=1, primaries=1, transfer=1)
# rest, gain and the presenter's own rest: a calm speaker, so that every later edit is easy to see
_CALM = {
    "smile": (0.0, 0.3, 0.25), "mouth_open": (0.0, 0.56, 0.0), "pucker": (0.0, 0.6, 0.0),
    "gaze_x": (0.0, 0.4, 0.0), "gaze_y": (0.0, 0.4, 0.0), "brow_raise": (0.05, 0.6, 0.15),
    "yaw": (0.0, 0.65, 0.0), "pitch": (0.0, 0.8, 0.0), "roll": (0.0, 0.6, 0.0),
}  # fmt: skip
_LIMITS = {"yaw": 14.0, "pitch": 7.0, "roll": 5.5, "smile": 0.1}
_BLOCK = 480  # samples between changes of the vocal tract: 10 ms


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """What determines the clip."""

    seed: int = 4137
    """Person, performance, room and voice. No training set may have it: its first face would be this one's."""
    frames: int = 72
    fps: int = 24
    width: int = 640
    height: int = 480

    def __post_init__(self) -> None:
        if min(self.frames, self.fps, self.width, self.height) < 1:
            raise InvalidInput(f"frames, fps, width and height must be positive: {self}")
        if self.width % 2 or self.height % 2:
            raise InvalidInput(f"width {self.width} and height {self.height} must be even, for 4:2:0 pictures")
        if RATE % self.fps:
            raise InvalidInput(f"fps is {self.fps}; choose a divisor of {RATE}, so that frames end on samples")


def performance(config: ClipConfig) -> list[Moment]:
    """Return one moment per frame: a neutral mood, moderate movements, lips closed at either end."""
    moments = list(presenter(config.seed, config.frames, config.fps, config.width, config.height))
    params = np.stack([m.params for m in moments])
    for name, (rest, gain, centre) in _CALM.items():
        params[:, INDEX[name]] = rest + gain * (params[:, INDEX[name]] - centre)
    for name, limit in _LIMITS.items():  # tanh: bounded, and as smooth as before
        params[:, INDEX[name]] = limit * np.tanh(params[:, INDEX[name]] / limit)
    at = (np.arange(config.frames) + 0.5) / config.fps
    params[:, INDEX["mouth_open"]] *= _fades(at, config.frames / config.fps, 0.15)
    lower, scale = 0.045 * config.height, 0.222 * config.height  # room for the whole aligned crop
    cameras = [replace(m.camera, y=m.camera.y + lower, scale=scale) for m in moments]
    return [Moment(params=p, camera=c) for p, c in zip(params, cameras, strict=True)]


def _fades(t: Floats, end: float, seconds: float) -> Floats:
    """Return a window over `t` (n,) that rises from 0 at 0 and falls to 0 at `end`."""
    near = np.clip(np.minimum(t, end - t) / seconds, 0.0, 1.0)
    return near * near * (3.0 - 2.0 * near)


def backdrop(config: ClipConfig) -> Image:
    """Return a studio wall (H, W, 3), far out of focus: hardly more than a gradient behind the head."""
    wall = studio(config.seed, config.width, config.height).astype(np.float64)
    blur = config.height / 5.5
    return np.rint(gaussian_filter(wall, (blur, blur, 0.0), mode="nearest")).astype(np.uint8)


def pictures(moments: Iterable[Moment], background: Image) -> Iterator[Image]:
    """Render the moments before `background` (H, W, 3), one frame at a time."""
    for moment in moments:
        yield render(moment.params, moment.camera, background=background).image


def voice(config: ClipConfig, moments: list[Moment]) -> NDArray[np.float32]:
    """Speak as the mouth moves: (frames * RATE / fps,) samples in [-1, 1].

    A glottal pulse train, filtered by the formants of a vocal tract (Fant 1960) that opens and rounds
    with the lips, as loud as the mouth is open; a breath of noise where it opens stands for consonants.
    """
    rng = np.random.default_rng((config.seed, RATE))
    t = np.arange(config.frames * RATE // config.fps) / RATE
    opening, rounding = (_over(t, moments, name, config.fps) for name in ("mouth_open", "pucker"))
    width = float(np.clip(opening.max(), 1e-3, None))
    opened = np.clip(opening / width, 0.0, 1.0)
    pitch = np.clip(146.0 + 12.0 * _wander(rng, t, 0.25) + 14.0 * opened - 5.0 * t, 120.0, 180.0)
    tract = _tract(_glottis(pitch), opened, rounding, 180.0 * _wander(rng, t, 0.12))
    sound = opened**1.3 * tract / np.abs(tract).max()  # the folds always swing, so this is never 0
    band = butter(2, (2500.0, 7000.0), "bandpass", fs=RATE, output="sos")
    hiss = cast(Floats, sosfilt(band, rng.standard_normal(t.size)))
    rise = np.clip(np.gradient(opening, t), 0.0, None)
    sound += 0.04 * hiss * (rise / max(float(rise.max()), 1e-3)) * (1.0 - opened)
    sound *= _fades(t, config.frames / config.fps, 0.06)
    return (0.5 * sound / max(float(np.abs(sound).max()), 1e-6)).astype(np.float32)


def _over(t: Floats, moments: list[Moment], name: str, fps: int) -> Floats:
    """Return a parameter's curve at times `t` (n,); a frame stands for the middle of its duration."""
    values = np.array([m.params[INDEX[name]] for m in moments], np.float64)
    # the first and the last value are held outward, which also makes a single frame a curve
    middles = (np.arange(-1, len(values) + 1) + 0.5) / fps
    return PchipInterpolator(middles, np.pad(values, 1, mode="edge"))(t)


def _wander(rng: np.random.Generator, t: Floats, seconds: float) -> Floats:
    """Return a smooth random curve (n,) within about [-2, 2] that changes over `seconds`."""
    knots = np.arange(-2.0, t[-1] / seconds + 3.0)
    values = gaussian_filter1d(rng.standard_normal(knots.size), 0.7)
    return PchipInterpolator(knots * seconds, values / 0.62)(t)


def _glottis(pitch: Floats) -> Floats:
    """Return the derivative of the flow through vocal folds (Rosenberg 1971) swinging at `pitch` (n,) Hz."""
    phase = np.cumsum(pitch / RATE) % 1.0
    rising = 0.5 - 0.5 * np.cos(np.pi * phase / 0.4)
    falling = np.cos(0.5 * np.pi * np.clip((phase - 0.4) / 0.16, 0.0, 1.0))
    return np.gradient(np.where(phase < 0.4, rising, falling))


def _tract(source: Floats, opened: Floats, rounding: Floats, tongue: Floats) -> Floats:
    """Filter `source` (n,) by three resonances; `tongue` (n,) moves the second, in Hz."""
    first = 320.0 + 420.0 * opened
    second = 1650.0 - 900.0 * rounding + tongue
    third = np.full_like(source, 2650.0)
    sound = source.copy()
    for centre, width in ((first, 80.0), (second, 110.0), (third, 170.0)):
        state = np.zeros(2)
        for start in range(0, sound.size, _BLOCK):
            r = np.exp(-np.pi * width / RATE)
            a = np.array([1.0, -2.0 * r * np.cos(2.0 * np.pi * centre[start] / RATE), r * r])
            block = slice(start, start + _BLOCK)
            sound[block], state = lfilter([a.sum()], a, sound[block], zi=state)
    return sound


def write_clip(path: Path, frames: Iterable[Image], sound: NDArray[np.float32], config: ClipConfig) -> None:
    """Write an MP4 (H.264, AAC, index in front) that appears whole or not at all.

    Args:
        path: The file.
        frames: (H, W, 3) pictures, read one at a time.
        sound: (n,) samples at `RATE`.
        config: Size and rate.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.unfinished")
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    try:
        with av.open(str(part), "w", format="mp4", options=options) as target:
            screen = _screen(cast(VideoStream, target.add_stream("libx264", rate=config.fps)), config)
            speaker = cast(AudioStream, target.add_stream("aac", rate=RATE, layout="mono", bit_rate=96_000))
            speaker.codec_context.flags |= Flags.bitexact
            step = RATE // config.fps
            for number, image in enumerate(frames):
                picture = from_rgb(image, _BT709, "yuv420p")
                picture.pts = number
                target.mux(screen.encode(picture))
                heard = AudioFrame.from_ndarray(sound[None, number * step :][:, :step], "fltp", "mono")
                heard.sample_rate, heard.pts = RATE, number * step
                target.mux(speaker.encode(heard))
            target.mux(screen.encode(None))
            target.mux(speaker.encode(None))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _screen(stream: VideoStream, config: ClipConfig) -> VideoStream:
    stream.width, stream.height, stream.pix_fmt = config.width, config.height, "yuv420p"
    stream.options = {"crf": "19", "preset": "slow", "mbtree": "0"}  # as in seamline.video.write; 19 without it is 16
    stream.thread_count = 2  # fixed: x264's output depends on it
    context = stream.codec_context
    context.flags |= Flags.bitexact
    context.color_range, context.colorspace = _BT709.range, _BT709.matrix
    context.color_primaries, context.color_trc = _BT709.primaries, _BT709.transfer
    return stream


def main() -> None:
    """Write the clip."""
    parser = argparse.ArgumentParser(prog="python -m training.presenter_clip", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="MP4 to write")
    parser.add_argument("--seed", type=int, default=ClipConfig.seed)
    options = parser.parse_args()
    config = ClipConfig(seed=options.seed)
    moments = performance(config)
    write_clip(options.out, pictures(moments, backdrop(config)), voice(config, moments), config)


if __name__ == "__main__":
    main()
