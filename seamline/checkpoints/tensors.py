"""Tensors and arrays out of a pickle's parts, each checked against the bytes that it lies in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from seamline.checkpoints.limits import MAX_BYTES

STORAGES: Final = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}
"""Classes of torch's storages, on every device."""
NUMBERS: Final = re.compile(r"[<>|=]?[biuf][1248]")
"""numpy types that are plain numbers."""
MAX_DIMENSIONS: Final = 16


@dataclass(eq=False)
class Storage:
    """A run of numbers that tensors look into."""

    data: Tensor
    """One-dimensional."""

    def expected(self, dtype: torch.dtype, count: int, key: str) -> "Storage":
        """Itself; ValueError if it is not of the type and length with which it is referred to."""
        if self.data.dtype != dtype or self.data.numel() != count:
            raise ValueError(f"storage {key!r} referred to in two ways")
        return self


@dataclass(eq=False)
class NumpyType:
    """A `numpy.dtype` in the making: the byte order comes after the rest."""

    code: str

    def order(self, state: Any) -> None:
        """Set the byte order; ValueError for what is not the state of plain numbers."""
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
            raise ValueError("a numpy type with a state of its own")
        if any(field is not None for field in state[2:5]):
            raise ValueError("a structured numpy type")
        self.code = state[1] + self.code.lstrip("<>|=")

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The type itself."""
        return np.dtype(self.code)


def numpy_type(code: Any) -> NumpyType:
    """A type of plain numbers; ValueError for any other, objects above all."""
    code = code.decode("ascii") if isinstance(code, bytes) else code
    if not isinstance(code, str) or not NUMBERS.fullmatch(code):
        raise ValueError(f"numpy type {code!r}, which is no plain number")
    return NumpyType(code)


def sizes(value: Any) -> tuple[int, ...]:
    """A shape or strides; ValueError if it is none."""
    if isinstance(value, int):
        value = (value,)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) > MAX_DIMENSIONS:
        raise ValueError("a shape that is none")
    if any(type(size) is not int or not 0 <= size < 1 << 62 for size in value):
        raise ValueError("a shape with a size that is none")
    return tuple(value)


def view(storage: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    """A tensor that looks into a storage; ValueError if it would look beyond it."""
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without a storage")
    size, stride = sizes(size), sizes(stride)
    if type(offset) is not int or offset < 0 or len(size) != len(stride):
        raise ValueError("a tensor whose offset or strides are none")
    if prod(size) > MAX_BYTES:  # torch counts elements in 64 bits, and would start again from 0
        raise ValueError(f"a tensor of size {size}")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    held = storage.data.numel()
    if prod(size) and last >= held:
        raise ValueError(f"a tensor of size {size} and strides {stride} that reaches beyond its storage of {held}")
    return storage.data.as_strided(size, stride, offset if prod(size) else 0)


def array(shape: Any, kind: Any, content: Any, *, columns_first: bool = False) -> "np.ndarray[Any, Any]":
    """A numpy array of its own memory; ValueError if shape, type and bytes do not fit together."""
    if not isinstance(kind, NumpyType):
        raise ValueError("an array without a type")
    content = content.encode("latin-1") if isinstance(content, str) else content
    if not isinstance(content, bytes | bytearray):
        raise ValueError("an array without bytes")
    shape, dtype = sizes(shape), kind.dtype
    if prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"an array of shape {shape} and type {dtype} in {len(content)} bytes")
    values = np.frombuffer(content, dtype).reshape(shape, order="F" if columns_first else "C")
    return values.astype(dtype.newbyteorder("="))
