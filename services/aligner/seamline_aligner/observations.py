"""What was seen in a run of frames: the faces, and the frames' colours; kept as one small part."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from seamline_aligner.follower import Observation


@dataclass(frozen=True, kw_only=True)
class Observations:
    """Faces of consecutive frames, one row each, in the order of the frames."""

    frames: NDArray[np.int32]
    """(m,) the frame that each face was seen in."""
    boxes: NDArray[np.float64]
    """(m, 4) left, top, right, bottom in pixels."""
    scores: NDArray[np.float64]
    """(m,) certainty in [0, 1]."""
    landmarks: NDArray[np.float32]
    """(m, 68, 2) pixels."""
    signatures: NDArray[np.float32]
    """(n, SIGNATURE) of every frame, faces or not; see `seamline_aligner.shots`."""

    @classmethod
    def of(cls, start: int, seen: Sequence[Sequence[Observation]], signatures: Sequence[NDArray[np.float32]]) -> Self:
        """What was seen in each frame from `start` on."""
        rows = [(number, observation) for number, faces in enumerate(seen, start) for observation in faces]
        return cls(
            frames=np.array([number for number, _ in rows], np.int32),
            boxes=np.array([seen.face.box for _, seen in rows], np.float64).reshape(-1, 4),
            scores=np.array([seen.face.score for _, seen in rows], np.float64),
            landmarks=np.array([seen.landmarks for _, seen in rows], np.float32).reshape(-1, 68, 2),
            signatures=np.stack(signatures),
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Those of consecutive runs as one."""
        return cls(
            **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)}
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Reads what `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return cls(**arrays)

    def to_bytes(self) -> bytes:
        """A compressed npz; the same observations give the same bytes."""
        file = io.BytesIO()
        np.savez_compressed(file, **{field.name: getattr(self, field.name) for field in fields(self)})
        return file.getvalue()
