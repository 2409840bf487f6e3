"""`e4e_ffhq_encode.pt`: the encoder of encoder4editing, with the generator that it was trained with."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from seamline.bundles.manifest import ConfigValue
from seamline.checkpoints.formats import rosinality
from seamline.checkpoints.formats.format import Format
from seamline.checkpoints.formats.inferred import fitting_shapes, shape_of
from seamline.checkpoints.formats.pinned import REMEDY, checked, part, table
from seamline.checkpoints.network_file import Converted
from seamline.checkpoints.reading import read_checkpoint
from seamline.errors import InvalidInput
from seamline.networks.e4e import LATENT_AVG
from seamline.networks.stylegan2 import GeneratorConfig

LICENCE: Final = "MIT (omertov/encoder4editing); trained on FFHQ, non-commercial"
PREFIX: Final = "encoder."
DECODER: Final = "decoder."
STYLE_LEVELS: Final = 12
"""More strided convolutions than any style block has."""


def _convert(paths: Sequence[Path]) -> Converted:
    (path,) = paths
    found = read_checkpoint(path)
    state = table(path, part(path, found, "state_dict"), "state_dict")
    config = _config(path, {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)})
    wanted = fitting_shapes(path, "e4e", config)
    average = _average(path, part(path, found, LATENT_AVG), wanted.pop(LATENT_AVG))
    decoder = _decoder_keys()
    tensors = checked(path, state, {PREFIX + name: shape for name, shape in wanted.items()}, decoder.__contains__)
    encoder = {name: tensors[PREFIX + name] for name in wanted}
    return Converted(
        kind="e4e", config=config, tensors=encoder | {LATENT_AVG: average}, licence=LICENCE, source=path.name
    )


def _average(path: Path, found: Any, shape: torch.Size) -> Tensor:
    """The average code (num_ws, w_dim), which may be stored once for all layers."""
    if isinstance(found, Tensor) and found.numel() == shape[1] and found.shape[-1] == shape[1]:
        found = found.reshape(1, -1).expand(shape)
    return checked(path, {LATENT_AVG: found}, {LATENT_AVG: shape})[LATENT_AVG]


def _config(path: Path, state: Mapping[str, Any]) -> dict[str, ConfigValue]:
    width = shape_of(path, state, "input_layer.0.weight", 4)[0]
    styles = {int(match[1]) for key in state if (match := re.match(r"styles\.(\d{1,2})\.", key))}
    convolutions = sum(f"styles.0.convs.{2 * level}.weight" in state for level in range(STYLE_LEVELS))
    w_dim, style_width = shape_of(path, state, "styles.0.linear.weight", 2)
    if not styles or len(styles) % 2:
        raise InvalidInput(f"{path}: has {len(styles)} styles, which no generator takes; {REMEDY}", path=path)
    return {
        "input_size": 16 << convolutions,
        "generator_resolution": 2 ** (len(styles) // 2 + 1),
        "w_dim": w_dim,
        "width": width,
        "units": _units(path, state, width),
        "style_width": style_width,
        "own_average": True,
    }


def _units(path: Path, state: Mapping[str, Any], width: int) -> list[Any]:
    """Residual units of the four stages, each twice as wide as the one before."""
    widths: Counter[int] = Counter()
    while f"body.{widths.total()}.res_layer.1.weight" in state:
        widths[shape_of(path, state, f"body.{widths.total()}.res_layer.1.weight", 4)[0]] += 1
    return [widths[width << stage] for stage in range(4)]


def _decoder_keys() -> frozenset[str]:
    """Keys of the generator, which the file may have and nobody needs: a bundle has its own."""
    config = GeneratorConfig()
    return frozenset(DECODER + key for key in [*rosinality.names(config).values(), *rosinality.filters(config)])


FORMAT: Final = Format(
    name="e4e",
    inputs=("e4e_ffhq_encode.pt",),
    description="encoder4editing: aligned faces to w+ codes",
    licence=LICENCE,
    convert=_convert,
)
