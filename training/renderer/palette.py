"""Colours of a face, interpolated smoothly in few parameters; all results are linear RGB (3,) in [0, 1]."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

Colour = NDArray[np.float64]

_SKIN: Final = np.array(
    [(92, 58, 44), (132, 86, 62), (176, 122, 92), (212, 160, 128), (236, 192, 164), (246, 212, 190)], float
)
_HAIR: Final = np.array(
    [(30, 25, 24), (58, 40, 31), (102, 69, 46), (158, 112, 68), (206, 166, 106), (232, 208, 158)], float
)
_IRIS: Final = np.array([(92, 56, 30), (126, 92, 42), (92, 132, 76), (64, 126, 150), (84, 140, 196)], float)
_OKLAB_TO_LMS: Final = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_LMS_TO_RGB: Final = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def linear(srgb: NDArray[np.float64]) -> Colour:
    """Convert 8-bit sRGB values to linear light."""
    return (srgb / 255.0) ** 2.2


def oklab(lightness: float, a: float, b: float) -> Colour:
    """Convert OKLab (Ottosson 2020) to linear RGB, clipped to the displayable range."""
    lms = (_OKLAB_TO_LMS @ np.array([lightness, a, b])) ** 3
    return np.clip(_LMS_TO_RGB @ lms, 0.0, 1.0)


def _ramp(table: NDArray[np.float64], t: float) -> Colour:
    position = np.clip(t, 0.0, 1.0) * (len(table) - 1)
    return linear(np.array([np.interp(position, np.arange(len(table)), table[:, c]) for c in range(3)]))


def skin(p: Mapping[str, float]) -> Colour:
    """Skin of a tone from dark to light, cooler or warmer, a little paler with age."""
    warmth = np.array([1.0 + 0.03 * p["skin_warmth"], 1.0, 1.0 - 0.09 * p["skin_warmth"]])
    return _ramp(_SKIN, p["skin_tone"]) * warmth


def hair(p: Mapping[str, float]) -> Colour:
    """Hair from black to light blond, ash to red, greying in the second half of life."""
    tint = np.array([1.0 + 0.28 * p["hair_hue"], 1.0 - 0.04 * p["hair_hue"], 1.0 - 0.34 * p["hair_hue"]])
    own = _ramp(_HAIR, p["hair_colour"]) * tint
    grey = linear(np.array([186.0, 187.0, 192.0])) * (0.75 + 0.4 * p["hair_colour"])
    t = np.clip((p["age"] - 0.42) / 0.5, 0.0, 1.0)
    return np.clip(own + (grey - own) * (t * t * (3.0 - 2.0 * t)), 0.0, 1.0)


def iris(p: Mapping[str, float]) -> Colour:
    """Iris from brown over green to blue."""
    return _ramp(_IRIS, p["eye_colour"])


def lips(p: Mapping[str, float], skin_colour: Colour) -> Colour:
    """Lips between the skin's own red and lipstick red, redder on feminine faces."""
    redness = 0.5 + 0.25 * p["lip_redness"] - 0.22 * p["gender"]
    natural = skin_colour * np.array([0.82, 0.52, 0.50])
    painted = linear(np.array([190.0, 62.0, 66.0])) * (0.65 + 0.35 * p["skin_tone"])
    return natural + (painted - natural) * np.clip(redness, 0.0, 1.0) * 0.75
