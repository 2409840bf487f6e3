"""Sizes of a network, told from the shapes in its checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seamline.bundles.manifest import ConfigValue
from seamline.checkpoints.formats.pinned import REMEDY, shapes_of
from seamline.errors import InvalidInput


def shape_of(path: Path, found: Mapping[str, Any], key: str, dimensions: int) -> torch.Size:
    """Shape of one tensor, from which sizes are told.

    Raises:
        InvalidInput: It is missing, no tensor, empty or of another number of dimensions.
    """
    value = found.get(key)
    if not isinstance(value, Tensor):
        what = "missing" if value is None else f"a {type(value).__name__}, not a tensor"
        raise InvalidInput(f"{path}: key {key} is {what}; {REMEDY}", path=path)
    if value.ndim != dimensions or not value.numel():
        shape = tuple(value.shape)
        raise InvalidInput(f"{path}: {key} has shape {shape}, wanted {dimensions} dimensions; {REMEDY}", path=path)
    return value.shape


def fitting_shapes(path: Path, kind: str, config: Mapping[str, ConfigValue]) -> dict[str, torch.Size]:
    """`shapes_of` a network whose config was told from a checkpoint.

    Raises:
        InvalidInput: There is no network of these sizes.
    """
    try:
        return shapes_of(kind, config)
    except (InvalidInput, ArithmeticError, IndexError, RuntimeError, ValueError) as error:
        raise InvalidInput(f"{path}: no {kind} network has its sizes ({error}); {REMEDY}", path=path) from error
