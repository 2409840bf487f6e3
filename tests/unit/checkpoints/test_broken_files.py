"""Files that are cut off, blown up or tampered with: each is refused with its name, the reason and a remedy."""

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seamline.checkpoints import limits
from seamline.checkpoints.reading import read_checkpoint
from seamline.errors import InvalidInput, NotFound
from tests.fakes.pickle_code import call, name, text, tuple_of, whole

STATE = {"weight": torch.arange(12.0).reshape(3, 4)}


def saved(value: Any, **options: Any) -> bytes:
    content = io.BytesIO()
    torch.save(value, content, **options)
    return content.getvalue()


def old(value: Any) -> bytes:
    return saved(value, _use_new_zipfile_serialization=False)


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for member, inner in members.items():
            archive.writestr(member, inner)
    return content.getvalue()


def torch_zip(pickled: bytes, **storages: bytes) -> bytes:
    return zipped({"a/data.pkl": pickled, **{f"a/data/{key[1:]}": value for key, value in storages.items()}})


def number(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def tensor(
    offset: int, size: tuple[int, ...], stride: tuple[int, ...], count: int = 4, kind: str = "FloatStorage"
) -> bytes:
    """A tensor that looks into storage 0 of an archive."""
    reference = tuple_of(text("storage"), name("torch", kind), text("0"), text("cpu"), number(count)) + b"Q"
    shapes = (tuple_of(*map(number, size)), tuple_of(*map(number, stride)))
    return whole(call(name("torch._utils", "_rebuild_tensor_v2"), reference, number(offset), *shapes, b"\x89", b"N"))


def overlapping() -> bytes:
    """Two members whose bytes are the same."""
    content = bytearray(zipped({"a/data.pkl": b"1" * 50, "a/data/0": b"2" * 50}))
    second = content.rfind(b"PK\x01\x02")
    content[second + 42 : second + 46] = struct.pack("<I", 4)
    return bytes(content)


def duplicate() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a/data.pkl", whole(b"N"))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a/data.pkl", whole(b"}"))
    return content.getvalue()


