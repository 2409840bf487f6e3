"""`editings/w_directions/*.npy`: the InterFaceGAN directions that Stitch it in Time ships."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from seamline.checkpoints.formats.format import Format
from seamline.checkpoints.formats.pinned import REMEDY
from seamline.checkpoints.network_file import Converted
from seamline.checkpoints.reading import read_checkpoint
from seamline.errors import InvalidInput, NotFound

LICENCE: Final = "MIT (rotemtzaban/STIT); CC-BY-NC-4.0 (stylegan2-distillation, to which it credits them)"
SUFFIXES: Final = (".npy", ".pt")
FACTOR: Final = 0.5
"""Upstream moves codes by half of the strength that it is given."""
NAMES: Final = (
    "age",
    "eye_distance",
    "eye_eyebrow_distance",
    "eye_ratio",
    "eyes_open",
    "gender",
    "lip_ratio",
    "mouth_open",
    "mouth_ratio",
    "nose_mouth_distance",
    "nose_ratio",
    "nose_tip",
    "pitch",
    "roll",
    "smile",
    "yaw",
)


def _convert(paths: Sequence[Path]) -> Converted:
    files = _files(paths)
    tensors = {name: _direction(path) for name, path in files.items()}
    first = next(iter(tensors))
    for name, direction in tensors.items():
        if direction.shape != tensors[first].shape:
            found, wanted = tuple(direction.shape), tuple(tensors[first].shape)
            raise InvalidInput(
                f"{files[name]}: has shape {found}, {files[first].name} has {wanted}; {REMEDY}", path=files[name]
            )
    return Converted(kind="directions", tensors=tensors, licence=LICENCE, source="STIT, editings/w_directions")


def _files(paths: Sequence[Path]) -> dict[str, Path]:
    """The files by the name of the edit; a folder must hold all of them."""
    if len(paths) == 1 and paths[0].is_dir():
        held = {path.stem: path for path in sorted(paths[0].iterdir()) if path.suffix in SUFFIXES}
        if missing := sorted(set(NAMES) - set(held)):
            raise NotFound(f"{paths[0]}: has no {missing[0]}.npy; {REMEDY}", path=paths[0])
        return {name: held[name] for name in NAMES}
    for path in paths:
        if path.stem not in NAMES:
            known = ", ".join(NAMES)
            raise InvalidInput(f"{path}: {path.stem} is no direction of STIT; it has: {known}", path=path)
    files = {path.stem: path for path in paths}
    if len(files) < len(paths):
        raise InvalidInput("a direction is given twice; give one file for each", field="files")
    return files


def _direction(path: Path) -> Tensor:
    """(L, w_dim) for a strength of 1.

    Upstream broadcasts the first entry of the file: of (1, L, w_dim) that is the direction, of (L, w_dim) its first
    row, which the rows of the published files all are.
    """
    try:
        values = torch.as_tensor(read_checkpoint(path))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"{path}: is no array of numbers ({error}); {REMEDY}", path=path) from error
    shape = tuple(values.shape)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] != 1) or 0 in shape:
        raise InvalidInput(f"{path}: has shape {shape}, wanted (1, codes, w_dim), as (1, 18, 512); {REMEDY}", path=path)
    if not values.is_floating_point() or not bool(values.isfinite().all()):
        raise InvalidInput(f"{path}: holds NaN, infinity or no fractions; {REMEDY}", path=path)
    return (values[0].double() * FACTOR).float().expand(shape[-2:]).clone()


FORMAT: Final = Format(
    name="stit-directions",
    inputs=("NAME.npy of each direction, or the folder editings/w_directions that holds them all",),
    repeated=True,
    description="InterFaceGAN directions of Stitch it in Time; a strength means what it means there",
    licence=LICENCE,
    convert=_convert,
)
