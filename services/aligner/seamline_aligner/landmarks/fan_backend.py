"""s3fd and 2DFAN4 of a bundle: the face-alignment package's networks without the package."""

from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor

from seamline.bundles import Bundle
from seamline.geometry import crop, quads_from_axes
from seamline.networks.fan import INPUT_SIZE
from seamline.networks.s3fd import MEAN, MULTIPLE
from seamline_aligner.landmarks.backend import LIKELY, Box, Face, Pixels, Points, moved, overlap

SAME_FACE: Final = 0.3
"""Least overlap of two boxes of one face."""
SIDE: Final = 200 / 195
"""Side of the landmark crop over the sum of the box's sides."""
RAISE: Final = 0.12
"""How far the crop's centre lies above the box's, in the box's height."""
NUDGE: Final = 0.25
"""From a heatmap's highest cell towards its higher neighbour, in cells."""
MIRRORED: Final = [
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46),
    *(39, 38, 37, 36, 41, 40),
    *range(54, 47, -1),
    *range(59, 54, -1),
    *range(64, 59, -1),
    *(67, 66, 65),
]
"""Where each landmark is in a mirrored face."""


class FanBackend:
    """See `LandmarkBackend`."""

    def __init__(self, bundle: Bundle) -> None:
        """Reads the networks.

        Raises:
            InvalidInput, NotFound, DigestMismatch: see `Bundle.module`.
        """
        self._detector, self._regressor = bundle.frozen("s3fd"), bundle.frozen("fan4")

    def detect(self, frame: Pixels) -> list[Face]:
        anchors = self._detector.infer(_batch(_padded(frame)))[0]
        likely = anchors[anchors[:, 4] > LIKELY]
        kept: list[Face] = []
        for left, top, right, bottom, score in likely[likely[:, 4].argsort(descending=True)].tolist():
            # The network counts from the picture's corner, boxes here from the first pixel's centre.
            box = moved((left, top, right, bottom), 1, -0.5, -0.5)
            if all(overlap(box, other.box) <= SAME_FACE for other in kept):
                kept.append(Face(box=box, score=score))
        return kept

    def landmarks(self, frame: Pixels, box: Box) -> Points:
        width, height = box[2] - box[0], box[3] - box[1]
        center = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2 - RAISE * height])
        half = (width + height) * SIDE / 2
        quad = quads_from_axes(center, np.array([half, 0.0]), np.array([0.0, half]))
        image = _batch(crop(frame, quad, INPUT_SIZE))
        maps = self._regressor.infer(torch.cat([image, image.flip(3)])).cpu()
        return quad[0] + _peaks(maps[0] + maps[1, MIRRORED].flip(2)) * 2 * half


def _peaks(maps: Tensor) -> Points:
    """Heatmaps (68, s, s) to their peaks (68, 2), x and y in units of the crop's side."""
    side = maps.shape[-1]
    heat = maps.double().numpy()
    each, (rows, columns) = np.arange(len(heat)), np.divmod(maps.flatten(1).argmax(1).numpy(), side)
    inside = (rows > 0) & (rows < side - 1) & (columns > 0) & (columns < side - 1)
    y, x = rows.clip(1, side - 2), columns.clip(1, side - 2)
    slopes = [heat[each, y, x + 1] - heat[each, y, x - 1], heat[each, y + 1, x] - heat[each, y - 1, x]]
    nudges = NUDGE * np.sign(np.stack(slopes, axis=1)) * inside[:, None]
    return (np.stack([columns, rows], axis=1) + 0.5 + nudges) / side


def _padded(frame: Pixels) -> Pixels:
    """With a margin, at the right and below, of what is nothing to the detector: it loses no part of the frame."""
    height, width = frame.shape[:2]
    margins = (0, -height % MULTIPLE, 0, -width % MULTIPLE)
    return np.asarray(cv2.copyMakeBorder(frame, *margins, cv2.BORDER_CONSTANT, value=MEAN[::-1]), np.uint8)


def _batch(image: Pixels) -> Tensor:
    """(height, width, 3) uint8 to (1, 3, height, width) in [-1, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
