"""Cameras: similarities from the plane through the head's origin to pixels.

A head is seen in perspective from `DISTANCE` head units; x' = x D/(D-z), y' = -y D/(D-z) (y down) is the
plane. Pixel coordinates are continuous: the centre of pixel (i, j) lies at (i + 0.5, j + 0.5), as in PIL's
transforms.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DISTANCE: Final = 9.0


def to_plane(points: Floats) -> Floats:
    """Project posed points (..., 3) to the plane (..., 2)."""
    scale = DISTANCE / (DISTANCE - points[..., 2:3])
    return points[..., :2] * np.array([1.0, -1.0]) * scale


def aligned_axes(landmarks: Floats) -> tuple[Floats, Floats, Floats]:
    """Return centre and half axes x, y (2,) of the FFHQ crop (Karras et al. 2019) of landmarks (68, 2)."""
    left, right = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
    eyes, across = (left + right) * 0.5, right - left
    down = (landmarks[48] + landmarks[54]) * 0.5 - eyes
    x = across - down[::-1] * np.array([-1.0, 1.0])
    x *= max(np.hypot(*across) * 2.0, np.hypot(*down) * 1.8) / np.hypot(*x)
    return eyes + down * 0.1, x, x[::-1] * np.array([-1.0, 1.0])


class Camera(Protocol):
    """What a rendering needs of a camera."""

    def frame(self, size: int) -> tuple[int, int]:
        """Return width and height in pixels."""
        ...

    def matrix(self, landmarks: Floats, size: int) -> Floats:
        """Return the similarity (2, 3) from the plane, where the face has `landmarks`, to pixels."""
        ...


@dataclass(frozen=True, kw_only=True)
class AlignedCamera:
    """Looks through the FFHQ-aligned crop of the face's exact landmarks."""

    margin: float = 0.0
    """Share by which the crop is larger than FFHQ's on each side."""

    def frame(self, size: int) -> tuple[int, int]:
        return size, size

    def matrix(self, landmarks: Floats, size: int) -> Floats:
        c, x, y = aligned_axes(landmarks)
        axes = np.stack([x, y], axis=1) * (2.0 * (1.0 + self.margin) / size)
        linear = np.linalg.inv(axes)
        return np.concatenate([linear, (size / 2.0 - linear @ c)[:, None]], axis=1)


@dataclass(frozen=True, kw_only=True)
class FreeCamera:
    """Puts the head anywhere in a frame."""

    width: int = 640
    height: int = 480
    x: float = 320.0
    """Pixel column of the head's origin (between the eyes)."""
    y: float = 220.0
    """Pixel row of the head's origin."""
    scale: float = 120.0
    """Pixels per head unit; a head is about 2.3 units high."""
    roll: float = 0.0
    """Degrees by which the picture of the head is turned clockwise."""

    def frame(self, size: int) -> tuple[int, int]:
        return self.width, self.height

    def matrix(self, landmarks: Floats, size: int) -> Floats:
        c, s = np.cos(np.radians(self.roll)) * self.scale, np.sin(np.radians(self.roll)) * self.scale
        return np.array([[c, -s, self.x], [s, c, self.y]])
