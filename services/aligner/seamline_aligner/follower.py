"""Finds the faces of frame after frame: everywhere now and then, in between where they were just before."""

from dataclasses import dataclass

import cv2
import numpy as np

from seamline_aligner.landmarks.backend import (
    CERTAIN,
    Box,
    Face,
    LandmarkBackend,
    Pixels,
    Points,
    area,
    grown,
    moved,
    overlap,
)

EVERYWHERE_EVERY = 8
"""Frames from one search of the whole picture to the next; a face lost in between is searched at once."""
MOST_FACES = 4
"""Faces of a frame that are kept, the largest: only one of them is going to be edited."""
WINDOW = 2.2
"""Side of the window in which a known face is searched, in sides of its box."""
FACE_PIXELS = 112
"""Side that a known face has in its window, which is scaled for that: quick, and the same for every size."""
SAME_FACE = 0.3
"""Least overlap of the boxes of one face in consecutive frames."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One face in one frame."""

    face: Face
    landmarks: Points
    """(68, 2) pixels."""


class FaceFollower:
    """Searches the frames of one video in order. What it finds depends on the frames since `restart` only."""

    def __init__(self, backend: LandmarkBackend) -> None:
        self._backend = backend
        self.restart()

    def restart(self) -> None:
        """Forgets where the faces were: the next frame belongs to another scene, or begins a part."""
        self._known: list[Face] = []
        self._since_search = 0

    def observe(self, frame: Pixels) -> list[Observation]:
        """The faces of the next frame (height, width, 3), the largest first."""
        faces = self._near_known(frame) if self._known and self._since_search < EVERYWHERE_EVERY else None
        self._since_search += 1
        if faces is None:
            faces = self._everywhere(frame)
            self._since_search = 1
        self._known = sorted(faces, key=lambda face: -area(face.box))[:MOST_FACES]
        return [Observation(face=face, landmarks=self._backend.landmarks(frame, face.box)) for face in self._known]

    def _near_known(self, frame: Pixels) -> list[Face] | None:
        """Every known face, found again; None if one of them is not."""
        found: list[Face] = []
        for known in self._known:
            face = self._again(frame, known)
            if face is None:
                return None
            if _is_new(face, found):
                found.append(face)
        return found

    def _everywhere(self, frame: Pixels) -> list[Face]:
        """All faces, and those known that only a closer look finds."""
        seen = self._backend.detect(frame)
        found = [face for face in seen if face.score >= CERTAIN or not _is_new(face, self._known)]
        for known in self._known:
            if _is_new(known, found) and (face := self._again(frame, known)) and _is_new(face, found):
                found.append(face)
        return found

    def _again(self, frame: Pixels, known: Face) -> Face | None:
        """The face in the window around where it was."""
        window, left, top, scale = _window(frame, known.box)
        if not window.size:
            return None
        inside = [
            Face(box=moved(face.box, 1 / scale, left, top), score=face.score) for face in self._backend.detect(window)
        ]
        best = max(inside, key=lambda face: overlap(face.box, known.box), default=None)
        return best if best and overlap(best.box, known.box) >= SAME_FACE else None


def _is_new(face: Face, found: list[Face]) -> bool:
    return all(overlap(face.box, other.box) < SAME_FACE for other in found)


def _window(frame: Pixels, box: Box) -> tuple[Pixels, int, int, float]:
    """The scaled surroundings of a face, where they lie in the frame, and their scale."""
    height, width = frame.shape[:2]
    sides = np.rint(grown(box, WINDOW)).astype(int)
    left, right = np.clip(sides[[0, 2]], 0, width)
    top, bottom = np.clip(sides[[1, 3]], 0, height)
    scale = FACE_PIXELS / max(1.0, box[2] - box[0], box[3] - box[1])
    window = frame[top:bottom, left:right]
    if window.size:
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        window = np.asarray(cv2.resize(window, None, fx=scale, fy=scale, interpolation=how), np.uint8)
    return window, int(left), int(top), scale
