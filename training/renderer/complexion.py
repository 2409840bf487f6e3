"""What lies on skin: mottling, freckles, wrinkles, and the short hair of beard and moustache."""

import numpy as np

from training.renderer.compiled import fast
from training.renderer.contours import bump, lips, smooth
from training.renderer.noise import band, noise, spots
from training.renderer.shape import Shape


@fast
def mottle(s: Shape, x: float, y: float, pixel: float) -> tuple[float, float]:
    """Return the lightness and the added redness of skin at (x, y): blotches, patches and pores."""
    blotch, patch = noise(x * 4.0 + 9.5, y * 4.0 + 3.5), noise(x * 12.0 + 31.5, y * 12.0)
    pore = noise(x * 31.0, y * 31.0) * band(31.0, pixel) + noise(x * 57.0, y * 57.0) * band(57.0, pixel)
    tone = 1.0 + 0.022 * blotch + 0.028 * patch + (0.045 + 0.03 * s.age) * pore
    return tone, 0.22 * blotch + 0.20 * patch + 0.12 * pore


@fast
def freckles(s: Shape, x: float, y: float) -> float:
    """Return the cover of freckles, which gather on cheeks and nose."""
    if s.freckles <= 0.0 or y > 0.75 or y < -0.95:
        return 0.0
    where = bump(abs(x) - 0.30, y + 0.24, 0.22, 0.16) + bump(x, y + 0.20, 0.14, 0.16)
    share = s.freckles * (0.25 + 0.75 * min(1.0, where))
    large, small = spots(x * 13.0 + 5.0, y * 13.0, share), spots(x * 19.0 + 60.0, y * 19.0 + 7.0, share)
    return min(1.0, large + 0.8 * small) * (0.35 + 0.65 * min(1.0, where))


@fast
def _furrows(s: Shape, x: float, y: float, age: float, grin: float) -> float:
    """Return the darkness of what age draws: forehead, crow's feet, bags, jowls."""
    ax, dark = abs(x), 0.0
    if y > s.brow_y + 0.08:
        rise = y - s.brow_y - 0.02 * np.cos(x * 7.0) - 0.13 + 0.016 * noise(x * 6.0, 0.5)
        wave = 0.5 + 0.5 * np.cos(min(2.9, max(-0.45, rise / 0.085)) * 2.0 * np.pi)
        inside = smooth(0.5, 0.25, ax) * smooth(-0.04, 0.0, rise) * smooth(0.24, 0.19, rise)
        dark += 0.46 * age * wave**4 * inside * (0.8 + 0.4 * noise(x * 9.0, y * 9.0))
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
    cheek = bump(ax - 0.48, y + 0.40, 0.16, 0.22)
    return dark + 0.16 * age * cheek * max(0.0, noise(ax * 15.0 - y * 9.0, ax * 5.0 + y * 7.0))


@fast
def wrinkles(s: Shape, x: float, y: float) -> float:
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
        dark += _furrows(s, x, y, smooth(0.2, 0.9, s.age), grin)
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
    cheek += 0.035 * noise(azimuth * 17.0, y * 5.0)
    cover = smooth(cheek + 0.06, cheek - 0.11, y) * smooth(1.75, 1.55, a)
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
def _moustache(s: Shape, x: float, y: float) -> float:
    """Return how much of the moustache covers the skin at (x, y), from below the nose to the lip."""
    if s.moustache <= 0.0 or y > s.nose_y or y < s.mouth_y - 0.12:
        return 0.0
    t = abs(x) / (s.mouth_w + 0.05)
    if t > 1.15:
        return 0.0
    y += 0.012 * noise(x * 34.0, 0.5)
    low = lips(s, x)[0] - 0.045 * smooth(0.6, 1.1, t)
    high = s.nose_y - 0.095 - 0.11 * t * t
    cover = smooth(low - 0.012, low + 0.014, y) * smooth(high + 0.012, high - 0.022, y)
    cover *= smooth(1.12, 0.92, t) * (1.0 - 0.35 * bump(x, 0.0, 0.018, 1.0))
    return cover * smooth(0.0, 0.8, s.moustache)


@fast
def whiskers(s: Shape, x: float, y: float, azimuth: float, pixel: float) -> tuple[float, float]:
    """Return the cover of beard and moustache at (x, y) and the lightness of their hair."""
    cover = max(_beard(s, x, y, azimuth), _moustache(s, x, y))
    if cover <= 0.0:
        return 0.0, 1.0
    u = x + 0.35 * x * (y + 0.6) + 0.03 * noise(x * 7.0, y * 7.0)
    hair = noise(u * 26.0, y * 8.0) * band(26.0, pixel) + 0.9 * noise(u * 45.0, y * 14.0) * band(45.0, pixel)
    root = noise(x * 42.0 + 17.5, y * 42.0) * band(42.0, pixel)
    ragged = cover * (1.0 - cover) * (1.3 * hair + 1.3 * root)
    return min(1.0, max(0.0, cover + ragged)), max(0.3, 0.95 + 0.42 * hair)
