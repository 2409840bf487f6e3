"""What cameras and codecs do to a picture, so that networks trained on renders stand it."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Points = NDArray[np.float32]
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How far pictures are moved about; every value is drawn uniformly up to these bounds."""

    degrees: float = 4.0
    """Rotation."""
    log_scale: float = 0.06
    """Natural logarithm of the zoom."""
    shift: float = 0.03
    """Shift as a share of the picture's side."""


def photometric(image: Image, rng: np.random.Generator, colour: float = 1.0) -> Image:
    """Change colours and contrast, and now and then blur, add noise and compress.

    Args:
        image: (H, W, 3) RGB.
        rng: Drawn from.
        colour: Share of the colours' change; less where colours tell what is to be learned.

    Returns:
        A new picture of the same shape.
    """
    image = cv2.transform(image, colour * colour_matrix(rng) + (1 - colour) * np.eye(3, 4, dtype=np.float32))
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.6))
    if rng.random() < 0.25:
        image = _rescaled(image, rng.uniform(0.35, 0.9))
    if rng.random() < 0.3:
        image = _noisy(image, rng)
    if rng.random() < 0.3:
        quality = int(rng.integers(25, 90))
        _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return image


def colour_matrix(rng: np.random.Generator) -> NDArray[np.float32]:
    """An affine map (3, 4) of RGB in 0..255: contrast, brightness, saturation and tint."""
    saturation, contrast = rng.uniform(0.5, 1.4), rng.uniform(0.65, 1.35)
    gains = contrast * rng.uniform(0.88, 1.12, 3)
    mix = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * np.tile(LUMA, (3, 1))
    matrix = gains[:, None] * mix
    offset = 128 - matrix.sum(1) * 128 + rng.uniform(-30, 30)
    return np.column_stack([matrix, offset]).astype(np.float32)


def _rescaled(image: Image, scale: float) -> Image:
    height, width = image.shape[:2]
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _noisy(image: Image, rng: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    bank = _noise_bank()
    top, left = rng.integers(0, bank.shape[0] - height + 1), rng.integers(0, bank.shape[1] - width + 1)
    noise = bank[top : top + height, left : left + width] * np.float32(rng.uniform(2, 12))
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _noise_bank() -> NDArray[np.float32]:
    """Standard normal noise (640, 640, 3), drawn once: drawing it afresh takes longer than all the rest."""
    return np.random.default_rng(0).standard_normal((640, 640, 3), np.float32)


def jitter(size: int, spread: Spread, rng: np.random.Generator) -> NDArray[np.float64]:
    """A random similarity about the centre of a picture of `size` pixels.

    Returns:
        (2, 3), from old to new pixel coordinates.
    """
    angle, zoom = rng.uniform(-1, 1) * spread.degrees, np.exp(rng.uniform(-1, 1) * spread.log_scale)
    matrix = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), angle, zoom)
    matrix[:, 2] += rng.uniform(-1, 1, 2) * spread.shift * size
    return matrix


def warp(image: Image, matrix: NDArray[np.float64], size: int, *, labels: bool = False) -> Image:
    """Move a picture (H, W[, 3]) into one of `size` pixels; label maps keep their values."""
    flags = cv2.INTER_NEAREST if labels else cv2.INTER_LINEAR
    return cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def warp_points(points: Points, matrix: NDArray[np.float64]) -> Points:
    """Move points (..., 2) along with their picture.

    Points count pixels from the picture's corner, so that the centre of the first pixel lies at (0.5, 0.5);
    the matrix, as OpenCV has it, from that centre.
    """
    return ((points - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5).astype(np.float32)
