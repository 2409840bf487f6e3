"""The head: a smooth base surface over (azimuth, latitude) and a relief of features in the (x, y) plane."""

import numpy as np
from numpy.typing import NDArray

from training.renderer.compiled import fast
from training.renderer.contours import brow, bump, lids, lips, smooth
from training.renderer.hairline import hair_end
from training.renderer.shape import Shape

Floats = NDArray[np.float64]
TOP = 1.17
FRONT = 0.80
BACK = 0.98
_SWING = 1.25


@fast
def base(s: Shape, azimuth: float, latitude: float) -> tuple[float, float, float]:
    """Return the smooth head without features; azimuth 0 is the front, latitude pi/2 the crown."""
    sine, cosine = np.sin(azimuth), np.cos(azimuth)
    c = max(1e-4, np.cos(latitude))
    front = 0.5 + 0.5 * cosine
    if latitude >= 0.0:
        y = TOP * np.sin(latitude)
        wx = c**0.86
        wz = c**0.80
        width = s.width
    else:
        reach = 0.80 + (s.lower - 0.80) * front**1.4
        y = -reach * np.sin(_SWING * -latitude)
        wx = c**s.jaw
        wz = c ** (0.30 + 0.35 * (1.0 - front))
        width = s.width * (1.0 - s.taper * smooth(0.0, -0.95, y))
    z = FRONT if cosine > 0.0 else BACK
    return width * wx * sine, y, z * wz * cosine


@fast
def locate(s: Shape, x: float, y: float) -> tuple[float, float]:
    """Invert `base` on the front: the (azimuth, latitude) whose base point lies at (x, y)."""
    azimuth, latitude = 0.0, 0.0
    for _ in range(12):
        front = 0.5 + 0.5 * np.cos(azimuth)
        if y >= 0.0:
            latitude = np.arcsin(min(0.999, y / TOP))
            half = s.width * np.cos(latitude) ** 0.86
        else:
            reach = 0.80 + (s.lower - 0.80) * front**1.4
            latitude = -np.arcsin(min(0.999, -y / reach)) / _SWING
            half = s.width * np.cos(latitude) ** s.jaw * (1.0 - s.taper * smooth(0.0, -0.95, y))
        azimuth = np.arcsin(min(0.999, max(-0.999, x / half)))
    return azimuth, latitude


@fast
def _nose(s: Shape, x: float, y: float) -> tuple[float, float]:
    """Return height and shade of the nose at (x, y)."""
    if y > 0.35 or y < s.nose_y - 0.25 or abs(x) > 0.4:
        return 0.0, 0.0
    along = min(1.0, max(0.0, (0.12 - y) / (0.12 - s.nose_y)))
    under = s.nose_y - 0.02 - y
    fall = np.exp(-((under / 0.072) ** 2)) if under > 0.0 else 1.0
    top = np.exp(-(((y - 0.12) / 0.13) ** 2)) if y > 0.12 else 1.0
    spread = 0.062 + 0.045 * along
    ridge = s.nose_h * (0.20 + 0.66 * along**1.4) * fall * top * np.exp(-0.5 * (x / spread) ** 2)
    tip = 0.30 * s.nose_h * bump(x, y - s.nose_y, 0.070, 0.062)
    wing = 0.088 * bump(abs(x) - s.nose_w, y - s.nose_y + 0.022, 0.046, 0.050)
    crease = bump(abs(x) - s.nose_w - 0.075, y - s.nose_y + 0.03, 0.03, 0.06)
    below = bump(x, y - s.nose_y + 0.125, s.nose_w * 0.9, 0.042)
    return ridge + tip + wing, 0.24 * crease + 0.20 * below


@fast
def _mouth(s: Shape, x: float, y: float) -> tuple[float, float]:
    """Return height and shade of muzzle and lips at (x, y)."""
    if abs(x) > 0.8 or y > -0.2 or y < -1.35:
        return 0.0, 0.0
    height = 0.060 * bump(x, y - s.mouth_y, 0.30, 0.20) + 0.05 * s.pucker * bump(x, y - s.mouth_y, 0.16, 0.15)
    up, inner_up, inner_low, low, t = lips(s, x)
    shade = 0.0
    if abs(x) < s.mouth_w:
        full = (1.0 - t * t) ** 0.5
        if inner_up < y < up + 0.01:
            q = (y - inner_up) / max(1e-3, up - inner_up)
            height += 0.036 * full * max(0.0, 1.0 - q * q)
        elif low - 0.01 < y < inner_low:
            q = (inner_low - y) / max(1e-3, inner_low - low) - 0.35
            height += 0.052 * full * max(0.0, 1.0 - q * q / 0.42)
        elif inner_low <= y <= inner_up:
            height += 0.034 * full
        shade += 0.30 * full * bump(0.0, y - low + 0.045, 1.0, 0.035)
    corner = bump(abs(x) - s.mouth_w - 0.015, y - s.mouth_y - s.lift * 0.72, 0.032, 0.035)
    philtrum = bump(x, y - 0.5 * (up + s.nose_y - 0.08), 0.026, 0.06)
    return height - 0.022 * corner - 0.014 * philtrum, shade + 0.22 * corner + 0.06 * philtrum


