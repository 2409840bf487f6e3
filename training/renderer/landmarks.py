"""Exact iBUG-68 landmarks of a posed head, from the curves and surface that the renderer draws."""

import numpy as np
from numpy.typing import NDArray

from training.renderer.compiled import fast
from training.renderer.contours import brow, lids, lips, smooth
from training.renderer.head import base, relief, surface
from training.renderer.shape import Shape

Floats = NDArray[np.float64]


@fast
def _set(out: Floats, i: int, p: tuple[float, float, float]) -> None:
    out[i, 0], out[i, 1], out[i, 2] = p


@fast
def inner_landmarks(s: Shape) -> Floats:
    """Return the unposed points 17-67 (51, 3): brows, nose, eyes, lips."""
    out = np.empty((51, 3))
    for i in range(5):
        x = s.eye_x + 0.015 + s.brow_w * (0.92 - 1.78 * i / 4.0)
        y, half, _ = brow(s, x)
        _set(out, i, surface(s, -x, y + 0.4 * half))
        _set(out, 9 - i, surface(s, x, y + 0.4 * half))
    for i in range(4):
        _set(out, 10 + i, surface(s, 0.0, 0.04 + (s.nose_y - 0.04) * i / 3.0))
    for i in range(5):
        q = (i - 2.0) / 2.0
        _set(out, 14 + i, surface(s, s.nose_w * 0.85 * q, s.nose_y - 0.095 + 0.030 * q * q))
    _set_eyes(s, out)
    _set_mouth(s, out)
    return out


@fast
def _set_eyes(s: Shape, out: Floats) -> None:
    """Write 36-47: outer corner, lids, inner corner on the image's left; inner first on its right."""
    for i in range(4):
        t = 1.0 - 2.0 * i / 3.0
        x = s.eye_x + s.eye_w * t
        up, low, _ = lids(s, x)
        _set(out, 19 + i, surface(s, -x, up))
        _set(out, 28 - i, surface(s, x, up))
        if i == 1:
            _set(out, 24, surface(s, -x, low))
            _set(out, 29, surface(s, x, low))
        if i == 2:
            _set(out, 23, surface(s, -x, low))
            _set(out, 30, surface(s, x, low))


@fast
def _set_mouth(s: Shape, out: Floats) -> None:
    """Write 48-67: outer contour clockwise from the image's left corner, then the inner one."""
    for i in range(7):
        x = s.mouth_w * (-1.0, -0.62, -0.22, 0.0, 0.22, 0.62, 1.0)[i]
        up, _, _, low, _ = lips(s, x)
        _set(out, 31 + i, surface(s, x, up))
        if 0 < i < 6:
            _set(out, 43 - i, surface(s, x, low))
    for i in range(5):
        x = s.mouth_w * (-0.86, -0.34, 0.0, 0.34, 0.86)[i]
        _, up, low, _, _ = lips(s, x)
        _set(out, 43 + i, surface(s, x, up))
        if 0 < i < 4:
            _set(out, 51 - i, surface(s, x, low))


@fast
def jaw_landmarks(s: Shape, turned: Floats) -> Floats:
    """Return unposed points 0-16 (17, 3): per height the jaw's outermost point seen under a rotation."""
    out = np.empty((17, 3))
    for i in range(17):
        side = (i - 8.0) / 8.0
        latitude = -(0.03 + 1.20 * (1.0 - abs(side) ** 1.25))
        tilt = side * 0.5 * np.pi
        dx, dy = np.sin(tilt), -np.cos(tilt) * 0.6
        best = -1e9
        for j in range(89):
            azimuth = np.sign(side) * 0.0175 * j
            if i == 8:
                azimuth = 0.0175 * (j - 44) * 0.5
            x, y, z = base(s, azimuth, latitude)
            new, _ = relief(s, x, y, z)
            z += (new - z) * smooth(1.5, 1.1, abs(azimuth))
            u = turned[0, 0] * x + turned[0, 1] * y + turned[0, 2] * z
            v = turned[1, 0] * x + turned[1, 1] * y + turned[1, 2] * z
            if u * dx + v * dy > best:
                best = u * dx + v * dy
                _set(out, i, (x, y, z))
    return out
