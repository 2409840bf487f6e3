"""Zip archives: torch's checkpoints, TorchScript and .npz, checked member by member before any is read."""

import io
import struct
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import IO, Any, Final

import torch

from seamline.checkpoints.limits import MAX_MEMBERS, UNFOLDING, Budget, refusal
from seamline.checkpoints.npy import read_npy
from seamline.checkpoints.tensors import Storage
from seamline.checkpoints.unpickling import Unpickler

LOCAL_HEADER: Final = 30
"""Bytes before a member's name."""
ENCRYPTED: Final = 1


def read_archive(file: IO[bytes], budget: Budget) -> Any:
    """Read what a zip archive holds; see `seamline.checkpoints.reading.read_checkpoint`."""
    try:
        with zipfile.ZipFile(file) as archive:
            _check(archive, budget)
            members = {info.filename: info for info in archive.infolist()}
            if members and all(name.endswith(".npy") for name in members):
                return {name.removesuffix(".npy"): _array(archive, info, budget) for name, info in members.items()}
            return _Torch(archive, members, budget).read()
    except (zipfile.BadZipFile, NotImplementedError, struct.error, zlib.error) as error:
        raise refusal(budget.path, f"is a truncated or damaged zip archive ({error})") from error


def _check(archive: zipfile.ZipFile, budget: Budget) -> None:
    members = sorted(archive.infolist(), key=lambda info: info.header_offset)
    if len(members) > MAX_MEMBERS:
        raise refusal(budget.path, f"has {len(members)} members, more than {MAX_MEMBERS}")
    if len({info.filename for info in members}) != len(members):
        raise refusal(budget.path, "has two members of one name")
    end = 0
    for info in members:
        if info.header_offset < end:
            raise refusal(budget.path, f"has a member {info.filename!r} that overlaps another, like a zip bomb")
        end = info.header_offset + LOCAL_HEADER + len(info.orig_filename.encode()) + info.compress_size
        if info.flag_bits & ENCRYPTED:
            raise refusal(budget.path, f"has an encrypted member {info.filename!r}")
        if info.file_size > UNFOLDING * max(info.compress_size, 1):
            raise refusal(
                budget.path,
                f"has a member {info.filename!r} of {info.compress_size} bytes that unfolds to {info.file_size}, "
                "like a zip bomb",
            )


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> Any:
    budget.spend(info.file_size)
    return read_npy(io.BytesIO(archive.read(info)), info.file_size, budget)


class _Torch:
    """An archive of torch's: `<name>/data.pkl`, its storages at `<name>/data/<key>`."""

    def __init__(self, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], budget: Budget) -> None:
        self._archive, self._members, self._budget = archive, members, budget
        pickles = [name for name in members if PurePosixPath(name).name == "data.pkl" and name.count("/") == 1]
        if len(pickles) != 1:
            raise refusal(budget.path, "is a zip archive without one data.pkl, so no checkpoint of torch's")
        self._pickle, self._root = pickles[0], pickles[0].removesuffix("data.pkl")
        self._storages: dict[str, Storage] = {}

    def read(self) -> Any:
        if f"{self._root}byteorder" in self._members and self._bytes(f"{self._root}byteorder") != b"little":
            raise refusal(self._budget.path, "is not little-endian")
        script = any(name.startswith(f"{self._root}code/") for name in self._members)
        pickle = io.BytesIO(self._bytes(self._pickle))
        return Unpickler(pickle, self._budget, self._storage, script=script).load()

    def _storage(self, dtype: torch.dtype, key: str, count: int) -> Storage:
        if key not in self._storages:
            name = f"{self._root}data/{key}"
            if name not in self._members:
                raise ValueError(f"a tensor whose member {name!r} is missing")
            content = bytearray(self._bytes(name))
            if count * dtype.itemsize != len(content):
                raise ValueError(f"{name!r} with {len(content)} bytes, where {count} of {dtype} are declared")
            data = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
            self._storages[key] = Storage(data)
        return self._storages[key].expected(dtype, count, key)

    def _bytes(self, name: str) -> bytes:
        info = self._members[name]
        self._budget.spend(info.file_size)
        return self._archive.read(info)
