"""Turns visible triangles into colours and classes, once a pixel and once more for every part at its edges."""

import numpy as np
from numpy.typing import NDArray

from training.renderer import mesh
from training.renderer import paint as paints
from training.renderer.compiled import fast
from training.renderer.complexion import mottle
from training.renderer.contours import smooth
from training.renderer.hat import gold, knit
from training.renderer.light import Light, Triple, lit, mix, times
from training.renderer.noise import band, noise
from training.renderer.paint import Palette, eyeball, mouth, skin
from training.renderer.raster import SUB
from training.renderer.shape import Shape
from training.renderer.strands import hair

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


@fast
def _bust(s: Shape, c: Palette, light: Light, part: int, d: Floats, n: Floats, pixel: float, chin: float) -> Triple:
    """Shade neck and clothes, with the soft shadow of the chin and a ribbed collar."""
    front = max(0.0, np.cos(d[1]))
    shadow = 0.60 * smooth(chin - 0.42, chin + 0.02, d[2]) * (0.55 + 0.45 * front)
    if part == mesh.NECK:
        shadow += 0.25 * smooth(-0.06, 0.0, d[0]) * smooth(0.10, 0.0, d[0])
        tone, red = mottle(s, 0.6 * d[1], d[2], pixel)
        colour = times(c.skin, tone, tone * (1.0 - 0.06 * red), tone * (1.0 - 0.06 * red))
        return lit(light, colour, n, max(0.0, 1.0 - shadow), 0.06, 0.18)
    colour = _cloth(s, c.cloth, d, n, pixel)
    return lit(light, colour, n, 1.0 - 0.5 * shadow, 0.02, 0.0)


@fast
def _cloth(s: Shape, colour: Triple, d: Floats, n: Floats, pixel: float) -> Triple:
    """Return the colour of clothes, with ribbed collar, stripes and weave, and lay `n` in folds."""
    over, a, y = d[0], d[1], d[2]
    rib = smooth(-0.095, -0.075, over)
    body = 1.0 - rib
    seam = np.exp(-(((over + 0.085) / 0.012) ** 2))
    wide, narrow = noise(a * 3.0 + y * 2.5, y * 4.0 - a * 2.0), noise(a * 7.0 - y * 6.0, y * 6.0 + a * 4.0 + 9.5)
    n[0] += (0.30 * wide + 0.20 * narrow) * body
    n[1] += (0.26 * noise(a * 3.0 + 50.5, y * 5.0 + a * 2.0) - 0.16 * narrow) * body
    size = 1.0 / np.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2])
    n[0], n[1], n[2] = n[0] * size, n[1] * size, n[2] * size
    light = 0.3 * colour[0] + 0.6 * colour[1] + 0.1 * colour[2]
    other = mix((0.75, 0.74, 0.71), (0.05, 0.05, 0.07), smooth(0.10, 0.42, light))
    stripe = smooth(-0.25, 0.25, np.cos(2.0 * np.pi * y / 0.125)) * body
    colour = mix(colour, other, 0.85 * s.stripes * stripe)
    weave = noise(a * 40.0, y * 40.0) * band(40.0, pixel) + 0.8 * noise(a * 22.0, y * 22.0)
    cord = np.cos(110.0 * a) * band(40.0, pixel) * rib
    tone = (1.0 - 0.16 * rib + 0.08 * cord) * (1.0 - 0.35 * seam) * (1.0 + 0.05 * weave + 0.10 * wide * body)
    return times(colour, tone, tone, tone)


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
        r, g, b = hair(s, light, c.hair, d, n)
        return r, g, b, paints.HAIR
    if part == mesh.HAT:
        r, g, b = knit(light, c.hat, d, n)
        return r, g, b, paints.HAT
    if part == mesh.EARRING_LEFT or part == mesh.EARRING_RIGHT:
        r, g, b = gold(light, n)
        return r, g, b, paints.EAR_R
    if part == mesh.GLASSES:
        r, g, b = lit(light, (0.016, 0.016, 0.020), n, 1.0, 0.5, 0.0)
        return r, g, b, paints.EYE_G
    r, g, b = _bust(s, c, light, part, d, n, pixel, chin)
    return r, g, b, paints.NECK if part == mesh.NECK else paints.CLOTH


