"""A landmark backend that finds painted squares, and pictures with such faces."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from seamline_aligner.landmarks.backend import Box, Face, Pixels, Points

RED, DARK_RED = (220, 30, 30), (150, 20, 20)
"""Colours of a face, and of one that the backend is less certain of."""
SCENES = ((40, 60, 90), (90, 120, 60))
"""Background colours of two places."""
CENTRE, LEFT_EYE, RIGHT_EYE, MOUTH = (0.5, 0.6), (0.3, 0.4), (0.7, 0.4), ((0.35, 0.8), (0.65, 0.8))

FACE_SHAPE = np.array([CENTRE] * 36 + [LEFT_EYE] * 6 + [RIGHT_EYE] * 6 + [CENTRE] * 20)
"""The 68 landmarks in units of the square's side."""
FACE_SHAPE[[48, 54]] = MOUTH


class PaintedFaceBackend:
    """Finds red squares, at any scale, and notes the sizes (height, width) of the pictures it searched."""

    def __init__(self) -> None:
        self.searched: list[tuple[int, int]] = []

    def detect(self, frame: Pixels) -> list[Face]:
        self.searched.append(frame.shape[:2])
        red = (frame[..., 0] > 110) & (frame[..., 1] < 60) & (frame[..., 2] < 60)
        _, _, found, _ = cv2.connectedComponentsWithStats(red.astype(np.uint8))
        faces = []
        for left, top, width, height, area in found[1:].tolist():
            if area >= 36:
                middle = frame[top + height // 2, left + width // 2, 0]
                box = (left - 0.5, top - 0.5, left + width - 0.5, top + height - 0.5)
                faces.append(Face(box=box, score=0.9 if middle > 185 else 0.3))
        return faces

    def landmarks(self, frame: Pixels, box: Box) -> Points:
        corner, side = np.array(box[:2]), np.array(box[2:]) - box[:2]
        return corner + FACE_SHAPE * side


class BreaksOffBackend(PaintedFaceBackend):
    """Fails at its n-th set of landmarks, as a process that is killed."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self._left = n

    def landmarks(self, frame: Pixels, box: Box) -> Points:
        self._left -= 1
        if self._left <= 0:
            raise KeyboardInterrupt
        return super().landmarks(frame, box)


def picture(
    *squares: tuple[int, int, int],
    colour: tuple[int, int, int] = RED,
    scene: int = 0,
    size: tuple[int, int] = (96, 128),
) -> Pixels:
    """A picture (height, width, 3) with faces, each given by left, top and side."""
    frame = np.empty((*size, 3), np.uint8)
    frame[:] = SCENES[scene]
    for left, top, side in squares:
        frame[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = colour
    return frame


def film(*pictures: Sequence[Pixels]) -> NDArray[np.uint8]:
    """Scenes one after the other, (n, height, width, 3)."""
    return np.stack([frame for scene in pictures for frame in scene])
