"""The detector and landmark networks of the bundle."""

from typing import cast

import cv2
import numpy as np
import torch
from torch import Tensor

from seamline.bundles import Bundle
from seamline.geometry import crop, face_axes, quads_from_axes
from seamline.networks.detector import MULTIPLE, decode
from seamline_aligner.landmarks.backend import LIKELY, Box, Face, Pixels, Points, moved, overlap

SIZES = (1.0, 0.5)
"""A picture is searched at the detector's input size, then for faces that nearly fill it at half of that."""
SAME_FACE = 0.4
"""Least overlap of the boxes of a face that is found in both."""
MARGIN = 1.5
"""Side of the landmark crop over the longer side of the face's box, as the network was trained."""


class BundleBackend:
    """See `LandmarkBackend`. A face's box is the bounding box of its landmarks."""

    def __init__(self, bundle: Bundle) -> None:
        """Reads the networks.

        Raises:
            InvalidInput, NotFound, DigestMismatch: see `Bundle.module`.
        """
        self._detector, self._regressor = bundle.frozen("detector"), bundle.frozen("landmarks")
        self._detector_side = bundle.config("detector").input_size
        self._crop_side = bundle.config("landmarks").input_size

    def detect(self, frame: Pixels) -> list[Face]:
        found = [face for size in SIZES for face in self._detect(frame, self._detector_side * size)]
        kept: list[Face] = []
        for face in sorted(found, key=lambda face: -face.score):
            if all(overlap(face.box, other.box) < SAME_FACE for other in kept):
                kept.append(face)
        return kept

    def landmarks(self, frame: Pixels, box: Box) -> Points:
        half = max(box[2] - box[0], box[3] - box[1]) / 2
        upright = np.array([half, 0.0])
        points = self._regress(frame, np.array([box[0] + box[2], box[1] + box[3]]) / 2, upright)
        # Once more around what was found, with level eyes: the box's own error and the head's roll are gone.
        _, axis, _ = face_axes(points)
        low, high = points.min(0), points.max(0)
        level = axis / np.hypot(*axis) * (high - low).max() / 2
        return self._regress(frame, (low + high) / 2, level)

    def _detect(self, frame: Pixels, side: float) -> list[Face]:
        scale = side / max(frame.shape[:2])
        size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(frame, size, interpolation=how), np.uint8)
        padding = ((0, -size[1] % MULTIPLE), (0, -size[0] % MULTIPLE), (0, 0))
        detections = decode(self._detector.infer(_batch(np.pad(image, padding))), threshold=LIKELY)[0]
        # The network counts from the picture's corner, boxes here from the first pixel's centre.
        return [
            Face(box=moved(cast(Box, tuple(box)), 1 / scale, -0.5, -0.5), score=score)
            for box, score in zip(detections.boxes.tolist(), detections.scores.tolist(), strict=True)
        ]

    def _regress(self, frame: Pixels, center: Points, half_axis: Points) -> Points:
        """Landmarks in the square of which the face's half box is `half_axis`, pointing to its right."""
        x = np.asarray(half_axis) * MARGIN
        quad = quads_from_axes(np.asarray(center), x, np.array([-x[1], x[0]]))
        image = crop(frame, quad, self._crop_side)
        shares = self._regressor.infer(_batch(image))[0].double().cpu().numpy()
        return quad[0] + shares @ np.stack([quad[3] - quad[0], quad[1] - quad[0]])


def _batch(image: Pixels) -> Tensor:
    """(height, width, 3) uint8 to (1, 3, height, width) in [-1, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
