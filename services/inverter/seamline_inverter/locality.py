"""PTI's locality regularisation: what the generator draws away from the pivots shall not change."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from seamline.networks import Generator


@dataclass(frozen=True, kw_only=True)
class LocalityConfig:
    """The defaults are PTI's, as Stitch it in Time has them."""

    alpha: float = 30.0
    """Distance from the pivot, in W+, at which the generator is held."""
    l2_weight: float = 0.1
    """Weight of the mean squared change."""
    perceptual_weight: float = 0.1
    """Weight of the perceptual change."""
    psi: float = 0.5
    """Truncation of the random codes towards which the pivot is moved."""


def locality_loss(
    tuned: Generator,
    original: Generator,
    pivot: Tensor,
    perceptual: Callable[[Tensor, Tensor], Tensor],
    config: LocalityConfig,
    seed: int,
) -> Tensor:
    """Weighted change at a code drawn anew for every seed.

    Args:
        tuned: the generator in tuning.
        original: the same before tuning.
        pivot: (1, L, w_dim).
        perceptual: distance of two batches of images.
        config: weights and distance.
        seed: of the random code.

    Returns:
        A scalar.
    """
    z = torch.randn(1, tuned.config.z_dim, generator=torch.Generator().manual_seed(seed)).to(pivot.device)
    l2, distance = locality_terms(tuned, original, pivot, z, perceptual, config)
    return config.l2_weight * l2 + config.perceptual_weight * distance


def locality_terms(
    tuned: Generator,
    original: Generator,
    pivot: Tensor,
    z: Tensor,
    perceptual: Callable[[Tensor, Tensor], Tensor],
    config: LocalityConfig,
) -> tuple[Tensor, Tensor]:
    """Change of the picture at `alpha` from the pivot (1, L, w_dim) towards the code of z (1, z_dim).

    Returns:
        Mean squared change and perceptual change, scalars.
    """
    with torch.no_grad():
        towards = original.mapping(z, psi=config.psi) - pivot
        codes = pivot + config.alpha * towards / towards.norm()
        before = original.synthesis(codes, noise="none")
    after = tuned.synthesis(codes, noise="none")
    return (after - before).square().mean(), perceptual(after, before).float().mean()
