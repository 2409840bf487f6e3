"""Where one shot ends and the next begins.

A cut shows as a jump of the colour histogram that stays: the frames just after it resemble each other, and
not those just before. A flash or a passing shadow jumps as well but does not stay. A slow dissolve is not
found; the face tracks on its two sides end by themselves.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from seamline_aligner.landmarks.backend import Pixels

BINS = (8, 4, 8)
"""Of hue, saturation and value."""
SIGNATURE = BINS[0] * BINS[1] * BINS[2]
JUMP = 0.25
"""Share of the pixels that change their colour over a cut."""
STAYS = 5
"""Frames on each side whose median is compared."""
THUMBNAIL = (160, 90)
"""Pixels of the reduced frame that is counted: noise averages out, and large frames cost no more."""


def signature(frame: Pixels) -> NDArray[np.float32]:
    """Joint colour histogram (SIGNATURE,) of a frame, sum 1."""
    small = cv2.resize(frame, THUMBNAIL, interpolation=cv2.INTER_AREA)
    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, list(BINS), [0, 180, 0, 256, 0, 256])
    return (counts.ravel() / counts.sum()).astype(np.float32)


def jumps(before: NDArray[np.float32], after: NDArray[np.float32]) -> bool:
    """Whether two signatures differ as those on both sides of a cut do."""
    return bool(np.abs(before - after).sum() / 2 > JUMP)


def shots(signatures: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Shots [start, end) that cover all frames, from the frames' signatures (n, SIGNATURE)."""
    cuts = [
        frame
        for frame in range(1, len(signatures))
        if jumps(signatures[frame - 1], signatures[frame])
        and jumps(
            np.median(signatures[max(0, frame - STAYS) : frame], axis=0),
            np.median(signatures[frame : frame + STAYS], axis=0),
        )
    ]
    return list(zip([0, *cuts], [*cuts, len(signatures)], strict=True))
