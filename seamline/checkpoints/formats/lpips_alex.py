"""LPIPS on AlexNet: torchvision's `alexnet-owt-*.pth` with lpips' `alex.pth`, or lpips' whole state dict."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from seamline.checkpoints.formats.format import Format
from seamline.checkpoints.formats.pinned import REMEDY, checked, shapes_of, table
from seamline.checkpoints.network_file import Converted
from seamline.checkpoints.reading import read_checkpoint
from seamline.errors import InvalidInput
from seamline.networks.lpips import ScalingLayer

LICENCE: Final = "BSD-3-Clause (torchvision's AlexNet), BSD-2-Clause (lpips)"
SLICES: Final = {1: 0, 2: 3, 3: 6, 4: 8, 5: 10}
"""The one convolution of every slice, by its number in AlexNet."""
CLASSIFIER: Final = frozenset(f"classifier.{number}.{what}" for number in (1, 4, 6) for what in ("weight", "bias"))
"""What AlexNet has beyond its features."""


def _convert(paths: Sequence[Path]) -> Converted:
    own = shapes_of("perceptual", {})
    if len(paths) == 1:
        tensors = _whole(paths[0], own)
    else:
        tensors = _features(paths[0], own) | _weights(paths[1], own) | _scaling()
    both = {name: tensors[name.replace("lins.", "lin")] for name in own if name.startswith("lins.")}
    source = " and ".join(path.name for path in paths)
    return Converted(kind="perceptual", tensors=tensors | both, licence=LICENCE, source=source)


def _whole(path: Path, own: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """lpips' own state dict, which has the weights of the channels under two names, or under the first."""
    found = table(path, read_checkpoint(path), "the file")
    if "features.0.weight" in found:
        raise InvalidInput(f"{path}: is AlexNet alone; give lpips' alex.pth after it", path=path)
    twice = {name: shape for name, shape in own.items() if name.startswith("lins.") and name in found}
    once = {name: shape for name, shape in own.items() if not name.startswith("lins.")}
    tensors = checked(path, found, once | twice)
    for name in twice:
        first = name.replace("lins.", "lin")
        if not torch.equal(tensors[name], tensors[first]):
            raise InvalidInput(f"{path}: {name} differs from {first}; {REMEDY}", path=path)
    return tensors


def _features(path: Path, own: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """AlexNet's convolutions."""
    names = {
        f"net.slice{part}.{number}.{what}": f"features.{number}.{what}"
        for part, number in SLICES.items()
        for what in ("weight", "bias")
    }
    found: Any = read_checkpoint(path)
    tensors = checked(path, found, {key: own[name] for name, key in names.items()}, CLASSIFIER.__contains__)
    return {name: tensors[key] for name, key in names.items()}


def _weights(path: Path, own: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """The weights of the features' channels."""
    wanted = {name: shape for name, shape in own.items() if name.startswith("lin") and not name.startswith("lins.")}
    return checked(path, read_checkpoint(path), wanted)


def _scaling() -> dict[str, Tensor]:
    return {f"scaling_layer.{name}": tensor for name, tensor in ScalingLayer().state_dict().items()}


FORMAT: Final = Format(
    name="lpips-alex",
    inputs=("alexnet-owt-*.pth (or the whole state dict of lpips)", "alex.pth"),
    optional_inputs=1,
    description="LPIPS perceptual distance on AlexNet",
    licence=LICENCE,
    convert=_convert,
)