@fast
def relief(s: Shape, x: float, y: float, z: float) -> tuple[float, float]:
    """Return the new z and the fake ambient occlusion in [0, 1] of the front point (x, y, z)."""
    ax = abs(x)
    nose, nose_shade = _nose(s, x, y)
    mouth, mouth_shade = _mouth(s, x, y)
    ex, ey = ax - s.eye_x, y - s.eye_y
    socket = bump(ex + 0.01, ey - 0.01, 0.205, 0.150)
    z += nose + mouth - 0.150 * socket
    z += s.ridge * bump(ex * 0.8, y - 0.21 - 0.25 * (s.brow_y - 0.24), 0.24, 0.075)
    cheek = 0.045 + s.cheek + 0.055 * max(0.0, s.smile)
    z += cheek * bump(ax - 0.45, y + 0.26 - 0.03 * s.smile, 0.18, 0.16)
    z += s.chin * bump(x, y + s.lower - 0.16, 0.20, 0.14)
    z -= 0.030 * bump(x, y - s.mouth_y + s.lip_low + s.gap * 0.74 + 0.085, 0.18, 0.045)
    z -= s.age * 0.035 * bump(ax - 0.47, y + 0.60, 0.12, 0.16)
    z += s.age * 0.045 * bump(ax - 0.44, y + 0.86, 0.10, 0.10)
    brow_y, half, _ = brow(s, x)
    z += 0.016 * bump(0.0, y - brow_y, 1.0, 0.035) * min(1.0, half * 40.0)
    shade = nose_shade + mouth_shade
    near = (ex * ex + ey * ey) / (s.eye_r * s.eye_r)
    if near < 1.3:  # the lids wrap around the eyeball
        radius = s.eye_r * 1.075
        ball = s.eye_z + np.sqrt(max(0.0, radius * radius - ex * ex - ey * ey)) - 0.3 * max(0.0, near - 0.9)
        d = ball - z
        z += 0.5 * (d + np.sqrt(d * d + 0.0016))
    up, _, _ = lids(s, x)
    hollow = bump(ex + 0.20, ey - 0.02, 0.07, 0.10) + 0.7 * bump(ex, y - up - 0.075, 0.16, 0.040)
    shade += 0.30 * hollow + (0.10 + 0.16 * s.age) * bump(ex + 0.02, ey + 0.17, 0.13, 0.045)
    shade += 0.35 * smooth(-s.lower * 0.90, -s.lower * 1.03, y)
    return z, max(0.0, 1.0 - shade)


@fast
def surface(s: Shape, x: float, y: float) -> tuple[float, float, float]:
    """Return the point of the finished face at (x, y)."""
    azimuth, latitude = locate(s, x, y)
    _, _, z = base(s, azimuth, latitude)
    return x, y, relief(s, x, y, z)[0]


def _steps(*pieces: tuple[float, float, int]) -> Floats:
    parts = [np.linspace(a, b, n, endpoint=False) for a, b, n in pieces]
    return np.radians(np.concatenate([*parts, [pieces[-1][1]]]))


_SIDE = _steps((0, 44, 38), (44, 100, 20), (100, 180, 10))
AZIMUTHS: Floats = np.concatenate([-_SIDE[:0:-1], _SIDE])
LATITUDES: Floats = _steps((90, 26, 16), (26, -50, 76), (-50, -76, 14), (-76, -90, 3))


@fast
def fill_head(s: Shape, azimuths: Floats, latitudes: Floats, points: Floats, data: Floats) -> None:
    """Write points (R*C, 3) and data (R*C, 5): x, y, azimuth, ambient occlusion, height over the hairline."""
    columns = len(azimuths)
    ends = np.empty(columns)
    for j in range(columns):
        ends[j] = hair_end(s, azimuths[j])
    for i in range(len(latitudes)):
        for j in range(columns):
            k = i * columns + j
            x, y, z = base(s, azimuths[j], latitudes[i])
            shade = 1.0
            if abs(azimuths[j]) < 1.5 and latitudes[i] > -1.5:
                new, shade = relief(s, x, y, z)
                keep = smooth(1.5, 1.1, abs(azimuths[j])) * smooth(-1.5, -1.3, latitudes[i])
                z += (new - z) * keep
            points[k, 0], points[k, 1], points[k, 2] = x, y, z
            data[k, 0], data[k, 1], data[k, 2], data[k, 3] = x, y, azimuths[j], shade
            data[k, 4] = y - ends[j]
