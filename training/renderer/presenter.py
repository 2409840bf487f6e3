"""An animated presenter who speaks, blinks and moves the head: the source of the demo clip."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from training.renderer import palette
from training.renderer.camera import FreeCamera
from training.renderer.parameters import HIGHS, INDEX, LOWS, group_indices, sample

Floats = NDArray[np.float64]
_LOOK = 58  # drawn before the performance, however many parameters a face has: a seed keeps its clip


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What one frame shows."""

    params: NDArray[np.float32]
    """Raw parameters (P,)."""
    camera: FreeCamera


def _drift(rng: np.random.Generator, frames: int, fps: float, seconds: float) -> Floats:
    """Return a smooth wandering curve (frames,) of unit deviation that changes over about `seconds`."""
    pad = int(4 * seconds * fps) + 1
    curve = gaussian_filter1d(rng.standard_normal(frames + 2 * pad), seconds * fps)[pad : pad + frames]
    return curve * np.sqrt(2.0 * np.sqrt(np.pi) * seconds * fps)  # undoes the filter's loss of variance


def _pulses(t: Floats, times: Floats, width: float) -> Floats:
    """Return Gaussian pulses of height 1 and `width` seconds at `times`, over `t` (frames,)."""
    return np.exp(-0.5 * ((t[:, None] - times[None]) / width) ** 2).max(axis=1, initial=0.0)


def _speech(rng: np.random.Generator, t: Floats) -> tuple[Floats, Floats]:
    """Return mouth opening and rounding (frames,): about 4.5 syllables a second, in phrases."""
    end = float(t[-1]) + 1.0
    starts = np.cumsum(rng.uniform(0.17, 0.28, int(end / 0.17) + 1))
    starts = starts[(starts % 2.6) < 2.1]  # a breath after two seconds
    shape = -0.5 * ((t[:, None] - starts[None]) / 0.062) ** 2
    opening = (np.exp(shape) * rng.uniform(0.25, 0.75, len(starts))).max(axis=1, initial=0.0)
    rounding = (np.exp(shape / 1.8) * rng.uniform(0.0, 0.6, len(starts)) ** 1.5).max(axis=1, initial=0.0)
    return opening, rounding


def _gaze(rng: np.random.Generator, t: Floats) -> tuple[Floats, Floats]:
    """Return gaze x and y (frames,): held targets, mostly the viewer, changed within a few frames."""
    shifts = np.cumsum(rng.uniform(0.7, 1.5, int(t[-1] / 0.7) + 2))
    targets = rng.normal(0.0, 0.28, (len(shifts) + 1, 2)) * (rng.random((len(shifts) + 1, 1)) < 0.6)
    steps = 1.0 / (1.0 + np.exp(-(t[:, None] - shifts[None]) / 0.02))
    held = targets[0] + steps @ np.diff(targets, axis=0)
    return held[:, 0], held[:, 1]


def _look(seed: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a presenter: an unedited adult with hair, without glasses, hat, earrings and beard, in pleasant light."""
    look = sample(np.random.default_rng(seed), 1)[0]
    rng.random(_LOOK)
    chosen = {
        "age": 0.22, "glasses": 0.0, "hat": 0.0, "earrings": 0.0, "beard": 0.0, "smile": 0.25,
        "hair_length": rng.uniform(0.35, 0.9), "hair_colour": rng.uniform(0.15, 0.75),
        "skin_tone": rng.uniform(0.35, 0.95), "light_azimuth": -0.45, "light_elevation": 0.6,
        "light_intensity": 0.2, "brow_frown": -0.1, "eyes_open": 0.92,
    }  # fmt: skip
    for name, value in chosen.items():
        look[INDEX[name]] = value
    scale = group_indices("identity")
    mean = 0.5 * (LOWS[scale] + HIGHS[scale])
    look[scale] = mean + 0.7 * (look[scale] - mean)  # no caricature
    return look


def presenter(
    seed: int, frames: int, fps: float = 24.0, width: int = 640, height: int = 480
) -> Iterator[Moment]:
    """Yield `frames` moments of a speaking presenter; the same seed gives the same person and motion.

    Raises:
        ValueError: `frames` or `fps` is not positive.
    """
    if frames < 1 or fps <= 0.0:
        raise ValueError(f"frames ({frames}) and fps ({fps}) must be positive")
    rng = np.random.default_rng(seed)
    look, t = _look(seed, rng), np.arange(frames) / fps
    opening, rounding = _speech(rng, t)
    gaze_x, gaze_y = _gaze(rng, t)
    blinks = _pulses(t, 0.6 + np.cumsum(rng.uniform(0.9, 2.2, int(t[-1]) + 2)), 0.055)
    emphasis = _drift(rng, frames, fps, 0.35)
    curves = {
        "mouth_open": opening, "pucker": rounding, "gaze_x": gaze_x, "gaze_y": gaze_y,
        "eyes_open": 0.92 * (1.0 - blinks), "yaw": 8.0 * _drift(rng, frames, fps, 0.6),
        "pitch": 3.0 * _drift(rng, frames, fps, 0.5) - 3.0 * opening,
        "roll": 3.0 * _drift(rng, frames, fps, 0.7),
        "smile": 0.25 + 0.15 * _drift(rng, frames, fps, 0.6), "brow_raise": 0.15 + 0.28 * emphasis,
    }  # fmt: skip
    sway_x, sway_y = _drift(rng, frames, fps, 0.8), _drift(rng, frames, fps, 0.8)
    for i in range(frames):
        params = look.copy()
        for name, curve in curves.items():
            params[INDEX[name]] = curve[i]
        camera = FreeCamera(
            width=width, height=height, x=width * (0.5 + 0.010 * sway_x[i]),
            y=height * (0.44 + 0.008 * sway_y[i]), scale=height * 0.30,
        )  # fmt: skip
        yield Moment(params=np.clip(params, LOWS, HIGHS).astype(np.float32), camera=camera)


def studio(seed: int, width: int = 640, height: int = 480) -> NDArray[np.uint8]:
    """Return an out-of-focus room (height, width, 3), sRGB, to stand behind a presenter."""
    rng = np.random.default_rng((seed, 7))
    hue = rng.uniform(0.0, 2.0 * np.pi)
    wall = palette.oklab(0.62, 0.03 * np.cos(hue), 0.03 * np.sin(hue))
    picture = np.linspace(1.15, 0.75, height)[:, None, None] * wall * np.ones((1, width, 1))
    rows, columns = np.mgrid[:height, :width] / height
    for _ in range(6):
        x, y = rng.uniform(0.0, width / height), rng.uniform(0.05, 0.9)
        w, h = rng.uniform(0.06, 0.22), rng.uniform(0.10, 0.32)
        inside = (((columns - x) / w) ** 4 + ((rows - y) / h) ** 4 < 1.0).astype(float)[..., None]
        angle = hue + rng.uniform(-1.2, 1.2)
        tone = palette.oklab(rng.uniform(0.35, 0.85), 0.05 * np.cos(angle), 0.05 * np.sin(angle))
        picture += 0.75 * inside * (tone - picture)
    soft = gaussian_filter(picture, (height / 45.0, height / 45.0, 0.0))
    return np.rint(255.0 * np.clip(soft, 0.0, 1.0) ** (1.0 / 2.2)).astype(np.uint8)
