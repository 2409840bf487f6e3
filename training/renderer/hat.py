"""A knitted cap over the hair, which comes down from the crown, and earrings that hang from the lobes."""

import numpy as np
from numpy.typing import NDArray

from training.renderer.compiled import fast
from training.renderer.contours import smooth
from training.renderer.head import base
from training.renderer.light import Light, Triple, lit, times
from training.renderer.noise import band, noise
from training.renderer.shape import Shape

Floats = NDArray[np.float64]
HAT_ROWS, HAT_COLUMNS = 34, 97
DROP_ROWS, DROP_COLUMNS = 15, 13


@fast
def hat_reach(s: Shape, azimuth: float) -> float:
    """Return the angle from the crown down to the hat's rim."""
    pulled = 1.0 - (1.0 - s.hat) ** 2.5
    a = abs(azimuth)
    return pulled * (1.10 + 0.22 * smooth(0.4, 1.5, a) + 0.24 * smooth(1.5, 3.0, a))


@fast
def under_hat(s: Shape, azimuth: float, along: float, soft: float) -> float:
    """Return 1 inside the hat, falling to 0 over the angle `soft` below its rim, at `along` from the crown."""
    if s.hat <= 0.0:
        return 0.0
    reach = hat_reach(s, azimuth)
    return smooth(reach + soft, reach, along) * smooth(0.0, 0.3, s.hat)


@fast
def fill_hat(s: Shape, points: Floats, data: Floats) -> None:
    """Write the cap with its folded cuff; data: azimuth, angle from the crown, angle to the rim."""
    if s.hat <= 0.0:
        return
    for j in range(HAT_COLUMNS):
        azimuth = 2.0 * np.pi * j / (HAT_COLUMNS - 1) - np.pi
        reach = hat_reach(s, azimuth)
        for i in range(HAT_ROWS):
            along = reach * (1.0 - max(0.0, 1.0 - i / (HAT_ROWS - 1)) ** 1.6)
            left = reach - along
            x, y, z = base(s, azimuth, 0.5 * np.pi - max(along, 1e-3))
            edge = 1.0 - min(1.0, left / 0.07)
            cuff = smooth(0.29, 0.265, left)
            offset = 0.155 + 0.045 * cuff + 0.07 * smooth(0.9, 0.0, along) * s.hat
            offset = offset * np.sqrt(max(0.0, 1.0 - edge * edge)) + 0.02 * edge
            ux, uy, uz = x / 0.8, y / 1.3, z / 0.9
            norm = np.sqrt(ux * ux + uy * uy + uz * uz) + 1e-6
            k = i * HAT_COLUMNS + j
            points[k, 0], points[k, 1] = x + offset * ux / norm, y + offset * uy / norm
            points[k, 2] = z + offset * uz / norm
            data[k, 0], data[k, 1], data[k, 2] = azimuth, along, left


@fast
def knit(light: Light, colour: Triple, d: Floats, n: Floats) -> Triple:
    """Shade the hat: ribs down from the crown, rows of stitches, the cuff's fold."""
    azimuth, along, left = d[0], d[1], d[2]
    seen = band(20.0, d[5])
    phase = 44.0 * azimuth
    row = 78.0 * along + 1.2 * np.cos(phase)
    side = 0.42 * np.sin(phase) * seen
    cx, cy, cz = light.crown
    bx, by, bz = n[1] * cz - n[2] * cy, n[2] * cx - n[0] * cz, n[0] * cy - n[1] * cx
    nx, ny, nz = n[0] + side * bx, n[1] + side * by, n[2] + side * bz
    size = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz)
    n[0], n[1], n[2] = nx * size, ny * size, nz * size
    tone = 1.0 + (0.20 * np.cos(phase) + 0.11 * np.sin(row)) * seen
    tone += 0.05 * noise(azimuth * 9.0, along * 9.0)
    tone *= 1.0 - 0.45 * np.exp(-(((left - 0.30) / 0.022) ** 2))
    tone *= 0.72 + 0.28 * smooth(0.0, 0.05, left)
    return lit(light, times(colour, tone, tone, tone), n, 1.0, 0.015, 0.0)


@fast
def fill_earring(s: Shape, side: float, points: Floats, data: Floats) -> None:
    """Write a small ball and a drop below it, one surface of revolution; data: nothing."""
    if s.earrings <= 0.0:
        return
    k = 1.25 * (1.0 - (1.0 - s.earrings) ** 2)
    x = side * (s.width * 0.965 + 0.085)
    y = -0.06 - 0.185 * s.ear
    for i in range(DROP_ROWS):
        t = i / (DROP_ROWS - 1)
        r = 0.034 * np.exp(-(((t - 0.13) / 0.10) ** 2)) + 0.062 * np.exp(-(((t - 0.70) / 0.20) ** 2))
        r *= k * min(1.0, 3.5 * np.sqrt(max(0.0, t * (1.0 - t))))
        for j in range(DROP_COLUMNS):
            a = 2.0 * np.pi * j / (DROP_COLUMNS - 1)
            m = i * DROP_COLUMNS + j
            points[m, 0], points[m, 1], points[m, 2] = x + r * np.sin(a), y - 0.25 * k * t, 0.03 + r * np.cos(a)


@fast
def gold(light: Light, n: Floats) -> Triple:
    """Shade polished gold: a bright sky, a dark horizon and the key light, mirrored."""
    sky = 0.30 + 0.95 * smooth(-0.25, 0.75, n[1]) - 0.30 * np.exp(-(((n[1] + 0.15) / 0.16) ** 2))
    return lit(light, (0.86 * sky, 0.58 * sky, 0.20 * sky), n, 1.0, 0.8, 0.0)
