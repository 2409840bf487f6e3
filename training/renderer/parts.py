"""The other parts of a bust: eyeballs, the sheet behind the lips, ears, neck and clothes."""

import numpy as np
from numpy.typing import NDArray

from training.renderer.compiled import fast
from training.renderer.contours import smooth
from training.renderer.head import surface
from training.renderer.shape import Shape

Floats = NDArray[np.float64]
EYE_SIDE = 15
MOUTH_SIDE = 11
EAR_RINGS, EAR_SPOKES = 9, 25
BUST_ROWS, BUST_COLUMNS = 44, 65
_KNOTS = np.array([0.0, 0.18, 0.34, 0.46, 0.58, 0.72, 0.86, 0.95, 1.0])
_HEIGHT = np.array([-0.55, -1.00, -1.20, -1.33, -1.44, -1.58, -1.80, -2.20, -3.20])
_FLARE = np.array([0.0, 0.0, 0.03, 0.13, 0.34, 0.66, 0.96, 1.05, 1.05])
_DEPTH = np.array([0.0, 0.0, 0.02, 0.05, 0.09, 0.15, 0.22, 0.26, 0.28])


@fast
def fill_eye(s: Shape, side: float, points: Floats, data: Floats) -> None:
    """Write the front cap of an eyeball; data: x, y in the face and the offset (dx, dy)/r from its centre."""
    for i in range(EYE_SIDE):
        for j in range(EYE_SIDE):
            a = 1.35 * (2.0 * j / (EYE_SIDE - 1) - 1.0)
            b = 1.15 * (1.0 - 2.0 * i / (EYE_SIDE - 1))
            k = i * EYE_SIDE + j
            dx, dy = np.sin(a) * np.cos(b), np.sin(b)
            points[k, 0] = side * s.eye_x + s.eye_r * dx
            points[k, 1] = s.eye_y + s.eye_r * dy
            points[k, 2] = s.eye_z + s.eye_r * np.cos(a) * np.cos(b)
            data[k, 0], data[k, 1], data[k, 2], data[k, 3] = points[k, 0], points[k, 1], dx, dy


@fast
def fill_mouth(s: Shape, points: Floats, data: Floats) -> None:
    """Write the curved sheet that teeth, tongue and cavity are painted on; data: x, y."""
    front = surface(s, 0.0, s.mouth_y)[2]
    for i in range(MOUTH_SIDE):
        for j in range(MOUTH_SIDE):
            x = (s.mouth_w + 0.03) * (2.0 * j / (MOUTH_SIDE - 1) - 1.0)
            y = s.mouth_y + 0.18 - (0.26 + 0.76 * s.gap) * i / (MOUTH_SIDE - 1)
            k = i * MOUTH_SIDE + j
            points[k, 0], points[k, 1] = x, y
            points[k, 2] = min(front - 0.10 - 1.1 * x * x, surface(s, x, y)[2] - 0.05)
            data[k, 0], data[k, 1], data[k, 2], data[k, 3] = x, y, 0.0, 1.0


@fast
def fill_ear(s: Shape, side: float, points: Floats, data: Floats) -> None:
    """Write one ear, a dished disc; data: radius, angle, 0, ambient occlusion."""
    for i in range(EAR_RINGS):
        r = i / (EAR_RINGS - 1)
        for j in range(EAR_SPOKES):
            a = 2.0 * np.pi * j / (EAR_SPOKES - 1)
            k = i * EAR_SPOKES + j
            back = np.cos(a) * r
            up = np.sin(a) * r
            height = 0.22 * s.ear * up
            depth = (0.135 + 0.03 * up) * s.ear * back
            rim = np.exp(-(((r - 0.80) / 0.16) ** 2))
            lift = 0.055 * rim * (0.45 + 0.55 * smooth(-0.7, 0.2, back + 0.4 * up)) - 0.03 * (1.0 - r)
            flare = 0.55
            points[k, 0] = side * (s.width * 0.965 + 0.05 + flare * (depth + 0.04) + lift * 0.8)
            points[k, 1] = -0.06 + height + 0.04 * back
            points[k, 2] = -0.03 - 0.83 * depth + lift * 0.5
            data[k, 0], data[k, 1], data[k, 2] = r, a, 0.0
            data[k, 3] = 0.62 + 0.38 * smooth(0.25, 0.8, r + 0.25 * max(0.0, -up))


@fast
def fill_bust(s: Shape, cloth: float, points: Floats, data: Floats) -> None:
    """Write neck and chest, `cloth` 1 for clothes over them; data: height over collar, azimuth, y, radius."""
    for i in range(BUST_ROWS):
        q = i / (BUST_ROWS - 1)
        y = np.interp(q, _KNOTS, _HEIGHT)
        flare = np.interp(q, _KNOTS, _FLARE)
        depth = np.interp(q, _KNOTS, _DEPTH)
        for j in range(BUST_COLUMNS):
            a = 2.0 * np.pi * j / (BUST_COLUMNS - 1) - np.pi
            k = i * BUST_COLUMNS + j
            front = max(0.0, np.cos(a))
            sine = np.sin(a)
            rx = s.neck + (s.shoulder - s.neck) * flare + 0.045 * cloth
            rz = 0.40 + depth * (1.0 + 0.35 * front) + 0.045 * cloth
            pec = 0.10 * smooth(0.5, 0.8, q) * front
            points[k, 0] = rx * np.sign(sine) * abs(sine) ** (1.0 - 0.15 * flare)
            points[k, 1] = y - 0.07 * front * smooth(0.2, 0.5, q) + 0.04 * (1.0 - front) * smooth(0.2, 0.5, q)
            points[k, 2] = -0.22 + (rz + pec) * np.cos(a)
            line = -1.235 - (0.10 + 0.26 * s.collar) * front ** (3.0 - s.collar) - 0.02 * abs(sine)
            data[k, 0], data[k, 1], data[k, 2], data[k, 3] = points[k, 1] - line, a, points[k, 1], rx
