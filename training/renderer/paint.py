"""Albedo and parsing class of every part, painted in surface coordinates with soft one-pixel edges."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.renderer.compiled import fast
from training.renderer.contours import brow, bump, lids, lips, smooth
from training.renderer.hairline import hat_brim
from training.renderer.shape import Shape

Floats = NDArray[np.float64]
BACKGROUND, SKIN, L_BROW, R_BROW, L_EYE, R_EYE, EYE_G, L_EAR, R_EAR, EAR_R = range(10)
NOSE, INNER_MOUTH, U_LIP, L_LIP, NECK, NECK_L, CLOTH, HAIR, HAT = range(10, 19)
"""CelebAMask-HQ classes in the order of the public BiSeNet; l_ is the image's left of a frontal head."""
Triple = tuple[float, float, float]


class Palette(NamedTuple):
    """Colours of a face, linear RGB."""

    skin: Triple
    hair: Triple
    iris: Triple
    lips: Triple
    cloth: Triple


@fast
def mix(a: Triple, b: Triple, t: float) -> Triple:
    """Blend colours linearly."""
    return a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t


@fast
def times(a: Triple, r: float, g: float, b: float) -> Triple:
    """Scale a colour per channel."""
    return a[0] * r, a[1] * g, a[2] * b


@fast
def _wrinkles(s: Shape, x: float, y: float) -> float:
    """Return the darkness of folds and wrinkles at (x, y)."""
    ax = abs(x)
    grin = max(0.0, s.smile)
    dark = 0.0
    # the nasolabial fold, from the wing of the nose to the mouth corner
    q = (s.nose_y + 0.02 - y) / (s.nose_y - s.mouth_y + 0.12)
    if -0.15 < q < 1.25:
        fold = s.nose_w + 0.065 + (s.mouth_w + 0.075 - s.nose_w - 0.065) * max(0.0, q) ** 0.8
        strength = (0.07 + 0.38 * s.age + 0.24 * grin) * smooth(-0.15, 0.15, q) * smooth(1.25, 0.7, q)
        dark += strength * np.exp(-(((ax - fold) / (0.018 + 0.010 * s.age)) ** 2))
    if s.age > 0.2:
        age = smooth(0.2, 0.9, s.age)
        if y > s.brow_y + 0.08:
            rise = y - s.brow_y - 0.02 * np.cos(x * 7.0) - 0.13
            wave = 0.5 + 0.5 * np.cos(min(2.9, max(-0.45, rise / 0.085)) * 2.0 * np.pi)
            inside = smooth(0.5, 0.25, ax) * smooth(-0.04, 0.0, rise) * smooth(0.24, 0.19, rise)
            dark += 0.42 * age * wave**4 * inside
        ex, ey = ax - s.eye_x, y - s.eye_y
        if ex > s.eye_w and abs(ey) < 0.15 and ex < s.eye_w + 0.2:
            ray = np.arctan2(ey, ex - s.eye_w + 0.10) / 0.36
            fan = (0.5 + 0.5 * np.cos(ray * 2.0 * np.pi)) ** 3 * smooth(1.35, 1.0, abs(ray))
            inside = smooth(0.0, 0.05, ex - s.eye_w) * smooth(0.17, 0.08, ex - s.eye_w)
            dark += 0.36 * (age + 0.3 * grin) * fan * inside
        bag = ((ex + 0.01) / 0.165) ** 2
        if bag < 1.0:
            line = -s.eye_low - 0.035 - 0.065 * (1.0 - bag) ** 0.5
            dark += 0.36 * age * np.exp(-(((ey - line) / 0.017) ** 2)) * (1.0 - bag) ** 0.5
        jowl = s.mouth_w + 0.05 + 0.12 * (s.mouth_y - y)
        inside = bump(0.0, y - s.mouth_y + 0.17, 1.0, 0.07)
        dark += 0.30 * age * np.exp(-(((ax - jowl) / 0.022) ** 2)) * inside
    frown = max(0.0, s.frown) + 0.5 * max(0.0, s.age - 0.4)
    dark += 0.45 * frown * np.exp(-(((ax - 0.055) / 0.012) ** 2)) * bump(0.0, y - s.brow_y, 1.0, 0.06)
    return min(0.75, dark)


