"""Curves on the face in its frontal (x, y) plane: lids, brows, lips. Skin, holes and landmarks share them."""

import numpy as np

from training.renderer.compiled import fast
from training.renderer.shape import Shape


@fast
def smooth(low: float, high: float, x: float) -> float:
    """Hermite step from 0 at `low` to 1 at `high`."""
    t = min(1.0, max(0.0, (x - low) / (high - low)))
    return t * t * (3.0 - 2.0 * t)


@fast
def bump(x: float, y: float, sx: float, sy: float) -> float:
    """Gaussian bump of height 1 at the origin, cut to 0 where it is below 0.01."""
    q = (x / sx) ** 2 + (y / sy) ** 2
    return np.exp(-0.5 * q) if q < 9.2 else 0.0


@fast
def lids(s: Shape, x: float) -> tuple[float, float, float]:
    """Return upper lid y, lower lid y and t in (-1 inner, 1 outer) at x on either side."""
    t = (abs(x) - s.eye_x) / s.eye_w
    base = s.eye_y + s.eye_tilt * t
    q = max(0.0, 1.0 - t * t)
    skew = t - 0.12  # the upper lid peaks a little inside, the lower a little outside
    up = max(0.0, 1.0 - abs(skew) ** 2.3 / 1.12**2.3) ** 0.72 * q**0.18 * s.eye_up if q > 0.0 else 0.0
    low = q**0.75 * s.eye_low * (1.0 + 0.14 * t)
    shut = -0.55 * low
    up = shut + (up * (1.0 + 0.18 * s.gaze_y) - shut) * min(1.1, s.eye_open) - 0.02 * s.age * max(0.0, t) * q
    return base + max(up, -low * 0.6), base - low + (low + shut) * (1.0 - min(1.0, s.eye_open)), t


@fast
def lips(s: Shape, x: float) -> tuple[float, float, float, float, float]:
    """Return y of the upper outer, upper inner, lower inner, lower outer contour, and |t| (1: corner)."""
    t = min(1.0, abs(x) / s.mouth_w)
    q = 1.0 - t * t
    dip = 0.012 * np.exp(-((t / 0.25) ** 2)) * (1.0 - min(1.0, s.gap * 8))
    line = s.mouth_y + s.lift * (t**1.7 - 0.28) - dip
    gap = s.gap * q**0.62
    inner_up = line + 0.26 * gap
    inner_low = line - 0.74 * gap
    bow = 1.0 - 0.20 * np.exp(-((t / 0.13) ** 2)) + 0.06 * np.exp(-(((t - 0.3) / 0.2) ** 2))
    up = inner_up + s.lip_up * q**0.75 * bow
    low = inner_low - s.lip_low * q**0.62
    return up, inner_up, inner_low, low, t


@fast
def brow(s: Shape, x: float) -> tuple[float, float, float]:
    """Return centre y, half thickness and t in (-1 inner, 1 outer) of the brow at x on either side."""
    t = (abs(x) - s.eye_x - 0.015) / s.brow_w
    y = s.brow_y + s.brow_arch * (1.0 - (t - 0.35) ** 2) + s.brow_slope * t - 0.035 * max(0.0, t) ** 2
    inner = smooth(-1.08, -0.80, t)
    outer = 1.0 - smooth(0.0, 1.06, t) * 0.9 - smooth(0.9, 1.06, t) * 0.1
    return y, s.brow_t * inner * outer, t


@fast
def in_eye(s: Shape, x: float, y: float) -> bool:
    """Whether (x, y) lies in the opening between the lids."""
    if abs(y - s.eye_y) > 0.2 or abs(abs(x) - s.eye_x) >= s.eye_w:
        return False
    up, low, _ = lids(s, x)
    return low < y < up


@fast
def in_mouth(s: Shape, x: float, y: float) -> bool:
    """Whether (x, y) lies in the opening between the lips."""
    if s.gap < 1e-3 or abs(x) >= s.mouth_w or abs(y - s.mouth_y) > 0.42:
        return False
    _, up, low, _, _ = lips(s, x)
    return low < y < up
