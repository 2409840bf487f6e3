"""Renders one face: picture, exact landmarks and parsing map in one pass."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.renderer import mesh, palette
from training.renderer.camera import DISTANCE, AlignedCamera, Camera, to_plane
from training.renderer.head import AZIMUTHS, LATITUDES
from training.renderer.landmarks import inner_landmarks, jaw_landmarks
from training.renderer.paint import Palette
from training.renderer.parameters import HIGHS, LOWS, NAMES
from training.renderer.raster import visibility
from training.renderer.shade import Light, blend_layer, fill_background, shade_picture, to_srgb
from training.renderer.shape import Shape, opacity, shape_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """A picture and what is known of it."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    landmarks: NDArray[np.float32]
    """(68, 2) iBUG landmarks in pixels; the centre of pixel (0, 0) lies at (0.5, 0.5)."""
    parsing: NDArray[np.uint8]
    """(H, W) CelebAMask-HQ classes in BiSeNet order."""


def named(params: NDArray[np.floating]) -> dict[str, float]:
    """Return raw parameters (P,) by name, clipped to their rendered ranges."""
    if params.shape != (len(NAMES),):
        raise ValueError(f"params has shape {params.shape}, expected ({len(NAMES)},), one value each")
    return dict(zip(NAMES, np.clip(params, LOWS, HIGHS).astype(float).tolist(), strict=True))


def _triple(colour: Floats) -> tuple[float, float, float]:
    return float(colour[0]), float(colour[1]), float(colour[2])


def _palette(p: Mapping[str, float]) -> Palette:
    skin = palette.skin(p)
    return Palette(
        skin=_triple(skin),
        hair=_triple(palette.hair(p)),
        iris=_triple(palette.iris(p)),
        lips=_triple(palette.lips(p, skin)),
        cloth=_triple(palette.oklab(p["cloth_lightness"], p["cloth_a"], p["cloth_b"])),
    )


def _light(p: Mapping[str, float]) -> Light:
    azimuth, elevation = np.radians(62.0 * p["light_azimuth"]), np.radians(12.0 + 40.0 * p["light_elevation"])
    strength = 0.92 + 0.20 * p["light_intensity"]
    warm = np.array([1.0 + 0.10 * p["light_warmth"], 1.0, 1.0 - 0.14 * p["light_warmth"]])
    return Light(
        x=float(np.cos(elevation) * np.sin(azimuth)),
        y=float(np.sin(elevation)),
        z=float(np.cos(elevation) * np.cos(azimuth)),
        key=_triple(strength * 0.80 * warm),
        sky=_triple(strength * np.array([0.40, 0.41, 0.44])),
        ground=_triple(strength * np.array([0.29, 0.27, 0.26])),
    )


def _posed(s: Shape, p: Mapping[str, float]) -> tuple[Floats, Floats, Floats, float]:
    """Return posed points (V, 3), surface data (V, 5), plane landmarks (68, 2) and the chin's height."""
    points, data = np.zeros((mesh.VERTICES, 3)), np.zeros((mesh.VERTICES, 5))
    mesh.fill(s, AZIMUTHS, LATITUDES, mesh.STARTS, points, data)
    turned = mesh.rotation(p["yaw"], p["pitch"], p["roll"])
    chest = mesh.rotation(0.3 * p["yaw"], 0.0, 0.15 * p["roll"])
    bust, bust_end = int(mesh.STARTS[mesh.NECK]), int(mesh.STARTS[mesh.HAIR])
    mesh.pose(points, bust, bust_end, turned, chest, mesh.PIVOT)
    face = np.concatenate([jaw_landmarks(s, turned), inner_landmarks(s)])
    mesh.pose(face, 0, 0, turned, chest, mesh.PIVOT)
    return points, data, to_plane(face), -s.lower


def render(
    params: NDArray[np.floating], camera: Camera, size: int = 256, background: NDArray[np.uint8] | None = None
) -> Rendering:
    """Render raw parameters (P,) through `camera`.

    Args:
        params: Raw values in the order of `parameters.NAMES`, clipped to their ranges.
        camera: An `AlignedCamera` (the crop is size by size) or a `FreeCamera` (which knows its frame).
        size: Side of an aligned crop in pixels.
        background: Optional (H, W, 3) sRGB picture behind the bust instead of the gradient.
    """
    p = named(params)
    s = shape_of(p)
    points, data, plane, chin = _posed(s, p)
    width, height = camera.frame(size)
    matrix = camera.matrix(plane, size)
    pixels = to_plane(points) @ matrix[:, :2].T + matrix[:, 2]
    xyz = np.concatenate([2.0 * pixels, 1.0 / (DISTANCE - points[:, 2:3])], axis=1)
    picture = _backdrop(p, camera, matrix, plane, (height, width), background)
    parsing = np.zeros((height, width), np.uint8)
    _draw(s, p, xyz, points, data, 1.0 / float(np.hypot(*matrix[:, 0])), chin, picture, parsing)
    image = np.empty((height, width, 3), np.uint8)
    to_srgb(picture, image)
    landmarks = (plane @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return Rendering(image=image, landmarks=landmarks, parsing=parsing)


def _backdrop(
    p: Mapping[str, float], camera: Camera, matrix: Floats, plane: Floats, frame: tuple[int, int],
    background: NDArray[np.uint8] | None,
) -> Floats:  # fmt: skip
    """Return the linear picture (H, W, 3) behind the bust."""
    if background is not None:
        if background.shape != (*frame, 3):
            raise ValueError(f"background has shape {background.shape}, the camera's frame is {(*frame, 3)}")
        return palette.linear(background.astype(np.float64))
    picture = np.empty((*frame, 3))
    crop = AlignedCamera().matrix(plane, 1)
    linear = crop[:, :2] @ np.linalg.inv(matrix[:, :2])
    to_crop = np.concatenate([linear, (crop[:, 2] - linear @ matrix[:, 2])[:, None]], axis=1)
    lightness = p["background_lightness"]
    first = palette.oklab(lightness, p["background_a"], p["background_b"])
    second = palette.oklab(lightness + p["background_contrast"], p["background_a2"], p["background_b2"])
    angle = 0.5 * np.pi * p["background_angle"]
    fill_background(picture, to_crop, _triple(first), _triple(second), angle)
    return picture


def _draw(
    s: Shape, p: Mapping[str, float], xyz: Floats, points: Floats, data: Floats, pixel: float, chin: float,
    picture: Floats, parsing: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Draw the bust, then what it wears, over `picture` in place."""
    colours, light, first = _palette(p), _light(p), mesh.FIRSTS
    normals = mesh.vertex_normals(points, mesh.TRIANGLES)
    frame = (2 * picture.shape[0], 2 * picture.shape[1])
    ids, depth = np.full(frame, -1, np.int32), np.zeros(frame)
    triangles, owners = mesh.TRIANGLES, mesh.OWNERS
    visibility(s, xyz, data, triangles[: first[mesh.HAT]], owners[: first[mesh.HAT]], 0, ids, depth)
    shade_picture(
        s, colours, light, xyz, data, normals, triangles, owners, ids, pixel, chin, picture, parsing
    )
    for part, worn in ((mesh.HAT, s.hat), (mesh.EARRINGS, s.earrings), (mesh.GLASSES, s.glasses)):
        if worn > 0.0:
            own = slice(first[part], first[part + 1])
            ids.fill(-1)
            visibility(s, xyz, data, triangles[own], owners[own], first[part], ids, depth)
            seen = opacity(worn)
            blend_layer(s, colours, light, part, xyz, data, normals, triangles, ids, seen, picture, parsing)
