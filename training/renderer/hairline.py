"""Where hair ends around the head: the hairline of the forehead, the tips at sides and back; and a hat's brim."""

import numpy as np

from training.renderer.compiled import fast
from training.renderer.contours import smooth
from training.renderer.shape import Shape

_ANGLES = np.radians([0.0, 22.0, 40.0, 54.0, 64.0, 74.0, 82.0, 90.0, 98.0, 112.0, 140.0, 180.0])
_SHORT = np.array([0.70, 0.70, 0.62, 0.46, 0.25, -0.02, -0.20, -0.06, 0.10, -0.18, -0.50, -0.56])


@fast
def hair_end(s: Shape, azimuth: float) -> float:
    """Return the height at which the strands of `azimuth` end (the hairline on the forehead)."""
    a = abs(azimuth)
    short = np.interp(a, _ANGLES, _SHORT) + 0.6 * s.hairline * smooth(1.0, 0.6, a)
    scallop = 0.020 * np.cos(azimuth * 11.0 + 0.6)
    low = 0.30 + 0.21 * np.exp(-(((azimuth - 0.45 * s.hair_part) / 0.34) ** 2)) + scallop - 0.06 * a
    front = smooth(1.12, 0.75, a)
    short += (min(short, low) - short) * s.fringe * front
    short += 0.05 * s.hair_part * np.sin(azimuth) * front * s.hair
    long = -1.72 * s.hair_long + 0.02 * np.cos(azimuth * 9.0)
    side = smooth(0.94, 1.34, a)
    return short + (min(short, short + long * 1.05) - short) * side if s.hair_long > 0.0 else short


@fast
def hat_brim(s: Shape, azimuth: float) -> float:
    """Return the height of a hat's lower edge: over the brows in front, over the ears, lower at the back."""
    return 0.30 + (0.32 - 0.10 * s.hat) * np.cos(azimuth) + 0.03 * np.cos(2.0 * azimuth)
