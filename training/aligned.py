"""Augmented batches of aligned portraits, for the networks that see crops."""

from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch import Tensor

from training.augment import Spread, jitter, photometric, warp
from training.data import Portraits


@dataclass(frozen=True, kw_only=True)
class AlignedBatches:
    """Batches by step: `batches(step)` is the same on every call."""

    portraits: Portraits
    size: int
    """Side in pixels to which the portraits are reduced."""
    batch_size: int = 32
    seed: int = 0
    spread: Spread = field(default_factory=Spread)
    """How far they are moved about."""
    with_parsing: bool = False

    def __call__(self, step: int) -> dict[str, Tensor]:
        """images (B, 3, S, S) in [-1, 1], z (B, P), and parsing (B, S, S) int64 when asked for."""
        rng = np.random.default_rng((self.seed, step))
        indices = shuffled(len(self.portraits), step, self.batch_size, self.seed)
        images = [reduce(image, self.size) for image in self.portraits.rows("images", indices)]
        moves = [jitter(self.size, self.spread, rng) for _ in indices]
        seen = [
            photometric(warp(image, move, self.size), rng) for image, move in zip(images, moves, strict=True)
        ]
        batch = {
            "images": to_tensor(np.stack(seen)),
            "z": torch.from_numpy(self.portraits.rows("z", indices)),
        }
        if self.with_parsing:
            batch["parsing"] = self._parsing(indices, moves)
        return batch

    def _parsing(self, indices: np.ndarray, moves: list[np.ndarray]) -> Tensor:
        labels = self.portraits.rows("parsing", indices)
        small = [reduce(label, self.size, labels=True) for label in labels]
        moved = [warp(label, move, self.size, labels=True) for label, move in zip(small, moves, strict=True)]
        return torch.from_numpy(np.stack(moved)).long()


def shuffled(count: int, step: int, batch_size: int, seed: int) -> np.ndarray:
    """Indices (batch_size,) of a step: every item once per epoch, in an order of the epoch's own."""
    per_epoch = count // batch_size
    if not per_epoch:
        raise ValueError(f"{count} items are fewer than a batch of {batch_size}; render more")
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng((seed, 1, epoch)).permutation(count)
    return order[place * batch_size : (place + 1) * batch_size]


def reduce(image: np.ndarray, size: int, *, labels: bool = False) -> np.ndarray:
    """Shrink a picture (H, H[, 3]) to `size` pixels by averaging; label maps by picking."""
    if image.shape[0] == size:
        return image
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_NEAREST if labels else cv2.INTER_AREA)


def to_tensor(images: np.ndarray) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) in [-1, 1], channels last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
