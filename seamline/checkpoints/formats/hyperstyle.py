"""`hyperstyle_ffhq.pt`: the hypernetwork of HyperStyle (Alaluf et al. 2022, arXiv:2111.15666)."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from math import isqrt
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from seamline.bundles.manifest import ConfigValue
from seamline.checkpoints.formats.format import Format
from seamline.checkpoints.formats.inferred import fitting_shapes, shape_of
from seamline.checkpoints.formats.pinned import REMEDY, checked, part, table
from seamline.checkpoints.network_file import Converted
from seamline.checkpoints.reading import read_checkpoint
from seamline.errors import InvalidInput

LICENCE: Final = "MIT (yuval-alaluf/hyperstyle); trained on FFHQ, non-commercial"
PREFIX: Final = "hypernet."
SHARED: Final = "shared_weight_hypernet."
MATRICES: Final = ("w1", "b1", "w2", "b2")
LAST_LEVEL: Final = 8
"""Of the blocks of generators: 1024 px."""


def _convert(paths: Sequence[Path]) -> Converted:
    (path,) = paths
    found = table(path, part(path, read_checkpoint(path), "state_dict"), "state_dict")
    config = _config(path, found)
    own = fitting_shapes(path, "hyperstyle", config)
    wanted = {PREFIX + name: shape for name, shape in own.items()}
    repeats = _repeats(own)
    wanted |= {PREFIX + repeat: own[name] for repeat, name in repeats.items()}
    # The generator that it was trained with lies in the file too; a bundle has its own.
    tensors = checked(path, found, wanted, ignored=lambda key: key.startswith("decoder."))
    for repeat, name in repeats.items():
        if not torch.equal(tensors[PREFIX + repeat], tensors[PREFIX + name]):
            raise InvalidInput(f"{path}: {PREFIX}{repeat} differs from {PREFIX}{name}; {REMEDY}", path=path)
    return Converted(
        kind="hyperstyle",
        config=config,
        tensors={name: tensors[PREFIX + name] for name in own},
        licence=LICENCE,
        source=path.name,
    )


def _repeats(own: Mapping[str, torch.Size]) -> dict[str, str]:
    """Names under which the checkpoint has the shared matrices again: in every block that uses them."""
    blocks = [name.removesuffix("linear.weight") for name in own if name.endswith(".linear.weight")]
    return {f"{block}hypernet.{matrix}": SHARED + matrix for block in blocks for matrix in MATRICES}


def _config(path: Path, found: Mapping[str, Any]) -> dict[str, ConfigValue]:
    """Sizes, told from shapes; whether they fit together is seen when all shapes are compared."""
    state = {key.removeprefix(PREFIX): value for key, value in found.items() if key.startswith(PREFIX)}
    width = shape_of(path, state, "conv1.weight", 4)[0]
    code_width, shared = shape_of(path, state, SHARED + "w1", 2)
    channel_max = max(1, shape_of(path, state, SHARED + "w2", 2)[1] // code_width)
    numbers = sorted({int(match[1]) for key in state if (match := re.match(r"refinement_blocks\.(\d{1,3})\.", key))})
    levels = sorted({(number + 1) // 3 for number in numbers})
    if not levels or levels[-1] > LAST_LEVEL:
        raise InvalidInput(f"{path}: refines layers {numbers[:5]}..., which no generator has; {REMEDY}", path=path)
    resolution = 4 << levels[-1]
    config: dict[str, ConfigValue] = {
        "resolution": resolution,
        "channel_max": channel_max,
        "channel_base": resolution * _channels(path, state, numbers[-1], channel_max),
        "width": width,
        "units": list(_units(path, state, width)),
        "code_width": code_width,
        "shared_kernel": isqrt(shared // channel_max),
    }
    if len(levels) <= levels[-1]:
        config["blocks"] = [4 << level for level in levels]
    return config | _block_sizes(path, state, numbers)


def _channels(path: Path, state: Mapping[str, Any], number: int, most: int) -> int:
    """Feature maps of the last refined layer, the second convolution of its block."""
    key = f"refinement_blocks.{number}.output.1.bias"
    return isqrt(shape_of(path, state, key, 1)[0]) if key in state else most


def _units(path: Path, state: Mapping[str, Any], width: int) -> list[int]:
    """Residual units of the four stages, each twice as wide as the one before."""
    widths: Counter[int] = Counter()
    while f"body.{widths.total()}.conv1.weight" in state:
        widths[shape_of(path, state, f"body.{widths.total()}.conv1.weight", 4)[0]] += 1
    return [widths[width << stage] for stage in range(4)]


def _block_sizes(path: Path, state: Mapping[str, Any], numbers: Sequence[int]) -> dict[str, ConfigValue]:
    """What the first block of each kind tells: its width, and the pictures' size by how often it halves them."""
    sizes: dict[str, ConfigValue] = {}
    for number in numbers:
        block = f"refinement_blocks.{number}."
        shares = isinstance(state.get(f"{block}linear.weight"), Tensor)
        name = "shared_width" if shares else "own_width"
        if name not in sizes:
            sizes[name] = shape_of(path, state, f"{block}convs.0.weight", 4)[0]
            convolutions = sum(key.startswith(f"{block}convs.") and key.endswith(".weight") for key in state)
            sizes["input_size"] = 16 << min(convolutions - 1 if shares else convolutions + 1, 16)
    return sizes


FORMAT: Final = Format(
    name="hyperstyle",
    inputs=("hyperstyle_ffhq.pt",),
    description="HyperStyle's hypernetwork, which fits the FFHQ generator to a face without tuning",
    licence=LICENCE,
    convert=_convert,
)
