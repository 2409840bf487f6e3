"""Follows the face to edit through a shot, and bridges the frames in which it was not found."""

import io
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seamline.geometry import smooth_quads
from seamline_aligner.landmarks.backend import area, grown, overlap
from seamline_aligner.observations import Observations

SAME_FACE = 0.3
"""Least overlap of two boxes of one face, each grown by `GROWTH` a missing frame, at most to `MOST_GROWN`."""
GROWTH = 0.1
MOST_GROWN = 2.0
LEAST_SEEN = 3
"""Frames in which a face is seen at least, or it is taken for an error of the detector."""


@dataclass(frozen=True, kw_only=True)
class Track:
    """One face in the frames of one shot in which it is edited."""

    frames: NDArray[np.int32]
    """(n,) ascending frame numbers."""
    landmarks: NDArray[np.float32]
    """(n, 68, 2) pixels, as found or interpolated."""
    detected: NDArray[np.bool_]
    """(n,) found, rather than interpolated."""
    quads: NDArray[np.float64]
    """(n, 4, 2) pixels, low-passed over each run of consecutive frames."""

    def to_bytes(self) -> bytes:
        """An npz with the arrays by name."""
        file = io.BytesIO()
        np.savez_compressed(
            file, frames=self.frames, quads=self.quads, landmarks=self.landmarks, detected=self.detected
        )
        return file.getvalue()


def track_shot(
    seen: Observations, start: int, end: int, *, center_sigma: float, axes_sigma: float, max_gap_frames: int
) -> Track | None:
    """The most prominent face of the shot [start, end): the largest sum of its box's area over its frames.

    Returns:
        None if no face is seen in at least `LEAST_SEEN` frames, or in all of a shorter shot.
    """
    sizes = np.array([area(box) for box in seen.boxes.tolist()])
    chains = [chain for chain in _chains(seen, start, end) if len(chain) >= min(LEAST_SEEN, end - start)]
    if not chains:
        return None
    rows = np.array(max(chains, key=lambda chain: sizes[chain].sum()))
    frames, landmarks, detected = bridge(seen.frames[rows], seen.landmarks[rows], max_gap_frames)
    runs = np.split(np.arange(len(frames)), np.flatnonzero(np.diff(frames) > 1) + 1)
    quads = [smooth_quads(landmarks[run], center_sigma, axes_sigma) for run in runs]
    return Track(frames=frames, landmarks=landmarks, detected=detected, quads=np.concatenate(quads).astype(np.float64))


def bridge(
    frames: NDArray[np.int32], landmarks: NDArray[np.float32], max_gap_frames: int
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.bool_]]:
    """Interpolates landmarks linearly over gaps of at most `max_gap_frames`.

    Args:
        frames: (n,) ascending frame numbers in which the face was found.
        landmarks: (n, 68, 2) pixels.
        max_gap_frames: longest gap that is filled.

    Returns:
        Frames (m,), landmarks (m, 68, 2), and which of them were found (m,), with longer gaps left out.
    """
    every = np.arange(frames[0], frames[-1] + 1, dtype=np.int32)
    after = np.searchsorted(frames, every)
    found = frames[after] == every
    before = np.where(found, after, after - 1)
    width = frames[after] - frames[before]
    keep = width - 1 <= max_gap_frames
    share = ((every - frames[before]) / np.maximum(width, 1)).astype(np.float32)[:, None, None]
    between = landmarks[before] * (1 - share) + landmarks[after] * share
    return every[keep], between[keep].astype(np.float32), found[keep]


def _chains(seen: Observations, start: int, end: int) -> list[list[int]]:
    """Rows of `seen` in [start, end), joined into one list per face by the overlap of their boxes."""
    frames, boxes = seen.frames.tolist(), seen.boxes.tolist()

    def likeness(last: int, row: int) -> float:
        factor = min(1 + GROWTH * (frames[row] - frames[last] - 1), MOST_GROWN)
        return overlap(grown(boxes[last], factor), grown(boxes[row], factor))

    chains: list[list[int]] = []
    for frame in range(start, end):
        rows = range(bisect_left(frames, frame), bisect_left(frames, frame + 1))
        pairs = [(likeness(chain[-1], row), chain, row) for chain in chains for row in rows]
        free = set(rows)
        continued: set[int] = set()
        for overlapping, chain, row in sorted(pairs, key=lambda pair: -pair[0]):
            if overlapping >= SAME_FACE and row in free and id(chain) not in continued:
                chain.append(row)
                free.remove(row)
                continued.add(id(chain))
        chains += [[row] for row in sorted(free)]
    return chains
