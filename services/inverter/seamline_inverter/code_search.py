"""The code of a picture by optimisation, as pivotal tuning's own first step finds it (Roich et al. 2021)."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi

import torch
import torch.nn.functional as F
from torch import Tensor

from seamline.networks import Generator
from seamline.tuning import Precision, check_finite, check_range, compute
from seamline_inverter.pivotal_tuning import Perceptual

RAMP_UP, RAMP_DOWN = 0.05, 0.25
"""Shares of the steps over which the rate rises, and falls again (PTI)."""
LARGEST_SIDE = 256
"""Side in pixels at which pictures are compared (PTI)."""
PATIENCE = 20
"""Steps without a gain after which a search ends."""
LEAST_GAIN = 1e-3
"""What the mean loss must lose, as a share of it, to count as a gain."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How codes are searched for. The rate is PTI's, from whose 450 steps the encoder's guess saves two thirds."""

    pivot_steps: int = 150
    """Upper bound of steps."""
    pivot_learning_rate: float = 5e-3
    """Adam's largest step size (PTI)."""

    def __post_init__(self) -> None:
        check_range(self, "pivot_steps", 1, 10_000)
        check_range(self, "pivot_learning_rate", 1e-8, 1)


def rate(config: SearchConfig, step: int) -> float:
    """Learning rate of a step, counted from 0: a linear rise, a plateau, and half a cosine down to 0."""
    share = step / config.pivot_steps
    down = (1 - cos(pi * min(1.0, (1 - share) / RAMP_DOWN))) / 2
    return config.pivot_learning_rate * down * min(1.0, share / RAMP_UP)


def search(
    generator: Generator,
    perceptual: Perceptual,
    images: Tensor,
    start: Tensor,
    config: SearchConfig,
    precision: Precision,
    on_step: Callable[[float], None],
) -> Tensor:
    """Looks for one code of W per picture; each is found as if it were alone, but that all stop together.

    Args:
        generator: draws; its own weights need no gradients.
        perceptual: see `Perceptual`.
        images: (B, 3, R, R) in [-1, 1].
        start: (B, w_dim), where the search begins.
        config: how far and how fast.
        precision: of the networks' activations.
        on_step: told of the mean loss after each step; may raise.

    Returns:
        Codes (B, w_dim), as they were when their mean loss was lowest.

    Raises:
        InvalidInput: the search diverged.
    """
    codes = start.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([codes], lr=0.0)
    goal, best, lowest, gained_at = _reduced(images), codes.detach().clone(), float("inf"), 0
    for step in range(config.pivot_steps):
        optimizer.param_groups[0]["lr"] = rate(config, step)
        with compute(images.device, precision):
            drawn = generator.synthesis(codes.unsqueeze(1).expand(-1, generator.config.num_ws, -1))
            losses = perceptual(_reduced(drawn), goal).float().flatten()
        loss = losses.mean().item()
        check_finite(loss, config.pivot_learning_rate)
        if loss < lowest:
            gained_at = step if loss < lowest * (1 - LEAST_GAIN) else gained_at
            best, lowest = codes.detach().clone(), loss
        if step - gained_at >= PATIENCE:
            break
        optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        optimizer.step()
        on_step(loss)
    return best


def _reduced(images: Tensor) -> Tensor:
    side = images.shape[-1]
    return F.avg_pool2d(images, side // LARGEST_SIDE) if side > LARGEST_SIDE else images
