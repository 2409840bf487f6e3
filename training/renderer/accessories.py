"""What a bust wears, drawn over it in layers of their own: a hat, earrings, glasses."""

import numpy as np
from numpy.typing import NDArray

from training.renderer.compiled import fast
from training.renderer.contours import smooth
from training.renderer.hairline import hat_brim
from training.renderer.head import TOP, base
from training.renderer.shape import Shape

Floats = NDArray[np.float64]
HAT_ROWS, HAT_COLUMNS = 36, 97
RIM_STEPS, TUBE_SIDES, BRIDGE_STEPS, TEMPLE_STEPS, HOOP_STEPS = 41, 7, 9, 7, 29
HAT_BAND = 0.25
"""Height of a hat's turned-up band over its brim."""


@fast
def fill_hat(s: Shape, points: Floats, data: Floats) -> None:
    """Write a knitted cap from its brim to the crown; data: azimuth, height over the brim, 0, ambient occlusion."""
    quarter = 0.5 * np.pi
    for j in range(HAT_COLUMNS):
        azimuth = np.pi * (2.0 * j / (HAT_COLUMNS - 1) - 1.0)
        brim = hat_brim(s, azimuth)
        low = np.arcsin(brim / TOP)
        for i in range(HAT_ROWS):
            x, y, z = base(s, azimuth, low + (quarter - low) * (i / (HAT_ROWS - 1)) ** 1.35)
            over = max(0.0, y - brim)
            edge = 1.0 - min(1.0, over / 0.045)
            band = smooth(HAT_BAND + 0.02, HAT_BAND - 0.02, over)
            offset = 0.02 + np.sqrt(1.0 - edge * edge) * (0.095 + 0.05 * band + 0.06 * smooth(0.75, TOP, y))
            ux, uy, uz = x / 0.8, max(0.0, y - 0.25) / 1.1, z / 0.9
            norm = np.sqrt(ux * ux + uy * uy + uz * uz) + 1e-6
            k = i * HAT_COLUMNS + j
            points[k, 0] = x + offset * ux / norm
            points[k, 1] = y + offset * uy / norm
            points[k, 2] = z + offset * uz / norm
            data[k, 0], data[k, 1], data[k, 2] = azimuth, over, 0.0
            data[k, 3] = 1.0 - 0.35 * edge - 0.30 * np.exp(-(((over - HAT_BAND - 0.02) / 0.022) ** 2))


@fast
def fill_earrings(s: Shape, points: Floats, data: Floats) -> None:
    """Write two hoops that hang from the lobes, turned halfway to the front."""
    radius, thick = 0.07 + 0.10 * s.earrings, 0.014 + 0.012 * s.earrings
    turn = np.sqrt(0.5)
    for e in range(2):
        side = 2.0 * e - 1.0
        path = np.empty((HOOP_STEPS, 3))
        for i in range(HOOP_STEPS):
            a = 2.0 * np.pi * i / (HOOP_STEPS - 1)
            path[i, 0] = side * (s.width * 0.965 + 0.115 + turn * radius * np.sin(a))
            path[i, 1] = -0.06 - 0.19 * s.ear - radius * (1.0 - np.cos(a))
            path[i, 2] = 0.05 + turn * radius * np.sin(a)
        n = HOOP_STEPS * TUBE_SIDES
        tube(path, thick, points[e * n : (e + 1) * n], data[e * n : (e + 1) * n])


@fast
def _ring(points: Floats, data: Floats, k: int, p: Floats, u: Floats, v: Floats, r: float) -> None:
    for m in range(TUBE_SIDES):
        a = 2.0 * np.pi * m / (TUBE_SIDES - 1)
        for c in range(3):
            points[k + m, c] = p[c] + r * (np.cos(a) * u[c] + np.sin(a) * v[c])
        data[k + m, 0], data[k + m, 1], data[k + m, 2], data[k + m, 3] = p[0], p[1], a, 1.0


@fast
def tube(path: Floats, radius: float, points: Floats, data: Floats) -> None:
    """Sweep a circle of `radius` along `path` (N, 3)."""
    n = len(path)
    for i in range(n):
        d = path[min(n - 1, i + 1)] - path[max(0, i - 1)]
        d /= np.sqrt((d * d).sum()) + 1e-9
        up = np.array([0.0, 0.0, 1.0]) if abs(d[2]) < 0.8 else np.array([0.0, 1.0, 0.0])
        u = np.cross(d, up)
        u /= np.sqrt((u * u).sum()) + 1e-9
        _ring(points, data, i * TUBE_SIDES, path[i], u, np.cross(d, u), radius)


@fast
def rim(s: Shape, side: float, a: float) -> tuple[float, float, float]:
    """Return the point at angle `a` of one rim's superellipse."""
    c, n = np.cos(a), np.sin(a)
    x = s.eye_x + 0.015 + 0.258 * np.sign(c) * abs(c) ** s.glasses_e
    y = s.eye_y - 0.025 + (0.212 - 0.035 * (1.0 - s.glasses_e)) * np.sign(n) * abs(n) ** s.glasses_e
    return side * x, y, 0.875 - 0.22 * x * x


@fast
def fill_glasses(s: Shape, points: Floats, data: Floats) -> None:
    """Write two rims, the bridge and two temples as tubes, one after another."""
    thick = 0.009 + 0.014 * s.glasses
    k = 0
    for e in range(2):
        side = 2.0 * e - 1.0
        path = np.empty((RIM_STEPS, 3))
        for i in range(RIM_STEPS):
            path[i] = rim(s, side, 2.0 * np.pi * i / (RIM_STEPS - 1))
        n = RIM_STEPS * TUBE_SIDES
        tube(path, thick, points[k : k + n], data[k : k + n])
        k += n
        path = np.empty((TEMPLE_STEPS, 3))
        sx, sy, sz = rim(s, side, 0.45)
        for i in range(TEMPLE_STEPS):
            q = i / (TEMPLE_STEPS - 1)
            path[i, 0] = sx + (side * (s.width + 0.05) - sx) * q**0.85
            path[i, 1] = sy + (0.05 - sy) * q
            path[i, 2] = sz - (sz + 0.1) * q
        n = TEMPLE_STEPS * TUBE_SIDES
        tube(path, thick * 0.9, points[k : k + n], data[k : k + n])
        k += n
    path = np.empty((BRIDGE_STEPS, 3))
    inner = s.eye_x + 0.015 - 0.255
    for i in range(BRIDGE_STEPS):
        q = 2.0 * i / (BRIDGE_STEPS - 1) - 1.0
        arch = 1.0 - q * q
        path[i, 0], path[i, 1], path[i, 2] = inner * q, 0.055 + 0.035 * arch, 0.875 + 0.05 * arch
    tube(path, thick, points[k:], data[k:])
