"""What finds faces and their 68 landmarks in one picture."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Points = NDArray[np.floating]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""

CERTAIN = 0.5
"""A face of at least this score is taken wherever it is."""
LIKELY = 0.2
"""A face of at least this score is taken where one was just before."""


@dataclass(frozen=True, kw_only=True)
class Face:
    """A face found in one picture."""

    box: Box
    score: float
    """Certainty in [0, 1]; see `CERTAIN` and `LIKELY`."""


class LandmarkBackend(Protocol):
    """A face detector and the landmark regressor that belongs to it."""

    def detect(self, frame: Pixels) -> list[Face]:
        """Faces of score `LIKELY` or more in a picture (height, width, 3) uint8 RGB, each once."""
        ...

    def landmarks(self, frame: Pixels, box: Box) -> Points:
        """The (68, 2) landmarks, x and y in pixels (iBUG 300-W order), of the face in a box of `detect`'s."""
        ...


def overlap(one: Box, other: Box) -> float:
    """Intersection over union, in [0, 1]."""
    shared = max(0.0, min(one[2], other[2]) - max(one[0], other[0])) * max(
        0.0, min(one[3], other[3]) - max(one[1], other[1])
    )
    total = area(one) + area(other) - shared
    return shared / total if total > 0 else 0.0


def area(box: Box) -> float:
    """Square pixels."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def grown(box: Box, factor: float) -> Box:
    """The box, each side times `factor`, around the same centre."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    width, height = (box[2] - box[0]) / 2 * factor, (box[3] - box[1]) / 2 * factor
    return x - width, y - height, x + width, y + height


def moved(box: Box, scale: float, left: float, top: float) -> Box:
    """The box in a picture magnified by `scale`, then shifted by `left` and `top`."""
    return box[0] * scale + left, box[1] * scale + top, box[2] * scale + left, box[3] * scale + top
