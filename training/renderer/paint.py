"""Albedo and parsing class of every part, painted in surface coordinates with soft one-pixel edges."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.renderer.compiled import fast
from training.renderer.complexion import freckles, mottle, whiskers, wrinkles
from training.renderer.contours import brow, bump, lids, lips, smooth
from training.renderer.hat import under_hat
from training.renderer.light import Triple, mix, times
from training.renderer.noise import band, noise
from training.renderer.shape import Shape

Floats = NDArray[np.float64]
BACKGROUND, SKIN, L_BROW, R_BROW, L_EYE, R_EYE, EYE_G, L_EAR, R_EAR, EAR_R = range(10)
NOSE, INNER_MOUTH, U_LIP, L_LIP, NECK, NECK_L, CLOTH, HAIR, HAT = range(10, 19)
"""CelebAMask-HQ classes in the order of the public BiSeNet; l_ is the image's left of a frontal head."""


class Palette(NamedTuple):
    """Colours of a face, linear RGB."""

    skin: Triple
    hair: Triple
    iris: Triple
    lips: Triple
    cloth: Triple
    hat: Triple


@fast
def _eye_lines(s: Shape, x: float, y: float, pixel: float) -> tuple[float, float]:
    """Return the cover of lashes and the darkness of the lid crease at (x, y)."""
    ex = abs(x) - s.eye_x
    if abs(ex) > s.eye_w + 0.09 or abs(y - s.eye_y) > 0.26:
        return 0.0, 0.0
    up, low, t = lids(s, x)
    q = max(0.0, 1.0 - t * t)
    reach = smooth(-1.04, -0.6, t) * smooth(1.20, 0.95, t)
    thick = (0.014 + 0.012 * s.lash) * (0.6 + 0.4 * smooth(-0.6, 0.7, t))
    flick = 0.10 * s.lash * max(0.0, t - 0.9)
    d = y - up - flick
    lash = smooth(thick + pixel, thick - pixel * 0.5, d) * smooth(-0.012 - pixel, -0.006, d) * reach
    under = 0.5 * smooth(0.008 + pixel, 0.0, abs(low - y)) * q**0.5 * (0.5 + 0.3 * s.lash)
    fold = s.eye_y + s.eye_tilt * t + s.eye_up * (0.35 + 0.80 * q**0.6) + 0.012
    crease = np.exp(-(((y - max(fold, up + 0.028)) / 0.012) ** 2)) * q**0.4 * (0.34 + 0.16 * s.age)
    return max(lash, under), crease


@fast
def _paint_lips(s: Shape, c: Palette, x: float, y: float, pixel: float) -> tuple[Triple, float, float, int]:
    """Return colour, cover, gloss and class of the lips at (x, y)."""
    up, inner_up, inner_low, low, t = lips(s, x)
    if t >= 1.0:
        return c.lips, 0.0, 0.0, SKIN
    edge = smooth(-0.006 - pixel, 0.006 + pixel, min(up - y, y - low))
    middle = 0.5 * (inner_up + inner_low)
    upper = y > middle
    seam = np.exp(-(((y - middle) / (0.010 + 0.5 * (inner_up - inner_low))) ** 2))
    tone = times(c.lips, 0.86, 0.82, 0.82) if upper else c.lips
    line = 1.0 + 0.16 * noise(x * 36.0 + 3.5, y * 4.0) * band(36.0, pixel)
    tone = mix(times(tone, line, line, line), times(c.lips, 0.22, 0.15, 0.15), seam * 0.8)
    wet = (0.12 + 0.40 * s.lipstick) * bump(0.0, y - 0.5 * (low + inner_low) - 0.01, 1.0, 0.028)
    return tone, edge, 0.14 + 0.12 * s.lipstick + wet * (1.0 - t * t), U_LIP if upper else L_LIP


