"""Bare pickles, and the files that torch wrote before 1.6: pickles in a row, then the storages' bytes."""

import io
from functools import partial
from typing import IO, Any, Final

import torch

from seamline.checkpoints.limits import Budget, refusal
from seamline.checkpoints.tensors import Storage
from seamline.checkpoints.unpickling import Unpickler

MAGIC: Final = 0x1950A86A20F9469CFC6C
PROTOCOL: Final = 1001
COUNT_BYTES: Final = 8
"""In front of every storage stands its number of elements."""


def read_pickles(file: IO[bytes], size: int, budget: Budget) -> Any:
    """Read a file that starts with a pickle; see `seamline.checkpoints.reading.read_checkpoint`.

    Args:
        file: At its start.
        size: Bytes in it.
        budget: Pays for what it holds.
    """
    nested = partial(_read_nested, budget=budget)
    first = Unpickler(file, budget, None, nested).load()
    if not isinstance(first, int) or first != MAGIC:
        return first
    protocol, system = (Unpickler(file, budget).load() for _ in range(2))
    if protocol != PROTOCOL or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError(f"torch's protocol {protocol} on {system}")
    storages = _Storages(size, budget)
    value = Unpickler(file, budget, storages.expect).load()
    storages.fill(file, Unpickler(file, budget).load())
    return value


class _Storages:
    """The storages of torch's old format: tensors refer to them before their bytes come."""

    def __init__(self, size: int, budget: Budget) -> None:
        self._size, self._budget = size, budget
        self._held: dict[str, Storage] = {}

    def expect(self, dtype: torch.dtype, key: str, count: int) -> Storage:
        """Memory for a storage; see `seamline.checkpoints.unpickling.LoadStorage`."""
        if key not in self._held:
            length = count * dtype.itemsize
            if length > self._size:
                raise ValueError(f"a storage of {length} bytes in a file of {self._size}")
            self._budget.spend(length)
            self._held[key] = Storage(torch.empty(count, dtype=dtype))
        return self._held[key].expected(dtype, count, key)

    def fill(self, file: IO[bytes], keys: Any) -> None:
        """Read the storages' bytes in the order of `keys`."""
        if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(self._held):
            raise ValueError("other storages than the tensors need")
        for key in keys:
            _fill(file, self._held[key].data, key)


def _fill(file: IO[bytes], into: torch.Tensor, key: str) -> None:
    count = int.from_bytes(file.read(COUNT_BYTES), "little")
    content = file.read(into.numel() * into.element_size())
    if count != into.numel() or len(content) != into.numel() * into.element_size():
        raise ValueError(f"the file ends within storage {key!r}, or it has another size than declared")
    if content:
        into.copy_(torch.frombuffer(bytearray(content), dtype=into.dtype))


def _read_nested(content: bytes | bytearray, budget: Budget) -> Storage:
    """Read a storage that was pickled by itself, as a file within the file."""
    if budget.nested == 0:
        raise refusal(budget.path, "has files in one another without end, like a bomb")
    budget.nested -= 1
    found = read_pickles(io.BytesIO(content), len(content), budget)
    budget.nested += 1
    if not isinstance(found, Storage):
        raise ValueError(f"a {type(found).__name__} where a storage belongs")
    return found
