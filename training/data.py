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

    def on(self, device: torch.device) -> "Portraits | ResidentPortraits":
        """The same portraits for training there: on a GPU all of them are kept in its memory."""
        return self if device.type == "cpu" else ResidentPortraits(self, device)

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
        return Batch(
            images=_pictures(torch.from_numpy(self.rows("images", indices)), size),
            parsing=torch.from_numpy(self.rows("parsing", indices)),
            landmarks=torch.from_numpy(self.rows("landmarks", indices)),
            z=torch.from_numpy(self.rows("z", indices)),
        )


class ResidentPortraits:
    """Portraits in the memory of a GPU, 0.25 MB each, so that no step waits for the CPU.

    Args:
        portraits: All of them are copied.
        device: Where to.
    """

    def __init__(self, portraits: Portraits, device: torch.device) -> None:
        self.parameters = portraits.parameters

        def copied(name: Literal["images", "parsing", "landmarks", "z"]) -> Tensor:
            parts = np.array_split(np.arange(len(portraits)), max(1, len(portraits) // 1000))
            return torch.cat([torch.from_numpy(portraits.rows(name, part)).to(device) for part in parts])

        self._images, self._parsing = copied("images"), copied("parsing")
        self._landmarks, self._z = copied("landmarks"), copied("z")

    def __len__(self) -> int:
        return len(self._z)

    def batch(self, indices: np.ndarray, size: int) -> Batch:
        """Portraits by number, as `Portraits.batch` gives them."""
        rows = torch.from_numpy(indices).to(self._z.device, non_blocking=True)
        return Batch(
            images=_pictures(self._images[rows], size),
            parsing=self._parsing[rows],
            landmarks=self._landmarks[rows],
            z=self._z[rows],
        )


def _pictures(stored: Tensor, size: int) -> Tensor:
    """Stored pictures (B, H, H, 3) uint8 as (B, 3, size, size) in [-1, 1], channels last in memory."""
    images = stored.permute(0, 3, 1, 2).float() / 127.5 - 1
    if images.shape[-1] != size:
        images = F.avg_pool2d(images, images.shape[-1] // size)
    return images.contiguous(memory_format=torch.channels_last)
