"""Light on hair: strands in several octaves along fixed lines, and highlights across them."""

import numpy as np
from numpy.typing import NDArray

from training.renderer.compiled import fast
from training.renderer.contours import smooth
from training.renderer.hat import under_hat
from training.renderer.light import Light, Triple, lit, times
from training.renderer.noise import band, noise
from training.renderer.shape import Shape

Floats = NDArray[np.float64]


@fast
def cut(s: Shape, azimuth: float, left: float) -> bool:
    """Whether a strand of `azimuth` with `left` of its length to go has ended before the sheet does."""
    if left > 0.26:
        return False
    reach = 0.055 + 0.13 * s.hair_long
    ragged = 0.55 + 0.30 * noise(azimuth * 9.0, 0.5) + 0.45 * noise(azimuth * 26.0, 7.5)
    return left < reach * s.hair * ragged


@fast
def bends(s: Shape, azimuth: float, along: float) -> tuple[float, float]:
    """Return the phases' sines of the broad waves and of the curls of a strand, `along` from the crown."""
    grown = smooth(0.3, 1.0, along)
    broad = np.sin(along * 9.0 + 1.5 * np.sin(azimuth * 2.0)) * grown
    curl = np.sin(along * 17.0 + 2.2 * noise(azimuth * 5.0, 3.5) + 9.0 * azimuth) * grown
    return s.hair_wave * broad, smooth(0.35, 1.0, s.hair_wave) * curl


@fast
def hair(s: Shape, light: Light, colour: Triple, d: Floats, n: Floats) -> Triple:
    """Shade hair; highlights follow Kajiya and Kay (1989), one white and one coloured, shifted by strands."""
    azimuth, along, width = d[0], d[4], d[5]
    broad, curl = bends(s, azimuth, along)
    u = azimuth + 0.09 * noise(azimuth * 3.0 + 40.0, along * 1.3) + 0.035 * broad + 0.045 * curl
    lock = noise(u * 6.0, along * 0.7) * band(6.0, width)
    tuft = noise(u * 13.0, along * 0.9 + 20.0) * band(13.0, width)
    strand = noise(u * 27.0, along * 1.1 + 50.0) * band(27.0, width)
    fine = noise(u * 52.0, along * 1.4 + 90.0) * band(52.0, width)
    tx, ty, tz, bx, by, bz = _axes(light, n)
    side = 0.22 * lock + 0.26 * tuft + 0.22 * strand
    out = 0.30 * broad + 0.45 * curl
    nx, ny, nz = n[0] + side * bx + out * tx, n[1] + side * by + out * ty, n[2] + side * bz + out * tz
    size = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz)
    n[0], n[1], n[2] = nx * size, ny * size, nz * size
    streak = 0.13 * lock + 0.18 * tuft + 0.26 * strand + 0.24 * fine
    tone = max(0.25, 1.0 + streak - 0.12 * curl) * (0.76 + 0.24 * smooth(0.0, 0.35, d[2]))
    tone *= 1.0 - 0.45 * under_hat(s, azimuth, along, 0.14)
    warm = 0.045 * tuft + 0.03 * strand
    colour = times(colour, tone * (1.0 + warm), tone, tone * (1.0 - warm))
    sway = 0.35 * broad + 0.5 * curl + 0.12 * tuft
    tx, ty, tz = tx + sway * bx, ty + sway * by, tz + sway * bz
    white, tinted = _highlights(light, n, tx, ty, tz, 0.14 * strand + 0.12 * fine + 0.08 * tuft)
    white *= 0.60 + 0.45 * strand + 0.4 * fine
    r, g, b = lit(light, colour, n, 1.0, 0.0, 0.0)
    white, tinted = 0.085 * max(0.0, white) * light.key[1], 0.85 * tinted * light.key[1]
    return (
        r + white + tinted * (0.015 + colour[0]),
        g + white + tinted * (0.015 + colour[1]),
        b + 1.08 * white + tinted * (0.015 + colour[2]),
    )


@fast
def _axes(light: Light, n: Floats) -> tuple[float, float, float, float, float, float]:
    """Return the directions along a strand (down from the crown) and across it, in the surface."""
    cx, cy, cz = light.crown
    up = n[0] * cx + n[1] * cy + n[2] * cz
    tx, ty, tz = n[0] * up - cx, n[1] * up - cy, n[2] * up - cz
    size = 1.0 / np.sqrt(tx * tx + ty * ty + tz * tz + 0.01)
    tx, ty, tz = tx * size, ty * size, tz * size
    return tx, ty, tz, n[1] * tz - n[2] * ty, n[2] * tx - n[0] * tz, n[0] * ty - n[1] * tx


@fast
def _highlights(
    light: Light, n: Floats, tx: float, ty: float, tz: float, shift: float
) -> tuple[float, float]:  # fmt: skip
    """Return the white highlight, towards the root, and the tinted one, towards the tip."""
    hx, hy, hz = light.x, light.y, light.z + 1.0
    h = 1.0 / np.sqrt((hx * hx + hy * hy + hz * hz) * (tx * tx + ty * ty + tz * tz + 1e-6))
    th = (tx * hx + ty * hy + tz * hz) * h
    nh = max(0.0, n[0] * hx + n[1] * hy + n[2] * hz) / np.sqrt(hx * hx + hy * hy + hz * hz)
    first, second = th + (shift - 0.10) * nh, th + (1.4 * shift + 0.16) * nh
    facing = max(0.0, 0.25 + 0.75 * (n[0] * light.x + n[1] * light.y + n[2] * light.z)) * nh
    return facing * np.exp(-34.0 * first * first), facing * np.exp(-11.0 * second * second)
