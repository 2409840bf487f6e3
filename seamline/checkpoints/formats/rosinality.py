"""`stylegan2-ffhq-config-f.pt`: generators of rosinality's stylegan2-pytorch, which also lie in e4e's checkpoints.

That project scales convolutions by a constant, which demodulation takes out again; so its weights are ours as they are.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from seamline.bundles.manifest import ConfigValue
from seamline.checkpoints.formats.format import Format
from seamline.checkpoints.formats.inferred import fitting_shapes, shape_of
from seamline.checkpoints.formats.pinned import checked, part, table
from seamline.checkpoints.network_file import Converted
from seamline.checkpoints.reading import read_checkpoint
from seamline.networks.stylegan2 import GeneratorConfig, binomial_filter

LICENCE: Final = "Nvidia Source Code License (non-commercial); trained on FFHQ, CC BY-NC-SA 4.0"
AVERAGE: Final = "mapping.w_avg"


def names(config: GeneratorConfig) -> dict[str, str]:
    """This format's key for every learned tensor of ours, but for the average code."""
    ours = {}
    for index in range(config.mapping_layers):
        ours |= {f"mapping.fc{index}.{part}": f"style.{index + 1}.{part}" for part in ("weight", "bias")}
    ours["synthesis.b4.const"] = "input.input"
    ours |= _layer("b4.conv1", "conv1", 0) | _to_rgb("b4", "to_rgb1")
    for level, side in enumerate(config.resolutions[1:]):
        for offset in range(2):
            number = 2 * level + offset
            ours |= _layer(f"b{side}.conv{offset}", f"convs.{number}", number + 1)
        ours |= _to_rgb(f"b{side}", f"to_rgbs.{level}")
    return ours


def filters(config: GeneratorConfig) -> list[str]:
    """Keys of this format's filters, which are constants of ours."""
    levels = range(len(config.resolutions) - 1)
    return [
        key for level in levels for key in (f"convs.{2 * level}.conv.blur.kernel", f"to_rgbs.{level}.upsample.kernel")
    ]


def _layer(ours: str, theirs: str, noise: int) -> dict[str, str]:
    return {
        f"synthesis.{ours}.weight": f"{theirs}.conv.weight",
        f"synthesis.{ours}.bias": f"{theirs}.activate.bias",
        f"synthesis.{ours}.noise_strength": f"{theirs}.noise.weight",
        f"synthesis.{ours}.noise_const": f"noises.noise_{noise}",
        **_affine(ours, theirs),
    }


def _to_rgb(ours: str, theirs: str) -> dict[str, str]:
    return {
        f"synthesis.{ours}.torgb.weight": f"{theirs}.conv.weight",
        f"synthesis.{ours}.torgb.bias": f"{theirs}.bias",
        **_affine(f"{ours}.torgb", theirs),
    }


def _affine(ours: str, theirs: str) -> dict[str, str]:
    return {f"synthesis.{ours}.affine.{part}": f"{theirs}.conv.modulation.{part}" for part in ("weight", "bias")}


def _shape(key: str, shape: torch.Size) -> torch.Size:
    """Of this format's tensor, which has dimensions of size 1 that ours has not."""
    if key.startswith("noises."):
        return torch.Size((1, 1, *shape))
    if re.fullmatch(r"to_rgb.*\d\.bias", key):
        return torch.Size((1, *shape, 1, 1))
    if key == "input.input" or key.endswith((".conv.weight", ".noise.weight")):
        return torch.Size((1, *shape))
    return shape


def _config(path: Path, state: Mapping[str, Any]) -> dict[str, ConfigValue]:
    numbers = [int(match[1]) for key in state if (match := re.match(r"to_rgbs\.(\d)\.", key))]
    layers = {int(match[1]) for key in state if (match := re.match(r"style\.(\d{1,2})\.", key))}
    last = max(numbers, default=0)
    resolution = 8 << last
    return {
        "resolution": resolution,
        "z_dim": shape_of(path, state, "style.1.weight", 2)[1],
        "w_dim": shape_of(path, state, "style.1.weight", 2)[0],
        "mapping_layers": len(layers),
        "channel_base": resolution * shape_of(path, state, f"convs.{2 * last + 1}.activate.bias", 1)[0],
        "channel_max": shape_of(path, state, "input.input", 4)[1],
    }


def _convert(paths: Sequence[Path]) -> Converted:
    (path,) = paths
    found = read_checkpoint(path)
    state, average = table(path, part(path, found, "g_ema"), "g_ema"), part(path, found, "latent_avg")
    config = _config(path, state)
    own = fitting_shapes(path, "generator", config)
    theirs = names(GeneratorConfig(**config))  # pyright: ignore[reportArgumentType]
    wanted = {key: _shape(key, own[name]) for name, key in theirs.items()} | {"latent_avg": own[AVERAGE]}
    kernels = dict.fromkeys(filters(GeneratorConfig(**config)), binomial_filter().shape)  # pyright: ignore[reportArgumentType]
    tensors = checked(path, {**state, "latent_avg": average}, wanted | kernels)
    converted = {name: tensors[key].reshape(own[name]) for name, key in theirs.items()}
    constants = {name: binomial_filter() for name in own if name.endswith("resample_filter")}
    return Converted(
        kind="generator",
        config=config,
        tensors=converted | constants | {AVERAGE: tensors["latent_avg"]},
        licence=LICENCE,
        source=path.name,
    )


FORMAT: Final = Format(
    name="stylegan2-rosinality",
    inputs=("stylegan2-ffhq-config-f.pt",),
    description="StyleGAN2 generator, as rosinality's stylegan2-pytorch saves it",
    licence=LICENCE,
    convert=_convert,
)
