"""The lights of a portrait and how an ordinary surface takes them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.renderer.compiled import fast

Floats = NDArray[np.float64]
Triple = tuple[float, float, float]


class Light(NamedTuple):
    """One key light and a sky; directions in the camera's axes."""

    x: float
    y: float
    z: float
    key: Triple
    sky: Triple
    ground: Triple
    crown: Triple
    """The head's upward axis."""


@fast
def mix(a: Triple, b: Triple, t: float) -> Triple:
    """Blend colours linearly."""
    return a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t


@fast
def times(a: Triple, r: float, g: float, b: float) -> Triple:
    """Scale a colour per channel."""
    return a[0] * r, a[1] * g, a[2] * b


@fast
def lit(light: Light, colour: Triple, n: Floats, shade: float, gloss: float, bleed: float) -> Triple:
    """Shade a surface: wrapped diffuse light (redder in the terminator by `bleed`), sky, soft highlight."""
    nl = n[0] * light.x + n[1] * light.y + n[2] * light.z
    up = 0.5 + 0.5 * n[1]
    sky = mix(light.ground, light.sky, up)
    red = max(0.0, (nl + 0.30 + bleed) / (1.30 + bleed))
    other = max(0.0, (nl + 0.30) / 1.30)
    hx, hy, hz = light.x, light.y, light.z + 1.0
    nh = max(0.0, n[0] * hx + n[1] * hy + n[2] * hz) / np.sqrt(hx * hx + hy * hy + hz * hz)
    shine = gloss * (0.55 * nh**14 + 0.5 * nh**50) * shade
    rim = 0.10 * (1.0 - max(0.0, n[2])) ** 3 * shade
    deep = shade * (0.55 + 0.45 * shade)
    red_deep = shade**0.8 * (0.55 + 0.45 * shade)
    return (
        colour[0] * (light.key[0] * red**1.25 + sky[0]) * red_deep + light.key[0] * shine + rim * sky[0],
        colour[1] * (light.key[1] * other**1.25 + sky[1]) * deep + light.key[1] * shine + rim * sky[1],
        colour[2] * (light.key[2] * other**1.25 + sky[2]) * deep + light.key[2] * shine + rim * sky[2],
    )
