"""Light: turns visible triangles into colours and classes, once a pixel, four times at edges."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.renderer import mesh
from training.renderer import paint as paints
from training.renderer.compiled import fast
from training.renderer.contours import smooth
from training.renderer.paint import Palette, Triple, eyeball, mix, mouth, skin, times
from training.renderer.shape import Shape

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


class Light(NamedTuple):
    """One key light and a sky; directions in the camera's axes."""

    x: float
    y: float
    z: float
    key: Triple
    sky: Triple
    ground: Triple


@fast
def lit(light: Light, colour: Triple, n: Floats, shade: float, gloss: float, bleed: float) -> Triple:
    """Shade a surface: wrapped diffuse light (redder in the terminator by `bleed`), sky, soft highlight."""
    nl = n[0] * light.x + n[1] * light.y + n[2] * light.z
    up = 0.5 + 0.5 * n[1]
    sky = mix(light.ground, light.sky, up)
    red = max(0.0, (nl + 0.30 + bleed) / (1.30 + bleed))
    other = max(0.0, (nl + 0.30) / 1.30)
    hx, hy, hz = light.x, light.y, light.z + 1.0
    nh = max(0.0, n[0] * hx + n[1] * hy + n[2] * hz) / np.sqrt(hx * hx + hy * hy + hz * hz)
    shine = gloss * (0.55 * nh**14 + 0.5 * nh**50) * shade
    rim = 0.10 * (1.0 - max(0.0, n[2])) ** 3 * shade
    deep = shade * (0.55 + 0.45 * shade)
    red_deep = shade**0.8 * (0.55 + 0.45 * shade)
    return (
        colour[0] * (light.key[0] * red**1.25 + sky[0]) * red_deep + light.key[0] * shine + rim * sky[0],
        colour[1] * (light.key[1] * other**1.25 + sky[1]) * deep + light.key[1] * shine + rim * sky[1],
        colour[2] * (light.key[2] * other**1.25 + sky[2]) * deep + light.key[2] * shine + rim * sky[2],
    )


@fast
def _hair(s: Shape, light: Light, colour: Triple, d: Floats, n: Floats) -> Triple:
    """Shade hair: broad locks and one soft band of highlight across the strands."""
    a = d[0]
    locks = 1.0 + (0.10 * np.cos(11.0 * a + 0.6) + 0.06 * np.cos(23.0 * a)) * smooth(0.15, 0.6, d[1])
    tip = 0.72 + 0.28 * smooth(0.0, 0.30, d[2])
    colour = times(colour, locks * tip, locks * tip, locks * tip)
    band = n[1] * 0.75 + n[0] * light.x * 0.5 + n[2] * 0.30 - 0.62 + 0.05 * np.cos(11.0 * a)
    sheen = 0.26 * np.exp(-((band / 0.15) ** 2)) * max(0.0, 0.35 + 0.65 * n[2])
    r, g, b = lit(light, colour, n, 1.0, 0.0, 0.0)
    k = sheen * light.key[1]
    return (
        r + k * (0.04 + 0.9 * colour[0]),
        g + k * (0.04 + 0.9 * colour[1]),
        b + k * (0.045 + 0.9 * colour[2]),
    )


@fast
def _hat(light: Light, cloth: Triple, d: Floats, n: Floats) -> Triple:
    """Shade a knitted cap: ribs that end where it narrows to the crown, darker where the band is turned up."""
    rib = 0.13 * (0.5 - 0.5 * np.cos(40.0 * d[0])) * smooth(0.2, 0.7, n[2]) * smooth(0.75, 0.45, d[1])
    tone = 0.95 - rib
    return lit(light, times(cloth, tone, tone, tone), n, d[3], 0.02, 0.0)


@fast
def _bust(s: Shape, c: Palette, light: Light, part: int, d: Floats, n: Floats, chin: float) -> Triple:
    """Shade neck and clothes, with the soft shadow of the chin and a ribbed collar."""
    front = max(0.0, np.cos(d[1]))
    shadow = 0.60 * smooth(chin - 0.42, chin + 0.02, d[2]) * (0.55 + 0.45 * front)
    if part == mesh.NECK:
        shadow += 0.25 * smooth(-0.06, 0.0, d[0]) * smooth(0.10, 0.0, d[0])
        return lit(light, c.skin, n, max(0.0, 1.0 - shadow), 0.06, 0.18)
    rib = smooth(-0.095, -0.075, d[0])
    seam = np.exp(-(((d[0] + 0.085) / 0.012) ** 2))
    tone = (1.0 - 0.16 * rib) * (1.0 - 0.35 * seam)
    return lit(light, times(c.cloth, tone, tone, tone), n, 1.0 - 0.5 * shadow, 0.02, 0.0)


