"""numpy's own files, without the pickles that they may hold."""

from math import prod
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from seamline.checkpoints.limits import Budget
from seamline.checkpoints.tensors import NUMBERS, sizes

MAGIC = b"\x93NUMPY"


def read_npy(file: IO[bytes], size: int, budget: Budget) -> "np.ndarray[Any, Any]":
    """Read an array; ValueError if its bytes are not what its header declares, or are no numbers.

    Args:
        file: At its start.
        size: Bytes in it.
        budget: Pays for the array.
    """
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of numpy's format")
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, columns_first, dtype = header(file)
    if not NUMBERS.fullmatch(dtype.str):
        raise ValueError(f"an array of {dtype}, which are no plain numbers")
    declared = prod(sizes(shape)) * dtype.itemsize
    if declared != size - file.tell():
        raise ValueError(f"an array that declares {declared} bytes and has {size - file.tell()}")
    budget.spend(declared)
    values = np.frombuffer(file.read(declared), dtype).reshape(shape, order="F" if columns_first else "C")
    return values.astype(dtype.newbyteorder("="))
