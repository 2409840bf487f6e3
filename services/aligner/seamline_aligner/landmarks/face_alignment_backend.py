"""s3fd and 2DFAN4 of the face-alignment package (Bulat and Tzimiropoulos 2017)."""

from pathlib import Path

import numpy as np
import torch

from seamline.errors import Precondition
from seamline_aligner.landmarks.backend import LIKELY, Box, Face, Pixels, Points

WEIGHTS = ("s3fd-619a316812.pth", "2DFAN4-11f355bf06.pth.tar")
"""Names in torch hub's cache; they lie at https://www.adrianbulat.com/downloads/python-fan/."""


class FaceAlignmentBackend:
    """See `LandmarkBackend`."""

    def __init__(self, device: str) -> None:
        """Reads the networks from torch hub's cache; downloads nothing.

        Raises:
            Precondition: the package or its weights are not there.
        """
        try:
            from face_alignment import (  # pyright: ignore[reportMissingImports]
                FaceAlignment,
                LandmarksType,
            )
        except ImportError as error:
            raise Precondition(
                f"the landmark backend face-alignment is not installed ({error}): "
                "pip install scikit-image numba tqdm && pip install --no-deps face-alignment==1.5.0",
                field="options.landmarks",
            ) from error
        cache = Path(torch.hub.get_dir()) / "checkpoints"
        missing = [name for name in WEIGHTS if not (cache / name).is_file()]
        if missing:
            raise Precondition(
                f"the landmark backend face-alignment needs {' and '.join(missing)} in {cache}: put them "
                "there, or set TORCH_HOME to the directory above hub/ that has them",
                field="options.landmarks",
                directory=cache,
            )
        # Compiling needs a C++ compiler, and takes longer than aligning a video.
        self._networks = FaceAlignment(
            LandmarksType.TWO_D,
            device=device,
            face_detector="sfd",
            face_detector_kwargs={"filter_threshold": LIKELY},
            compile=False,
        )

    def detect(self, frame: Pixels) -> list[Face]:
        found = self._networks.face_detector.detect_from_image(np.ascontiguousarray(frame))
        return [
            Face(
                box=(float(left), float(top), float(right), float(bottom)),
                score=float(score),
            )
            for left, top, right, bottom, score in found
        ]

    def landmarks(self, frame: Pixels, box: Box) -> Points:
        points = self._networks.get_landmarks_from_image(np.ascontiguousarray(frame), detected_faces=[np.array(box)])
        return np.asarray(points[0], np.float64)