def encrypted() -> bytes:
    content = bytearray(torch_zip(whole(b"N")))
    content[content.find(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def flipped(content: bytes) -> bytes:
    """One bit of a tensor is not what it was."""
    changed = bytearray(content)
    changed[content.find(struct.pack("<4f", 4, 5, 6, 7))] ^= 1
    return bytes(changed)


def npy(shape: str, kind: str = "<f4", content: bytes = b"") -> bytes:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    header = header.ljust(118 - 1 + 10) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + content


def safetensors(offsets: tuple[int, int], length: int | None = None) -> bytes:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": offsets}}).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + b"\0" * 8


def object_array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([{}], dtype=object), allow_pickle=True)
    return content.getvalue()


FOUR = struct.pack("<4f", 1, 2, 3, 4)
NESTED = b"]" * (limits.MAX_DEPTH + 5) + b"a" * (limits.MAX_DEPTH + 4)
BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is damaged or no checkpoint"),
    "a page that says no": (lambda: b"<!DOCTYPE html><title>404</title>", "is damaged or no checkpoint"),
    "noise": (lambda: bytes(range(256)), "is damaged or no checkpoint"),
    "cut zip": (lambda: saved(STATE)[:-40], "truncated or damaged zip archive"),
    "zip cut in half": (lambda: saved(STATE)[:600], "truncated or damaged zip archive"),
    "zip with a flipped bit": (lambda: flipped(saved(STATE)), "truncated or damaged zip archive"),
    "cut old file": (lambda: old(STATE)[:-5], "the file ends within storage"),
    "old file cut in its pickle": (lambda: old(STATE)[:80], "is damaged or no checkpoint"),
    "cut pickle": (lambda: pickle.dumps(STATE)[:-20], "is damaged or no checkpoint"),
    "pickle without an end": (lambda: b"\x80\x02}", "is damaged or no checkpoint"),
    "pickle of nothing": (lambda: whole(b""), "stack is empty"),
    "pickle with something over": (lambda: whole(b"NN"), "leaves something over"),
    "pickle without a mark": (lambda: whole(b"t"), "has no mark"),
    "pickle that takes beyond a mark": (lambda: whole(b"N(a"), "stack is empty"),
    "pickle of what it has not": (lambda: whole(b"h\x07"), "is damaged"),
    "too deep": (lambda: whole(NESTED), "deep in one another"),
    "zip of something else": (lambda: zipped({"readme.txt": b"hello"}), "without one data.pkl"),
    "two checkpoints": (lambda: zipped({"a/data.pkl": whole(b"N"), "b/data.pkl": whole(b"N")}), "without one data.pkl"),
    "overlapping members": (overlapping, "overlaps another"),
    "two members of one name": (duplicate, "two members of one name"),
    "encrypted": (encrypted, "encrypted member"),
    "bomb": (lambda: zipped({"a/data.pkl": bytes(10**6)}, zipfile.ZIP_DEFLATED), "unfolds to 1000000, like a zip bomb"),
    "npz bomb": (lambda: zipped({"a.npy": bytes(10**6)}, zipfile.ZIP_DEFLATED), "like a zip bomb"),
    "other byte order": (lambda: zipped({"a/data.pkl": whole(b"N"), "a/byteorder": b"big"}), "not little-endian"),
    "no storage": (lambda: torch_zip(tensor(0, (4,), (1,))), "'a/data/0' is missing"),
    "storage too short": (lambda: torch_zip(tensor(0, (4,), (1,)), _0=FOUR[:8]), "with 8 bytes"),
    "size beyond the storage": (lambda: torch_zip(tensor(0, (5,), (1,)), _0=FOUR), "beyond its storage"),
    "strides beyond the storage": (lambda: torch_zip(tensor(0, (2, 2), (3, 1)), _0=FOUR), "beyond its storage"),
    "offset beyond the storage": (lambda: torch_zip(tensor(3, (2,), (1,)), _0=FOUR), "beyond its storage"),
    "negative offset": (lambda: torch_zip(tensor(-1, (2,), (1,)), _0=FOUR), "offset or strides are none"),
    "negative stride": (lambda: torch_zip(tensor(3, (2,), (-1,)), _0=FOUR), "a size that is none"),
    "tensor bomb": (lambda: torch_zip(tensor(0, (10**9,), (0,)), _0=FOUR), "unfolds to more than"),
    "tensor of a size that wraps around": (
        lambda: torch_zip(tensor(0, (2**32, 2**32), (0, 0)), _0=FOUR),
        r"a tensor of size \(4294967296, 4294967296\)",
    ),
    "count beyond all": (lambda: torch_zip(tensor(0, (4,), (1,), 10**15), _0=FOUR), "with 16 bytes"),
    "unknown storage": (
        lambda: torch_zip(tensor(0, (4,), (1,), 4, "EvilStorage"), _0=FOUR),
        "asks for torch.EvilStorage",
    ),
    "npy of objects": (object_array, "no plain numbers"),
    "npy that declares too much": (lambda: npy("(1000000000000,)", content=FOUR), "declares 4000000000000 bytes"),
    "npy with more than it declares": (lambda: npy("(2,)", content=FOUR), "declares 8 bytes and has 16"),
    "npy with a call": (lambda: npy("__import__('os').system('touch the-canary')"), "is damaged"),
    "npz of objects": (lambda: zipped({"a.npy": object_array()}), "no plain numbers"),
    "safetensors beyond its end": (lambda: safetensors((0, 8))[:-4], "is damaged or no checkpoint"),
    "safetensors with a wrong shape": (lambda: safetensors((0, 4)), "is damaged or no checkpoint"),
    "safetensors with a long header": (lambda: safetensors((0, 8), 90), "is damaged or no checkpoint"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, reason = BROKEN[case]
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(make())
    with pytest.raises(InvalidInput, match=reason) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "get the file again" in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_larger_than_any_checkpoint_is_not_even_opened(tmp_path: Path) -> None:
    path = tmp_path / "huge.pt"
    path.touch()
    os.truncate(path, limits.MAX_BYTES + 1)
    with pytest.raises(InvalidInput, match="more than the 8589934592"):
        read_checkpoint(path)


def test_the_same_bytes_cannot_be_unfolded_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    encode = name("_codecs", "encode") + b"q\x01" + text("a" * 2**20) + b"q\x02" + text("latin-1") + b"q\x03" + b"000"
    path.write_bytes(whole(encode + b"(" + b"h\x01h\x02h\x03\x86R" * 60 + b"t"))
    with pytest.raises(InvalidInput, match="like a bomb"):
        read_checkpoint(path)


def test_operations_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.Budget, "of", lambda path, size: limits.Budget(path, 10**6, operations=100))
    path = tmp_path / "a.pkl"
    path.write_bytes(whole(b"N0" * 60 + b"N"))
    with pytest.raises(InvalidInput, match="operations to read, like a bomb"):
        read_checkpoint(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(NotFound, match=str(path)):
            read_checkpoint(path)


@pytest.mark.parametrize("make", [saved, old, pickle.dumps])
def test_bits_that_flip_anywhere_never_do_worse(make: Callable[[Any], bytes], tmp_path: Path) -> None:
    content = make({"state_dict": STATE, "opts": {"rate": 0.1, "name": "a"}, "list": [1, (2, None), np.arange(3)]})
    places = np.random.default_rng(0).integers(0, len(content) * 8, 100)
    path = tmp_path / "a.pt"
    for place in places.tolist():
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        with suppress(InvalidInput):  # some bits do no harm
            read_checkpoint(path)
