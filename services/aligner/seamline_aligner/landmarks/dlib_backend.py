"""dlib's HOG detector and 68 landmarks (Kazemi and Sullivan 2014), with which Stitch it in Time aligns."""

import math
import warnings

import cv2
import numpy as np

from seamline.errors import Precondition
from seamline_aligner.landmarks.backend import LIKELY, Box, Face, Pixels, Points, moved

LONGEST_SIDE = 1920
"""Larger pictures are reduced to it for detection: dlib finds faces from 80 pixels up, and takes its time."""
STEEPNESS = 5.0
"""Turns dlib's margin, which is 0 at its own threshold, into a score: 1 / (1 + exp(-5 margin))."""
BOX_SIDE = 1.11
"""Mean side of dlib's boxes over the longer side of the landmarks' bounding box."""
BOX_SHIFT = (-0.041, -0.020)
"""Mean way from the landmarks' mean to the box's centre, over the same."""
LOOKS = ((-0.025, 0.0, 1.0), (0.025, 0.0, 1.0), (0.0, 0.025, 1.04), (0.0, -0.025, 0.96))
"""Shift x, shift y and scale of the boxes over which landmarks are averaged, in box sides."""


class DlibBackend:
    """See `LandmarkBackend`."""

    def __init__(self) -> None:
        """Reads the models.

        Raises:
            Precondition: the packages are not installed.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # face_recognition_models still asks for pkg_resources
                import dlib
                import face_recognition_models as models
        except ImportError as error:
            raise Precondition(
                f"the landmark backend dlib is not installed ({error}): pip install seamline[dlib]",
                field="options.landmarks",
            ) from error
        self._rectangle = dlib.rectangle  # pyright: ignore[reportAttributeAccessIssue]
        self._detector = dlib.get_frontal_face_detector()  # pyright: ignore[reportAttributeAccessIssue]
        self._predictor = dlib.shape_predictor(  # pyright: ignore[reportAttributeAccessIssue]
            models.pose_predictor_model_location()
        )

    def detect(self, frame: Pixels) -> list[Face]:
        scale = max(1.0, max(frame.shape[:2]) / LONGEST_SIDE)
        if scale > 1:
            size = (round(frame.shape[1] / scale), round(frame.shape[0] / scale))
            frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
        least = math.log(LIKELY / (1 - LIKELY)) / STEEPNESS
        boxes, margins, _ = self._detector.run(np.ascontiguousarray(frame), 0, least)
        return [
            Face(
                box=moved((box.left(), box.top(), box.right(), box.bottom()), scale, 0, 0),
                score=1 / (1 + math.exp(-STEEPNESS * margin)),
            )
            for box, margin in zip(boxes, margins, strict=True)
        ]

    def landmarks(self, frame: Pixels, box: Box) -> Points:
        frame = np.ascontiguousarray(frame)
        first = self._predict(frame, box)
        # dlib's boxes snap to a coarse grid, and its landmarks depend on them. Boxes that follow from the
        # landmarks do not snap, and the mean over several evens out what jitter is left.
        low, high = first.min(0), first.max(0)
        side = (high - low).max() * BOX_SIDE
        center = first.mean(0) + np.array(BOX_SHIFT) * (high - low).max()
        shifts = [(center + np.array((x, y)) * side, side * scale / 2) for x, y, scale in LOOKS]
        return np.mean([self._predict(frame, (*(at - half), *(at + half))) for at, half in shifts], axis=0)

    def _predict(self, frame: Pixels, box: Box) -> Points:
        shape = self._predictor(frame, self._rectangle(*(round(float(side)) for side in box)))
        return np.array([(point.x, point.y) for point in shape.parts()], np.float64)
