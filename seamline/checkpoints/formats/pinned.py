"""Pinned lists of keys and shapes, against which a checkpoint's tensors are checked."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seamline.bundles.manifest import ConfigValue
from seamline.errors import InvalidInput
from seamline.networks.registry import build

REMEDY = "get the file again from its official source, and give each format its own file"


def shapes_of(kind: str, config: Mapping[str, ConfigValue]) -> dict[str, torch.Size]:
    """Shape of every tensor of a network of ours, by name; see `seamline.networks.registry.build`."""
    with torch.device("meta"):
        network = build(kind, config)
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def table(path: Path, found: Any, what: str) -> Mapping[str, Any]:
    """`found`, which must be a dictionary with names as keys.

    Raises:
        InvalidInput: It is not.
    """
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        raise InvalidInput(f"{path}: {what} is no table of names; {REMEDY}", path=path)
    return found


def part(path: Path, found: Any, key: str) -> Any:
    """What a checkpoint has under a key.

    Raises:
        InvalidInput: It has no such key; the message lists those that it has.
    """
    held = table(path, found, "the file")
    if key not in held:
        keys = ", ".join(sorted(held)[:5]) or "nothing"
        raise InvalidInput(f"{path}: key {key} is missing, the file has {keys}; {REMEDY}", path=path)
    return held[key]


def checked(
    path: Path,
    found: Any,
    wanted: Mapping[str, torch.Size],
    ignored: Callable[[str], bool] = lambda key: False,
) -> dict[str, Tensor]:
    """Hold a state dict against its pinned list.

    Args:
        path: The file that errors name.
        found: The state dict as read.
        wanted: Shapes by the checkpoint's own keys.
        ignored: Which other keys it may have.

    Returns:
        The wanted tensors, floating point as float32.

    Raises:
        InvalidInput: A key is missing or unknown, a value is no tensor, has another shape, NaN or infinity.
    """
    found = _with_counters(table(path, found, "the state dict"), wanted)
    for key, shape in wanted.items():
        if key not in found:
            raise InvalidInput(f"{path}: key {key} is missing; {REMEDY}", path=path)
        _check(path, key, found[key], shape)
    unknown = sorted(key for key in found if key not in wanted and not ignored(key))
    if unknown:
        raise InvalidInput(f"{path}: key {unknown[0]} is unknown ({len(unknown)} such); {REMEDY}", path=path)
    return {key: _float32(found[key]) for key in wanted}


def _with_counters(found: Mapping[str, Any], wanted: Mapping[str, torch.Size]) -> dict[str, Any]:
    """Files from before torch 0.4.1 have no counters of batches, which nothing reads."""
    counters = {key: torch.tensor(0) for key in wanted if key.endswith(".num_batches_tracked")}
    return {**counters, **found}


def _check(path: Path, key: str, value: Any, shape: torch.Size) -> None:
    if not isinstance(value, Tensor):
        raise InvalidInput(f"{path}: {key} is a {type(value).__name__}, wanted a tensor; {REMEDY}", path=path)
    if value.shape != shape:
        found, wanted = tuple(value.shape), tuple(shape)
        raise InvalidInput(f"{path}: {key} has shape {found}, wanted {wanted}; {REMEDY}", path=path)
    if value.is_floating_point() and not bool(value.isfinite().all()):
        raise InvalidInput(f"{path}: {key} holds NaN or infinity; {REMEDY}", path=path)


def _float32(tensor: Tensor) -> Tensor:
    return tensor.detach().float() if tensor.is_floating_point() else tensor.detach()