@fast
def _paint_brow(s: Shape, x: float, y: float, pixel: float) -> tuple[float, float]:
    """Return the cover of the brow at (x, y) and the lightness of its hair."""
    brow_y, half, t = brow(s, x)
    if abs(t) >= 1.1 or half <= 0.0:
        return 0.0, 1.0
    rise, ax = y - brow_y, abs(x)
    hair = noise(ax * 34.0 - rise * 22.0, ax * 9.0 + rise * 16.0) * band(36.0, pixel)
    thick = half * (1.0 + 0.45 * hair)
    cover = smooth(thick + 0.008 + pixel, 0.55 * thick - pixel, abs(rise)) * min(1.0, half * 60.0)
    return cover * (1.0 + 0.2 * hair * (1.0 - cover)), 1.0 + 0.5 * hair


@fast
def skin(s: Shape, c: Palette, d: Floats, pixel: float) -> tuple[Triple, float, float, int]:
    """Return colour, gloss, ambient occlusion and class of the head at surface data `d` (6,)."""
    x, y, azimuth, shade, over = d[0], d[1], d[2], d[3], d[4]
    ax = abs(x)
    gloss, label = 0.14, SKIN
    shade *= 1.0 - 0.36 * s.hair * (1.0 if over > 0.0 else np.exp(-((over / 0.085) ** 2)))
    ragged = over + 0.022 * noise(azimuth * 22.0, y * 6.0) + 0.014 * noise(azimuth * 48.0, y * 12.0)
    scalp = smooth(-0.045, 0.06, ragged) * min(1.0, s.hair * 4.0) * smooth(-0.1, 0.15, y)
    if s.hat > 0.0:
        shade *= 1.0 - 0.5 * under_hat(s, azimuth, 0.5 * np.pi - np.arcsin(min(1.0, max(0.0, y / 1.17))), 0.12)
    tone, red = mottle(s, x, y, pixel)
    colour = times(c.skin, tone, tone, tone)
    if abs(azimuth) < 1.6:
        flush = 0.62 * bump(ax - 0.44, y + 0.27, 0.17, 0.13) + 0.60 * bump(x, y - s.nose_y, 0.12, 0.09)
        flush += red * (0.25 + 0.5 * flush)
        colour = times(colour, 1.0 + 0.06 * flush, 1.0 - 0.22 * flush, 1.0 - 0.18 * flush)
        colour = mix(colour, times(c.skin, 0.60, 0.42, 0.32), 0.8 * freckles(s, x, y))
        if s.nose_y - 0.13 < y < 0.02 and ax < s.nose_w * (0.45 + 0.75 * smooth(0.0, s.nose_y, y)) + 0.03:
            label = NOSE
        nostril = bump(ax - s.nose_w * 0.50, y - s.nose_y + 0.076, 0.034, 0.016)
        dark = max(wrinkles(s, x, y), min(1.0, 1.3 * nostril))
        colour = times(colour, 1.0 - 0.70 * dark, 1.0 - 0.82 * dark, 1.0 - 0.84 * dark)
        gloss *= 1.0 + 2.0 * (tone - 1.0) + 0.9 * bump(x, y - s.nose_y - 0.02, 0.06, 0.10)
        cover, grain = whiskers(s, x, y, azimuth, pixel)
        if y < s.mouth_y + 0.25:
            tone_, edge, wet, lip = _paint_lips(s, c, x, y, pixel)
            colour = mix(colour, tone_, edge)
            gloss += (wet - 0.06) * edge
            label = lip if edge > 0.5 else label
        elif y > -0.3:
            lash, crease = _eye_lines(s, x, y, pixel)
            colour = times(colour, 1.0 - crease, 1.0 - 1.15 * crease, 1.0 - 1.15 * crease)
            colour = mix(colour, (0.012, 0.009, 0.008), lash)
            brows, fine = _paint_brow(s, x, y, pixel)
            colour = mix(colour, times(c.hair, 0.55 * fine, 0.52 * fine, 0.50 * fine), 0.92 * brows)
            gloss *= 1.0 - brows
            if brows > 0.5:
                label = L_BROW if x < 0.0 else R_BROW
        grain *= 0.75
        colour = mix(colour, times(c.hair, grain, grain, grain), 0.93 * cover)
        gloss *= 1.0 - 0.8 * cover
    if scalp > 0.0:
        grain = 0.8 + 0.22 * noise(x * 30.0, y * 30.0) * band(30.0, pixel)
        colour = mix(colour, times(c.hair, grain, grain, grain), 0.92 * scalp)
        gloss *= 1.0 - 0.6 * scalp
    if scalp > 0.6:
        label = HAIR
    return colour, gloss, shade, label


