"""What a stopped inversion takes up again."""

import time
from collections.abc import Mapping

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from seamline.storage.store import Store

CHECKPOINT_SECONDS = 10.0
"""Least time between two checkpoints; what a killed inverter loses at most, and the batch or group in hand."""


class Checkpoint:
    """Named tensors under one key of a store, written over and over."""

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key = store, key
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last was long enough ago."""
        return time.monotonic() - self._saved >= CHECKPOINT_SECONDS

    def save(self, tensors: Mapping[str, Tensor]) -> None:
        """Writes over what was there."""
        self._store.put(
            self._key, safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
        )
        self._saved = time.monotonic()

    def load(self) -> dict[str, Tensor]:
        """What was saved last; nothing if that is not there, or damaged."""
        if not self._store.exists(self._key):
            return {}
        try:
            return safetensors.torch.load(self._store.get(self._key))
        except SafetensorError:
            return {}

    def clear(self) -> None:
        """Lets go of what was saved, if anything was."""
        if self._store.exists(self._key):
            self._store.put(self._key, b"")
