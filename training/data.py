"""Rendered portraits on disk, read shard by shard through memory maps."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.renderer.parameters import standardise


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Portraits as tensors."""

    images: Tensor
    """(B, 3, size, size) float32 in [-1, 1]."""
    parsing: Tensor
    """(B, H, W) uint8 class labels at the rendered size."""
    landmarks: Tensor
    """(B, 68, 2) float32, pixels at the rendered size."""
    z: Tensor
    """(B, P) float32, standardised parameters."""


class Portraits:
    """Shards of `training.renderer.dataset`, as one sequence.

    Args:
        shards: Folders that hold images, parsing, landmarks and params (.npy).
    """

    def __init__(self, shards: list[Path]) -> None:
        self._shards_used = shards

        def load(name: str) -> list[np.ndarray]:
            return [np.load(shard / f"{name}.npy", mmap_mode="r") for shard in shards]

        self._images, self._parsing, self._landmarks = load("images"), load("parsing"), load("landmarks")
        self._z = [standardise(np.asarray(params)).astype(np.float32) for params in load("params")]
        self._starts = np.cumsum([0] + [len(images) for images in self._images])

    @staticmethod
    def _shards(root: Path) -> list[Path]:
        return sorted(path for path in root.glob("shard-*") if (path / "params.npy").exists())

    @classmethod
    def all(cls, *roots: Path) -> "Portraits":
        """Every shard of one or more sets of one picture size."""
        return cls([shard for root in roots for shard in cls._shards(root)])

    def __add__(self, other: "Portraits") -> "Portraits":
        """Both sets, one after the other."""
        return Portraits(self._shards_used + other._shards_used)

    @classmethod
    def split(cls, root: Path) -> "tuple[Portraits, Portraits]":
        """Shards to train on, and the last one, which is held out."""
        shards = cls._shards(root)
        if len(shards) < 2:
            raise FileNotFoundError(f"{root} holds {len(shards)} shards; render at least two with "
                                    "python -m training.renderer.dataset")  # fmt: skip
        return cls(shards[:-1]), cls(shards[-1:])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def parameters(self) -> int:
        """Length P of a standardised parameter vector."""
        return self._z[0].shape[1]

    def rows(self, name: Literal["images", "parsing", "landmarks", "z"], indices: np.ndarray) -> np.ndarray:
        """What is stored of the portraits `indices` (N,), one row each: images (N, H, W, 3) uint8, ..."""
        arrays = {
            "images": self._images,
            "parsing": self._parsing,
            "landmarks": self._landmarks,
            "z": self._z,
        }
        shards = np.searchsorted(self._starts, indices, side="right") - 1
        own = indices - self._starts[shards]
        return np.stack([arrays[name][shard][row] for shard, row in zip(shards, own, strict=True)])

    def batch(self, indices: np.ndarray, size: int) -> Batch:
        """Portraits by number, pictures averaged down to `size` pixels."""
        images = torch.from_numpy(self.rows("images", indices)).permute(0, 3, 1, 2).float() / 127.5 - 1
        if images.shape[-1] != size:
            images = F.avg_pool2d(images, images.shape[-1] // size)
        return Batch(
            images=images.contiguous(memory_format=torch.channels_last),
            parsing=torch.from_numpy(self.rows("parsing", indices)),
            landmarks=torch.from_numpy(self.rows("landmarks", indices)),
            z=torch.from_numpy(self.rows("z", indices)),
        )