@fast
def eyeball(s: Shape, c: Palette, d: Floats, light_x: float, pixel: float) -> tuple[Triple, float, float]:
    """Return colour, added highlight and ambient occlusion of an eyeball at surface data `d`."""
    soft = pixel / s.eye_r * 0.8
    gx, gy = s.gaze_x, s.gaze_y
    dx, dy = d[2] - gx, d[3] - gy
    r = np.sqrt(dx * dx + dy * dy)
    white = (0.80, 0.78, 0.76)
    inner = mix(times(c.iris, 1.5, 1.5, 1.5), c.iris, smooth(0.2, 0.42, r))
    inner = mix(inner, times(c.iris, 0.7, 0.7, 0.7), smooth(-0.1, 0.35, dy))
    inner = mix(inner, times(c.iris, 0.16, 0.16, 0.16), smooth(0.39, 0.46, r))
    inner = mix((0.008, 0.008, 0.01), inner, smooth(0.20 - soft, 0.20 + soft, r))
    colour = mix(inner, white, smooth(0.455 - soft, 0.455 + soft, r))
    hx, hy = dx - 0.16 * light_x - 0.02, dy - 0.16
    spark = smooth(0.105 + soft, 0.105 - soft, np.sqrt(hx * hx + hy * hy))
    up, low, t = lids(s, d[0])
    shade = 1.0 - 0.50 * np.exp(-((max(0.0, up - d[1]) / 0.038) ** 2)) - 0.12 * smooth(0.02, 0.0, d[1] - low)
    shade *= 1.0 - 0.25 * smooth(0.6, 1.0, abs(t))
    return colour, 0.85 * spark, shade


@fast
def mouth(s: Shape, d: Floats, pixel: float) -> tuple[Triple, float]:
    """Return colour and ambient occlusion of teeth, tongue and cavity at surface data `d`."""
    x, y = d[0], d[1]
    _, up, low, _, t = lips(s, x)
    edge = 0.004 + pixel
    arch = s.mouth_y + 0.10 * s.lift + 0.05 * max(0.0, s.lift) * t * t
    arch += 0.014 * (0.5 - 0.5 * np.cos(2.0 * np.pi * x / 0.082)) ** 2
    upper = smooth(arch - 0.072 - edge, arch - 0.072 + edge, y + 0.35 * x * x)
    floor = s.mouth_y - 0.10 - 0.62 * s.gap
    lower = smooth(floor + edge, floor - edge, y - 0.5 * x * x)
    cavity = (0.050, 0.012, 0.012)
    tongue = bump(x, y - (s.mouth_y - 0.72 * s.gap - 0.03), 0.14, 0.075)
    colour = mix(cavity, (0.36, 0.10, 0.095), min(1.0, 1.25 * tongue))
    tooth = (0.78, 0.74, 0.67)
    gap = 0.5 + 0.5 * np.cos(2.0 * np.pi * x / 0.082)
    line = 0.30 * (1.0 - gap) ** 5
    tooth = times(tooth, 1.0 - line, 1.0 - line, 1.0 - line)
    colour = mix(colour, times(tooth, 0.85, 0.83, 0.82), lower * 0.92)
    colour = mix(colour, tooth, upper * smooth(0.0, 0.045, up - low))
    shade = 1.0 - 0.42 * np.exp(-(((up - y) / 0.028) ** 2)) - 0.40 * smooth(0.55, 1.0, t)
    return colour, shade * (1.0 - 0.22 * smooth(0.02, 0.0, y - low))