@fast
def shade_point(
    s: Shape, c: Palette, light: Light, part: int, d: Floats, n: Floats, pixel: float, chin: float
) -> tuple[float, float, float, int]:
    """Return linear colour and parsing class of a point of `part` with surface data `d` and normal `n`."""
    if part == mesh.HEAD:
        colour, gloss, shade, label = skin(s, c, d, pixel)
        r, g, b = lit(light, colour, n, shade, gloss, 0.22)
        return r, g, b, label
    if part == mesh.EYE_LEFT or part == mesh.EYE_RIGHT:
        colour, spark, shade = eyeball(s, c, d, light.x, pixel)
        r, g, b = lit(light, colour, n, shade, 0.10, 0.0)
        return r + spark, g + spark, b + spark, paints.L_EYE if part == mesh.EYE_LEFT else paints.R_EYE
    if part == mesh.MOUTH:
        colour, shade = mouth(s, d, pixel)
        n[0], n[1], n[2] = n[0] * 0.5, 0.1, 0.9
        r, g, b = lit(light, colour, n, shade, 0.06, 0.0)
        return r, g, b, paints.INNER_MOUTH
    if part == mesh.EAR_LEFT or part == mesh.EAR_RIGHT:
        r, g, b = lit(light, times(c.skin, 1.02, 0.90, 0.90), n, d[3], 0.10, 0.30)
        return r, g, b, paints.L_EAR if part == mesh.EAR_LEFT else paints.R_EAR
    if part == mesh.HAIR:
        r, g, b = _hair(s, light, c.hair, d, n)
        return r, g, b, paints.HAIR
    if part == mesh.HAT:
        r, g, b = _hat(light, c.cloth, d, n)
        return r, g, b, paints.HAT
    if part == mesh.EARRINGS:
        r, g, b = lit(light, (0.72, 0.46, 0.13), n, 1.0, 0.9, 0.0)
        return r, g, b, paints.EAR_R
    if part == mesh.GLASSES:
        r, g, b = lit(light, (0.016, 0.016, 0.020), n, 1.0, 0.5, 0.0)
        return r, g, b, paints.EYE_G
    r, g, b = _bust(s, c, light, part, d, n, chin)
    return r, g, b, paints.NECK if part == mesh.NECK else paints.CLOTH


@fast
def interpolate(
    xyz: Floats, data: Floats, normals: Floats, tri: Ints, px: float, py: float, d: Floats, n: Floats
) -> None:
    """Write surface data `d` (5,) and unit normal `n` (3,) of a triangle at a screen point."""
    i, j, k = tri[0], tri[1], tri[2]
    ux, uy = xyz[j, 0] - xyz[i, 0], xyz[j, 1] - xyz[i, 1]
    vx, vy = xyz[k, 0] - xyz[i, 0], xyz[k, 1] - xyz[i, 1]
    inverse = 1.0 / (ux * vy - vx * uy)
    dx, dy = px - xyz[i, 0], py - xyz[i, 1]
    b = (dx * vy - vx * dy) * inverse
    c = (ux * dy - dx * uy) * inverse
    if min(b, c, 1.0 - b - c) < -0.6:  # a pixel's centre far off a sliver: keep to the sliver
        b, c = min(1.0, max(0.0, b)), min(1.0, max(0.0, c))
        total = max(1.0, b + c)
        b, c = b / total, c / total
    a = 1.0 - b - c
    for m in range(5):
        d[m] = a * data[i, m] + b * data[j, m] + c * data[k, m]
    length = 0.0
    for m in range(3):
        n[m] = a * normals[i, m] + b * normals[j, m] + c * normals[k, m]
        length += n[m] * n[m]
    length = np.sqrt(length) + 1e-9
    for m in range(3):
        n[m] /= length


@fast
def _face_viewer(part: int, n: Floats) -> None:
    """Turn the normals of thin or open parts to the viewer."""
    thin = part >= mesh.HAIR or part == mesh.EAR_LEFT or part == mesh.EAR_RIGHT
    if thin and n[2] < 0.0:
        n[2] = -n[2]  # mirrored, not negated: shading stays continuous around a fold


