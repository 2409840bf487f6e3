"""`fs3.npy` and `S_mean_std`: StyleCLIP's measurements for global directions on the FFHQ generator."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from seamline.bundles.relevance import Relevance
from seamline.checkpoints.formats.format import Format
from seamline.checkpoints.formats.pinned import REMEDY
from seamline.checkpoints.network_file import Converted
from seamline.checkpoints.reading import read_checkpoint
from seamline.errors import InvalidInput

LICENCE: Final = "MIT (orpatashnik/StyleCLIP); measured on NVIDIA's FFHQ generator, non-commercial"
BETA: Final = 0.2
"""Stitch it in Time's default."""


def _convert(paths: Sequence[Path]) -> Converted:
    relevance, statistics = paths
    mean, std = _statistics(statistics)
    embeddings = _floats(relevance, read_checkpoint(relevance), "the array", dimensions=2)
    if len(embeddings) != len(mean):
        raise InvalidInput(
            f"{relevance}: has {len(embeddings)} rows, {statistics.name} has {len(mean)} style channels of "
            f"convolutions; {REMEDY}",
            path=relevance,
        )
    if bool((std < 0).any()):
        raise InvalidInput(f"{statistics}: has negative standard deviations; {REMEDY}", path=statistics)
    measured = Relevance(embeddings=embeddings, mean=mean, std=std, beta=BETA)
    return Converted(
        kind="relevance",
        config={"beta": BETA},
        tensors=measured.tensors(),
        licence=LICENCE,
        source=f"{relevance.name}, {statistics.name}",
    )


def _statistics(path: Path) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (C,) of the style channels of all convolutions, coarse to fine.

    The file has a list of each, with one array per layer in the order of `Generator.styles`: a convolution and toRGB
    at 4 px, then two convolutions and toRGB at every further resolution. Edits leave toRGB alone.
    """
    found = read_checkpoint(path)
    if not isinstance(found, list | tuple) or len(found) != 2:
        raise InvalidInput(f"{path}: is no pair of mean and standard deviation; {REMEDY}", path=path)
    mean, std = (_layers(path, part, what) for part, what in zip(found, ("mean", "std"), strict=True))
    sizes = [len(layer) for layer in mean]
    if sizes != [len(layer) for layer in std]:
        raise InvalidInput(f"{path}: mean and std differ in their sizes; {REMEDY}", path=path)
    if not _is_pyramid(sizes):
        raise InvalidInput(f"{path}: layers of {sizes} style channels are of no StyleGAN2; {REMEDY}", path=path)
    kept = [index for index in range(len(sizes)) if index % 3 != 1]
    return torch.cat([mean[index] for index in kept]), torch.cat([std[index] for index in kept])


def _is_pyramid(sizes: Sequence[int]) -> bool:
    """Whether layers take as many channels as the layer before them makes."""
    whole = len(sizes) % 3 == 2
    to_rgb = all(sizes[index] == sizes[index - 1] for index in range(1, len(sizes), 3))
    above = all(sizes[index] == sizes[index - 2] for index in range(2, len(sizes), 3))
    return whole and to_rgb and above and all(fine <= coarse for coarse, fine in pairwise(sizes))


def _layers(path: Path, found: Any, what: str) -> list[Tensor]:
    if not isinstance(found, list | tuple) or not found:
        raise InvalidInput(f"{path}: its {what} is no list of arrays, one per layer; {REMEDY}", path=path)
    return [_floats(path, layer, f"{what} of layer {index}", dimensions=1) for index, layer in enumerate(found)]


def _floats(path: Path, found: Any, what: str, dimensions: int) -> Tensor:
    """An array as float32."""
    if not isinstance(found, np.ndarray | Tensor):
        raise InvalidInput(f"{path}: {what} is a {type(found).__name__}, wanted an array; {REMEDY}", path=path)
    values = torch.as_tensor(found)
    if not values.is_floating_point() or values.ndim != dimensions or not values.numel():
        shape, kind = tuple(values.shape), values.dtype
        raise InvalidInput(
            f"{path}: {what} is {kind} of shape {shape}, wanted fractions in {dimensions} dimensions; {REMEDY}",
            path=path,
        )
    if not bool(values.isfinite().all()):
        raise InvalidInput(f"{path}: {what} holds NaN or infinity; {REMEDY}", path=path)
    return values.float()


FORMAT: Final = Format(
    name="styleclip",
    inputs=("fs3.npy", "S_mean_std"),
    description="relevance of the FFHQ generator's style channels in ViT-B/32's space, for edits from texts",
    licence=LICENCE,
    convert=_convert,
)
