"""The layers to RGB that draw given pictures best, in closed form.

A generator's picture is a sum over its blocks, each a linear map of the block's features. So the weights of these
maps that come nearest to given pictures, the features as they are, solve linear equations: a ridge regression of what
is still wrong. Left to itself it would also use features that only edits move, and edits would move less or more than
before; so what it adds shall stay the same when the codes go a little elsewhere.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.networks import Generator
from seamline.networks.modulated_conv import upsample
from seamline.networks.stylegan2 import SynthesisBlock, ToRgb
from seamline.tuning import Precision, compute

SIDE = 32
"""Side in pixels at which pictures are compared; 64 gains 0.4 dB more and takes 4 times as long."""
RIDGE = 1e-3
"""Penalty of squared weights, of the mean squared feature."""
STILLNESS = 0.3
"""Weight of what is added changing with the codes, against the error of the pictures."""
ELSEWHERE = 0.5
"""How far towards random codes that is looked at."""
SEED = 1


def fit_rgb(generator: Generator, images: Tensor, codes: Tensor, precision: Precision) -> None:
    """Changes a generator's layers to RGB so that it draws pictures better.

    Args:
        generator: changed in place.
        images: (B, 3, R, R) in [-1, 1].
        codes: (B, L, w_dim), theirs.
        precision: of the networks' activations.
    """
    z = torch.randn(len(codes), generator.config.z_dim, generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        features, drawn = _features(generator, codes, precision)
        moved, _ = _features(generator, codes.lerp(generator.mapping(z.to(codes.device)), ELSEWHERE), precision)
        error = _rows(_resized(images - drawn, generator.synthesis.blocks[0]))
        gram = features.T @ features
        change = moved - features
        ridge = RIDGE * gram.diagonal().mean()
        equations = gram + STILLNESS * change.T @ change + ridge * torch.eye(len(gram), device=gram.device)
        added = torch.linalg.solve(equations.double(), (features.T @ error).double()).float()
        *weights, bias = added.split([*(block.torgb.inputs for block in generator.synthesis.blocks), 1])
        for block, weight in zip(generator.synthesis.blocks, weights, strict=True):
            block.torgb.weight += weight.T[:, :, None, None]
        generator.synthesis.blocks[-1].torgb.bias += bias[0]


def _features(generator: Generator, codes: Tensor, precision: Precision) -> tuple[Tensor, Tensor]:
    """What the layers to RGB multiply with their weights, and a 1, (B·SIDE², C + 1); and the pictures."""
    with _inputs(generator) as inputs, compute(codes.device, precision):
        drawn = generator.synthesis(codes)
    one = torch.ones_like(inputs[0][:, :1])
    return torch.cat([*inputs, one], dim=1), drawn


@contextmanager
def _inputs(generator: Generator) -> Iterator[list[Tensor]]:
    """Collects the rows of all layers to RGB, coarse to fine, as pictures are drawn."""
    found: list[Tensor] = []
    blocks = generator.synthesis.blocks

    def collect(layer: nn.Module, inputs: tuple[Tensor, Tensor], _: Tensor) -> None:
        x, styles = inputs
        scaled = x.float() * (styles.float() * cast(ToRgb, layer).weight_gain)[:, :, None, None]
        found.append(_rows(_resized(scaled, blocks[0])))

    hooks = [block.torgb.register_forward_hook(collect) for block in blocks]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _resized(x: Tensor, block: SynthesisBlock) -> Tensor:
    """(B, C, s, s) to (B, C, SIDE, SIDE): upwards as the generator does it, downwards by means."""
    while x.shape[-1] < SIDE:
        x = upsample(x, block.resample_filter)
    return F.avg_pool2d(x, x.shape[-1] // SIDE)


def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).flatten(0, 2)
