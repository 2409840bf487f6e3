"""Directions that need no labels: where a generator's pictures change most.

SeFa (Shen and Zhou 2021, arXiv:2007.06600) takes the directions in W that the styles' weights amplify most. GANSpace
(Härkönen et al. 2020, arXiv:2004.02546) takes the principal components of random codes, which says something where a
mapping network has shaped W. Neither knows what its directions mean: one looks at them, limits them to the layers where
they do one thing, and names those that are of use.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import cast

import torch
from torch import Tensor

from seamline.bundles import Bundle
from seamline.editing.fit import random_codes
from seamline.errors import InvalidInput
from seamline.networks.stylegan2 import Generator

SAMPLES, SEED = 10_000, 0
"""Random codes of which the components are taken, and whose spread is the unit."""


class Method(StrEnum):
    """How directions are found."""

    GANSPACE = "ganspace"
    """Principal components of codes."""
    SEFA = "sefa"
    """Eigenvectors of the styles' weights."""


def discovered(bundle: Bundle, method: Method, count: int, layers: tuple[int, int] | None = None) -> Tensor:
    """The first directions of a method, most important first.

    Args:
        bundle: Whose generator.
        method: Where to look.
        count: How many.
        layers: Codes [first, end) that a direction moves, and whose weights SeFa looks at; all if left out.

    Returns:
        (count, num_ws, w_dim). A strength of 1 is one standard deviation of random codes; the sign is that of the
        largest coordinate.

    Raises:
        InvalidInput: More directions than codes have dimensions, or no such layers.
    """
    first, end = layers or (0, bundle.num_ws)
    if not 0 <= first < end <= bundle.num_ws:
        raise InvalidInput(f"layers {first}-{end - 1} are not among 0-{bundle.num_ws - 1}", field="layers")
    if not 0 < count <= bundle.w_dim:
        raise InvalidInput(f"there are 1 to {bundle.w_dim} directions in W, not {count}", field="count")
    codes = random_codes(bundle, max(SAMPLES, count), SEED)
    centred = codes - codes.mean(0)
    found = _METHODS[method](bundle, centred, range(first, end))[:count]
    largest = found.gather(1, found.abs().argmax(1, keepdim=True))
    found = found * largest.sign() * (centred @ found.T).std(0)[:, None]
    directions = torch.zeros(count, bundle.num_ws, bundle.w_dim)
    directions[:, first:end] = found[:, None]
    return directions


def _components(bundle: Bundle, centred: Tensor, codes: range) -> Tensor:
    """Unit principal components (w_dim, w_dim) of codes (N, w_dim), largest first."""
    return torch.linalg.eigh(centred.T @ centred).eigenvectors.T.flip(0)


def _amplified(bundle: Bundle, centred: Tensor, codes: range) -> Tensor:
    """Unit directions (w_dim, w_dim), those first that the convolutions' styles follow most."""
    weights = [weight for code, weight in _style_weights(cast(Generator, bundle.module("generator"))) if code in codes]
    # Each style channel counts alike, however loud it is.
    rows = torch.cat([weight / weight.norm(dim=1, keepdim=True).clamp_min(1e-8) for weight in weights])
    return torch.linalg.eigh(rows.T @ rows).eigenvectors.T.flip(0)


def _style_weights(generator: Generator) -> list[tuple[int, Tensor]]:
    """(code, (channels, w_dim)) of every convolution, without toRGB: what is drawn, not its colours' mixture."""
    found, code = [], 0
    for block in generator.synthesis.blocks:
        *convolutions, _ = block.styled_layers()
        for layer in convolutions:
            found.append((code, layer.affine.weight.detach().float().cpu()))
            code += 1
    return found


_METHODS: dict[Method, Callable[[Bundle, Tensor, range], Tensor]] = {
    Method.GANSPACE: _components,
    Method.SEFA: _amplified,
}