@fast
def shade_picture(
    s: Shape, c: Palette, light: Light, xyz: Floats, data: Floats, normals: Floats, triangles: Ints,
    owners: Ints, ids: Ints, pixel: float, chin: float, picture: Floats, parsing: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Shade ids (2H, 2W) over the background in `picture` (H, W, 3, linear); write parsing (H, W)."""
    d, n = np.empty(5), np.empty(3)
    labels, votes = np.zeros(4, np.int64), np.zeros(19, np.int64)
    for y in range(picture.shape[0]):
        for x in range(picture.shape[1]):
            first = ids[2 * y, 2 * x]
            part = owners[first] if first >= 0 else -1
            same = True
            for q in range(1, 4):
                other = ids[2 * y + q // 2, 2 * x + q % 2]
                same = same and (owners[other] if other >= 0 else -1) == part
            if same and part < 0:
                continue
            if same:
                interpolate(xyz, data, normals, triangles[first], 2.0 * x + 1.0, 2.0 * y + 1.0, d, n)
                _face_viewer(part, n)
                r, g, b, label = shade_point(s, c, light, part, d, n, pixel, chin)
                picture[y, x, 0], picture[y, x, 1], picture[y, x, 2] = r, g, b
                parsing[y, x] = label
                continue
            r, g, b = 0.0, 0.0, 0.0
            for q in range(4):
                sx, sy = 2 * x + q % 2, 2 * y + q // 2
                tri = ids[sy, sx]
                labels[q] = 0
                if tri < 0:
                    r, g, b = r + picture[y, x, 0], g + picture[y, x, 1], b + picture[y, x, 2]
                    continue
                interpolate(xyz, data, normals, triangles[tri], sx + 0.5, sy + 0.5, d, n)
                _face_viewer(owners[tri], n)
                sr, sg, sb, label = shade_point(s, c, light, owners[tri], d, n, pixel, chin)
                labels[q] = label
                r, g, b = r + min(1.2, sr), g + min(1.2, sg), b + min(1.2, sb)
            picture[y, x, 0], picture[y, x, 1], picture[y, x, 2] = r * 0.25, g * 0.25, b * 0.25
            parsing[y, x] = _majority(labels, votes)


@fast
def _majority(labels: NDArray[np.int64], votes: NDArray[np.int64]) -> int:
    best = labels[0]
    for q in range(4):
        votes[labels[q]] += 1
        if votes[labels[q]] > votes[best]:
            best = labels[q]
    for q in range(4):
        votes[labels[q]] = 0
    return best


@fast
def blend_layer(
    s: Shape, c: Palette, light: Light, part: int, xyz: Floats, data: Floats, normals: Floats,
    triangles: Ints, ids: Ints, opacity: float, picture: Floats, parsing: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Blend the layer of ids (2H, 2W) of a worn `part` over `picture` with `opacity`."""
    d, n, label = np.empty(5), np.empty(3), 0
    for y in range(picture.shape[0]):
        for x in range(picture.shape[1]):
            hits = 0
            r, g, b = 0.0, 0.0, 0.0
            for q in range(4):
                tri = ids[2 * y + q // 2, 2 * x + q % 2]
                if tri >= 0:
                    sx, sy = 2.0 * x + q % 2 + 0.5, 2.0 * y + q // 2 + 0.5
                    interpolate(xyz, data, normals, triangles[tri], sx, sy, d, n)
                    _face_viewer(part, n)
                    sr, sg, sb, label = shade_point(s, c, light, part, d, n, 0.01, 0.0)
                    r, g, b, hits = r + sr, g + sg, b + sb, hits + 1
            if hits:
                k = opacity * hits * 0.25
                picture[y, x, 0] += (r / hits - picture[y, x, 0]) * k
                picture[y, x, 1] += (g / hits - picture[y, x, 1]) * k
                picture[y, x, 2] += (b / hits - picture[y, x, 2]) * k
                if k > 0.4:
                    parsing[y, x] = label


@fast
def fill_background(picture: Floats, to_crop: Floats, first: Triple, second: Triple, angle: float) -> None:
    """Fill `picture` with a gradient anchored to the aligned crop by `to_crop` (2, 3), pixels to [0, 1]."""
    ca, sa = np.cos(angle), np.sin(angle)
    for y in range(picture.shape[0]):
        for x in range(picture.shape[1]):
            u = to_crop[0, 0] * (x + 0.5) + to_crop[0, 1] * (y + 0.5) + to_crop[0, 2] - 0.5
            v = to_crop[1, 0] * (x + 0.5) + to_crop[1, 1] * (y + 0.5) + to_crop[1, 2] - 0.5
            t = smooth(-0.65, 0.65, u * ca + v * sa)
            picture[y, x, 0], picture[y, x, 1], picture[y, x, 2] = mix(first, second, t)


def _encoding() -> NDArray[np.uint8]:
    v = np.arange(4096) / 2048.0
    v = np.where(v < 0.7, v, 0.7 + 0.3 * (1.0 - np.exp((0.7 - v) / 0.3)))
    return np.rint(255.0 * v ** (1.0 / 2.2)).astype(np.uint8)


_ENCODING = _encoding()
"""8-bit sRGB with a soft shoulder above 0.7, by linear light in steps of 1/2048."""
_DARK = np.rint(255.0 * (np.arange(4096) / 65536.0) ** (1.0 / 2.2)).astype(np.uint8)
"""The same below 1/16, where sRGB is steep, in steps of 1/65536."""


@fast
def to_srgb(picture: Floats, image: NDArray[np.uint8]) -> None:
    """Encode linear `picture` (H, W, 3) as 8-bit sRGB."""
    for y in range(picture.shape[0]):
        for x in range(picture.shape[1]):
            for m in range(3):
                v = max(0.0, picture[y, x, m])
                bright = min(4095, int(v * 2048.0 + 0.5))
                image[y, x, m] = _DARK[int(v * 65536.0)] if v < 0.0624 else _ENCODING[bright]