@fast
def _beard(s: Shape, x: float, y: float, azimuth: float) -> float:
    """Return how much of the beard covers the skin at (x, y)."""
    a = abs(azimuth)
    if s.beard <= 0.0 or a > 1.75 or y > 0.05:
        return 0.0
    cheek = -0.36 - 0.26 * bump(a - 0.70, 0.0, 0.30, 1.0) + 0.50 * smooth(0.95, 1.55, a)
    cover = smooth(cheek + 0.05, cheek - 0.09, y) * smooth(1.75, 1.55, a)
    up, _, _, low, t = lips(s, x)
    if abs(x) < s.mouth_w + 0.06:
        t = min(1.0, max(0.0, abs(x) / s.mouth_w - 0.85) / 0.25)
        rim = smooth(0.004, 0.034, max(y - up, low - y))
        cover *= rim + (1.0 - rim) * t
        soul = bump(x, 0.0, 0.10, 1.0) * bump(0.0, y - low + 0.05, 1.0, 0.02)
        cover *= 1.0 - 0.25 * soul
    below_nose = s.nose_y - 0.110 - 0.16 * max(0.0, abs(x) - s.nose_w * 0.7)
    cover *= 1.0 - smooth(below_nose - 0.02, below_nose + 0.02, y) * smooth(0.55, 0.25, a)
    return cover * smooth(0.0, 0.9, s.beard) ** 0.8


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
def skin(s: Shape, c: Palette, d: Floats, pixel: float) -> tuple[Triple, float, float, int]:
    """Return colour, gloss, ambient occlusion and class of the head at surface data `d` (5,)."""
    x, y, azimuth, shade, over = d[0], d[1], d[2], d[3], d[4]
    ax = abs(x)
    colour, gloss, label = c.skin, 0.16, SKIN
    shade *= 1.0 - 0.36 * s.hair * (1.0 if over > 0.0 else np.exp(-((over / 0.085) ** 2)))
    if s.hat_cover > 0.0:
        shade *= 1.0 - 0.34 * s.hat_cover * np.exp(-((max(0.0, hat_brim(s, azimuth) - y) / 0.10) ** 2))
    scalp = smooth(-0.035, 0.05, over) * min(1.0, s.hair * 4.0) * smooth(-0.1, 0.15, y)
    if abs(azimuth) < 1.6:
        flush = 0.5 * bump(ax - 0.44, y + 0.27, 0.17, 0.13) + 0.45 * bump(x, y - s.nose_y, 0.11, 0.09)
        colour = times(colour, 1.0 + 0.06 * flush, 1.0 - 0.20 * flush, 1.0 - 0.17 * flush)
        if s.nose_y - 0.13 < y < 0.02 and ax < s.nose_w * (0.45 + 0.75 * smooth(0.0, s.nose_y, y)) + 0.03:
            label = NOSE
        nostril = bump(ax - s.nose_w * 0.50, y - s.nose_y + 0.076, 0.034, 0.016)
        dark = max(_wrinkles(s, x, y), min(1.0, 1.3 * nostril))
        colour = times(colour, 1.0 - 0.70 * dark, 1.0 - 0.82 * dark, 1.0 - 0.84 * dark)
        cover = _beard(s, x, y, azimuth)
        colour = mix(colour, times(c.hair, 0.75, 0.75, 0.75), 0.93 * cover)
        gloss *= 1.0 - 0.8 * cover
        if y < s.mouth_y + 0.25:
            up, inner_up, inner_low, low, t = lips(s, x)
            if t < 1.0:
                edge = smooth(-0.006 - pixel, 0.006 + pixel, min(up - y, y - low))
                middle = 0.5 * (inner_up + inner_low)
                seam = np.exp(-(((y - middle) / (0.010 + 0.5 * (inner_up - inner_low))) ** 2))
                tone = times(c.lips, 0.86, 0.82, 0.82) if y > middle else c.lips
                tone = mix(tone, times(c.lips, 0.22, 0.15, 0.15), seam * 0.8)
                colour = mix(colour, tone, edge)
                gloss += 0.14 * edge
                if edge > 0.5:
                    label = U_LIP if y > middle else L_LIP
        elif y > -0.3:
            lash, crease = _eye_lines(s, x, y, pixel)
            colour = times(colour, 1.0 - crease, 1.0 - 1.15 * crease, 1.0 - 1.15 * crease)
            colour = mix(colour, (0.012, 0.009, 0.008), lash)
            brow_y, half, t = brow(s, x)
            if abs(t) < 1.1 and half > 0.0:
                cover = smooth(half + 0.006 + pixel, half - 0.004 - pixel, abs(y - brow_y))
                cover *= min(1.0, half * 60.0)
                tone = times(c.hair, 0.55, 0.52, 0.50)
                colour = mix(colour, tone, 0.94 * cover)
                gloss *= 1.0 - cover
                if cover > 0.5:
                    label = L_BROW if x < 0.0 else R_BROW
    colour = mix(colour, times(c.hair, 0.8, 0.8, 0.8), 0.92 * scalp)
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
    upper = smooth(arch - 0.072 - edge, arch - 0.072 + edge, y + 0.35 * x * x)
    floor = s.mouth_y - 0.10 - 0.62 * s.gap
    lower = smooth(floor + edge, floor - edge, y - 0.5 * x * x)
    cavity = (0.050, 0.012, 0.012)
    tongue = bump(x, y - (s.mouth_y - 0.72 * s.gap - 0.03), 0.14, 0.075)
    colour = mix(cavity, (0.36, 0.10, 0.095), min(1.0, 1.25 * tongue))
    tooth = (0.78, 0.74, 0.67)
    gap = 0.5 + 0.5 * np.cos(2.0 * np.pi * x / 0.082)
    line = 0.16 * (1.0 - gap) ** 6
    tooth = times(tooth, 1.0 - line, 1.0 - line, 1.0 - line)
    colour = mix(colour, times(tooth, 0.85, 0.83, 0.82), lower * 0.92)
    colour = mix(colour, tooth, upper * smooth(0.0, 0.045, up - low))
    shade = 1.0 - 0.42 * np.exp(-(((up - y) / 0.028) ** 2)) - 0.40 * smooth(0.55, 1.0, t)
    return colour, shade * (1.0 - 0.22 * smooth(0.02, 0.0, y - low))
