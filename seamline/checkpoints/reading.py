"""Reads checkpoint files of every kind without running anything in them."""

from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from seamline.checkpoints.archive import read_archive
from seamline.checkpoints.limits import Budget, refusal
from seamline.checkpoints.npy import MAGIC as NPY
from seamline.checkpoints.npy import read_npy
from seamline.checkpoints.pickles import read_pickles
from seamline.errors import InvalidInput, NotFound

ZIP = b"PK\x03\x04"


def read_checkpoint(path: Path | str) -> Any:
    """Read a checkpoint.

    It may be one of torch's (a zip file, a TorchScript archive, or the format before 1.6), a pickle with tensors or
    arrays, such as those of stylegan2-ada, a .npy or .npz, or a safetensors file.

    Returns:
        dict, OrderedDict, list, tuple, set, int, float, bool, str, bytes, None, `torch.Tensor`, `numpy.ndarray`,
        `StandIn` and `Foreign`, nested. Tensors lie in main memory and never learn.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It is damaged, of no such kind, larger than a checkpoint may be or may unfold to, or it asks
            for a class or function that no known checkpoint needs, which the message names.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        budget = Budget.of(path, size)
        with path.open("rb") as file:
            start = file.read(9)
            file.seek(0)
            if start.startswith(ZIP):
                return read_archive(file, budget)
            if start.startswith(NPY):
                return read_npy(file, size, budget)
            if start[8:] == b"{" and int.from_bytes(start[:8], "little") < size:
                return safetensors.torch.load_file(path)
            return read_pickles(file, size, budget)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NotFound(f"{path}: {error.strerror}; name the checkpoint's file", path=path) from error
    except InvalidInput:
        raise
    except (
        OSError,
        SafetensorError,
        EOFError,
        KeyError,
        MemoryError,
        OverflowError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise refusal(path, f"is damaged or no checkpoint ({error or type(error).__name__})") from error