@fast
def interpolate(
    xyz: Floats, data: Floats, normals: Floats, tri: Ints, px: float, py: float, d: Floats, n: Floats
) -> None:
    """Write surface data `d` (6,) and unit normal `n` (3,) of a triangle at a screen point.

    The last of `d` is how much the first changes over a pixel.
    """
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
    du, dv = data[j, 0] - data[i, 0], data[k, 0] - data[i, 0]
    gx, gy = du * vy - dv * uy, dv * ux - du * vx
    d[5] = SUB * np.sqrt(gx * gx + gy * gy) * abs(inverse)
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
    thin = part == mesh.HAIR or part == mesh.EAR_LEFT or part == mesh.EAR_RIGHT or part == mesh.GLASSES
    if thin and n[2] < 0.0:
        n[2] = -n[2]  # mirrored, not negated: shading stays continuous around a fold


@fast
def shade_picture(
    s: Shape, c: Palette, light: Light, xyz: Floats, data: Floats, normals: Floats, triangles: Ints,
    owners: Ints, ids: Ints, depth: Floats, pixel: float, chin: float, picture: Floats,
    parsing: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Shade ids (SUB H, SUB W) over the background in `picture` (H, W, 3, linear); write parsing (H, W)."""
    d, n = np.empty(6), np.empty(3)
    done, votes = np.zeros(SUB * SUB, np.bool_), np.zeros(19, np.int64)
    for y in range(picture.shape[0]):
        for x in range(picture.shape[1]):
            first = ids[SUB * y + SUB // 2, SUB * x + SUB // 2]
            part = owners[first] if first >= 0 else -1
            same, near, far = True, 0.0, 1e9
            for q in range(SUB * SUB):
                sy, sx = SUB * y + q // SUB, SUB * x + q % SUB
                other, z = ids[sy, sx], depth[sy, sx]
                same = same and (owners[other] if other >= 0 else -1) == part
                near, far = max(near, z), min(far, z)
            if same and part < 0:
                continue
            if same and near - far < _JUMP:
                interpolate(xyz, data, normals, triangles[first], SUB * (x + 0.5), SUB * (y + 0.5), d, n)
                _face_viewer(part, n)
                r, g, b, label = shade_point(s, c, light, part, d, n, pixel, chin)
                picture[y, x, 0], picture[y, x, 1], picture[y, x, 2] = r, g, b
                parsing[y, x] = label
                continue
            done[:], votes[:] = False, 0
            r, g, b = 0.0, 0.0, 0.0
            for q in range(SUB * SUB):
                if done[q]:
                    continue
                tri, count, cx, cy = _layer(owners, ids, depth, x, y, q, done)
                sr, sg, sb, label = picture[y, x, 0], picture[y, x, 1], picture[y, x, 2], 0
                if tri >= 0:
                    interpolate(xyz, data, normals, triangles[tri], cx, cy, d, n)
                    _face_viewer(owners[tri], n)
                    sr, sg, sb, label = shade_point(s, c, light, owners[tri], d, n, pixel, chin)
                votes[label] += count
                k = count / (SUB * SUB)
                r, g, b = r + k * _dim(sr), g + k * _dim(sg), b + k * _dim(sb)
            picture[y, x, 0], picture[y, x, 1], picture[y, x, 2] = r * r, g * g, b * b
            parsing[y, x] = np.argmax(votes)


_JUMP = 1e-3
"""Subsamples of a part whose inverse distances differ by less show the same surface."""


@fast
def _dim(v: float) -> float:
    """Return a value in which edges blend evenly to the eye, the square root of linear light."""
    return np.sqrt(min(1.2, max(0.0, v)))


@fast
def _layer(
    owners: Ints, ids: Ints, depth: Floats, x: int, y: int, first: int, done: NDArray[np.bool_]
) -> tuple[int, int, float, float]:
    """Return triangle, count and centre of the pixel's subsamples that show what subsample `first` does."""
    top, left = SUB * y, SUB * x
    start = ids[top + first // SUB, left + first % SUB]
    part, z = owners[start] if start >= 0 else -1, depth[top + first // SUB, left + first % SUB]
    count, cx, cy = 0, 0.0, 0.0
    for q in range(first, SUB * SUB):
        sy, sx = top + q // SUB, left + q % SUB
        tri = ids[sy, sx]
        if done[q] or (owners[tri] if tri >= 0 else -1) != part or abs(depth[sy, sx] - z) >= _JUMP:
            continue
        done[q] = True
        count, cx, cy = count + 1, cx + sx + 0.5, cy + sy + 0.5
    cx, cy = cx / count, cy / count
    tri = ids[int(cy), int(cx)]
    if start >= 0 and (tri < 0 or owners[tri] != part):
        tri = start
    return tri if start >= 0 else -1, count, cx, cy


@fast
def blend_glasses(
    s: Shape, c: Palette, light: Light, xyz: Floats, data: Floats, normals: Floats, triangles: Ints,
    ids: Ints, opacity: float, picture: Floats, parsing: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Blend the glasses' own layer of ids (SUB H, SUB W) over `picture` with `opacity`."""
    d, n = np.empty(6), np.empty(3)
    for y in range(picture.shape[0]):
        for x in range(picture.shape[1]):
            hits = 0
            r, g, b = 0.0, 0.0, 0.0
            for q in range(SUB * SUB):
                sx, sy = SUB * x + q % SUB, SUB * y + q // SUB
                tri = ids[sy, sx]
                if tri >= 0:
                    interpolate(xyz, data, normals, triangles[tri], sx + 0.5, sy + 0.5, d, n)
                    _face_viewer(mesh.GLASSES, n)
                    sr, sg, sb, _ = shade_point(s, c, light, mesh.GLASSES, d, n, 0.01, 0.0)
                    r, g, b, hits = r + sr, g + sg, b + sb, hits + 1
            if hits:
                k = opacity * hits / (SUB * SUB)
                picture[y, x, 0] = ((1.0 - k) * _dim(picture[y, x, 0]) + k * _dim(r / hits)) ** 2
                picture[y, x, 1] = ((1.0 - k) * _dim(picture[y, x, 1]) + k * _dim(g / hits)) ** 2
                picture[y, x, 2] = ((1.0 - k) * _dim(picture[y, x, 2]) + k * _dim(b / hits)) ** 2
                if k > 0.4:
                    parsing[y, x] = paints.EYE_G


@fast
def fill_background(
    picture: Floats, to_crop: Floats, first: Triple, second: Triple, angle: float, glow: Triple
) -> None:  # fmt: skip
    """Fill `picture` with a gradient anchored to the aligned crop by `to_crop` (2, 3), pixels to [0, 1].

    `glow` is the centre in the crop and the strength of a lamp out of focus.
    """
    ca, sa = np.cos(angle), np.sin(angle)
    for y in range(picture.shape[0]):
        for x in range(picture.shape[1]):
            u = to_crop[0, 0] * (x + 0.5) + to_crop[0, 1] * (y + 0.5) + to_crop[0, 2] - 0.5
            v = to_crop[1, 0] * (x + 0.5) + to_crop[1, 1] * (y + 0.5) + to_crop[1, 2] - 0.5
            t = smooth(-0.65, 0.65, u * ca + v * sa)
            r, g, b = mix(first, second, t)
            lamp = glow[2] * smooth(0.23, 0.13, np.sqrt((u - glow[0]) ** 2 + (v - glow[1]) ** 2))
            picture[y, x, 0], picture[y, x, 1], picture[y, x, 2] = r + lamp, g + 0.90 * lamp, b + 0.72 * lamp


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
