"""One converted network in one safetensors file, which says itself what it is."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from seamline.bundles.manifest import PRECISIONS, ConfigValue, WeightFile
from seamline.bundles.weights import frozen, load_into
from seamline.errors import InvalidInput, NotFound
from seamline.networks.registry import KINDS, build
from seamline.storage.atomic import atomic_path

TABLES: Final = ("directions", "relevance")
"""Kinds that are tensors for a bundle, but no network."""
FORMAT: Final = "seamline-network-1"


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a converted file says of itself."""

    kind: str
    """A key of `seamline.networks.registry.KINDS`, or one of `TABLES`."""
    config: Mapping[str, ConfigValue] = field(default_factory=dict)
    """From which the registry builds the network."""
    licence: str
    """SPDX identifier, or a short text."""
    source: str
    """What it was converted from."""
    precision: str = "float32"
    """Arithmetic in which it still gives its figures when it runs frozen."""


@dataclass(frozen=True, kw_only=True)
class Converted(Description):
    """A network in this project's names, ready to be written."""

    tensors: Mapping[str, Tensor]
    """By the names of the network's state dict."""


def write_converted(path: Path, converted: Converted) -> WeightFile:
    """Write a converted network in float32; the file appears whole or not at all.

    Returns:
        Name, digest and size of the file.

    Raises:
        InvalidInput: The tensors do not fit the kind and its config, or the file cannot be written.
    """
    if converted.kind not in TABLES:
        load_into(_on_meta(path, converted), converted.tensors, path, assign=True)
    # A safetensors file takes no storage twice, and no view.
    tensors = {name: _float32(tensor).contiguous().clone() for name, tensor in converted.tensors.items()}
    try:
        with atomic_path(path) as unfinished:
            save_file(tensors, unfinished, metadata=_metadata(converted))
            with unfinished.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = unfinished.stat().st_size
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"{path}: cannot be written ({error}); choose another place with -o", path=path) from error
    return WeightFile(file=path.name, sha256=digest, size=size)


def describe(path: Path) -> Description:
    """Read what a converted file says of itself, without its tensors.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It is none that `write_converted` wrote.
    """
    return _open(path, with_tensors=False)[0]


def load_network(path: Path | str, device: torch.device | str = "cpu") -> nn.Module:
    """Load a converted network.

    Args:
        path: A file that `seamline bundles convert` or `write_converted` wrote.
        device: Where the network is to live.

    Returns:
        The network that `seamline.networks.registry` has for the file's kind: in float32, in evaluation mode,
        with parameters that do not learn. Gradients may flow to its input.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It is damaged, holds NaN or infinity, does not fit its config, or is no network.
    """
    path = Path(path)
    description, tensors = _open(path, with_tensors=True)
    if description.kind in TABLES:
        raise InvalidInput(f"{path}: holds {description.kind}, which is no network; put it into a bundle", path=path)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InvalidInput(f"{path}: tensor {name} holds NaN or infinity; convert the checkpoint again", path=path)
    module = _on_meta(path, description)
    load_into(module, tensors, path, assign=True)
    return frozen(module, torch.device(device))


def _open(path: Path, *, with_tensors: bool) -> tuple[Description, dict[str, Tensor]]:
    if not path.is_file():
        raise NotFound(f"{path}: no such file; write it with seamline bundles convert", path=path)
    try:
        with safe_open(path, framework="pt") as file:
            description = _description(file.metadata() or {})
            tensors = {name: _float32(file.get_tensor(name)) for name in file.keys()} if with_tensors else {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InvalidInput(
            f"{path}: not a safetensors file ({error}); convert the checkpoint again", path=path
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        remedy = "write it with seamline bundles convert"
        raise InvalidInput(f"{path}: does not say what network it holds ({error}); {remedy}", path=path) from error
    return description, tensors


def _metadata(converted: Converted) -> dict[str, str]:
    # One entry: safetensors writes several in another order each time, and the same network must give the same bytes.
    fields = {name: getattr(converted, name) for name in ("kind", "licence", "source", "precision")}
    return {FORMAT: json.dumps({**fields, "config": dict(converted.config)}, sort_keys=True)}


def _description(metadata: Mapping[str, str]) -> Description:
    if FORMAT not in metadata:
        raise ValueError(f"its format is not {FORMAT}")
    description = Description(**json.loads(metadata[FORMAT]))
    if not isinstance(description.config, dict):
        raise TypeError("its config is no table")
    if description.kind not in (*KINDS, *TABLES) or description.precision not in PRECISIONS:
        raise ValueError(f"kind {description.kind!r} or precision {description.precision!r} is unknown")
    return description


def _on_meta(path: Path, description: Description) -> nn.Module:
    """The network without memory for its weights, which are to be assigned."""
    try:
        with torch.device("meta"):
            return build(description.kind, description.config)
    except (InvalidInput, KeyError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise InvalidInput(
            f"{path}: {description.kind} config: {error}; convert the checkpoint again", path=path
        ) from error


def _float32(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu()
    return tensor.float() if tensor.is_floating_point() else tensor
