"""Identity over time: TL-ID and TG-ID of Stitch it in Time (Tzaban et al. 2022, section 5).

With S and E the matrices of cosine similarity between the identity embeddings of all source frames and of
all edited frames, R = E / S says how much of the source's own consistency the edit keeps. TL-ID is the mean
of R's first off-diagonal (neighbouring frames), TG-ID the mean of everything off the diagonal. 1 is ideal:
the edit is as consistent as the source; more is possible.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float64]
Embeddings = npt.NDArray[np.float32] | npt.NDArray[np.float64]

_BLOCK = 256
_MIN_SIMILARITY = 1e-6


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """How consistent the edited identity of one track is, relative to the source."""

    local: Array
    """(n,) per frame: mean of R with the frame before and the frame after."""
    overall: Array
    """(n,) per frame: mean of R with all other frames."""
    neighbours: Array
    """(n-1,) R's first off-diagonal."""

    @property
    def tl_id(self) -> float:
        """Temporally local identity consistency; 1 for a single frame."""
        return float(self.neighbours.mean()) if self.neighbours.size else 1.0

    @property
    def tg_id(self) -> float:
        """Temporally global identity consistency; 1 for a single frame."""
        return float(self.overall.mean()) if self.overall.size else 1.0


def similarity(source: Embeddings, edited: Embeddings) -> Array:
    """Cosine similarity of each frame's source and edited embedding: (n, d) and (n, d) to (n,)."""
    return (_unit(source) * _unit(edited)).sum(axis=1)


def consistency(source: Embeddings, edited: Embeddings) -> Consistency:
    """Compares the edited frames with each other as the source frames compare with each other.

    The n x n matrices are made block by block, so memory grows with n only.

    Args:
        source: (n, d) embeddings of a track's source frames, in order.
        edited: (n, d) of the same frames, edited.
    """
    source, edited = _unit(source), _unit(edited)
    n = len(source)
    overall = np.ones(n)
    neighbours = np.ones(max(n - 1, 0))
    for start in range(0, n, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, n))
        ratio = _ratio(edited[rows] @ edited.T, source[rows] @ source.T)
        if n > 1:
            overall[rows] = (ratio.sum(axis=1) - ratio[rows - start, rows]) / (n - 1)
        inner = rows[rows < n - 1]
        neighbours[inner] = ratio[inner - start, inner + 1]
    return Consistency(local=_local(neighbours, n), overall=overall, neighbours=neighbours)


def _local(neighbours: Array, n: int) -> Array:
    """Each frame's mean over the one or two pairs that it is in."""
    if n < 2:
        return np.ones(n)
    total, count = np.zeros(n), np.zeros(n)
    for offset in (0, 1):
        total[offset : offset + n - 1] += neighbours
        count[offset : offset + n - 1] += 1
    return total / count


def _ratio(edited: Array, source: Array) -> Array:
    # Faces of one track are alike, so S is near 1; only a degenerate embedding comes near 0.
    safe = np.where(np.abs(source) < _MIN_SIMILARITY, _MIN_SIMILARITY, source)
    return edited / safe


def _unit(embeddings: Embeddings) -> Array:
    embeddings = np.asarray(embeddings, np.float64)
    return embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)


def as_network_input(crops: npt.NDArray[np.uint8]) -> Tensor:
    """uint8 (B, H, W, 3) to float (B, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1.0
