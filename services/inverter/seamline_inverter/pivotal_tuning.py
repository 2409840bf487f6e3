"""Pivotal tuning (PTI, Roich et al. 2021, arXiv:2106.05744): a generator learns to draw given faces."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seamline.networks import Generator
from seamline.tuning import (
    INVERT_RANGES,
    Precision,
    batch_order,
    check_range,
    check_ranges,
    compute,
    to_images,
    with_fast_layout,
)
from seamline_inverter.locality import LocalityConfig, locality_loss
from seamline_inverter.tuned_state import restore_tuned, tuned_state

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""Distance of two batches of images (B, 3, R, R) in [-1, 1]: (B,), differentiable in the first."""


@dataclass(frozen=True, kw_only=True)
class TuningConfig:
    """How a generator is tuned. The defaults are those of Stitch it in Time: a frame per update, float32."""

    max_passes: int = 80
    """Upper bound of passes over a track's frames (STIT)."""
    learning_rate: float = 3e-5
    """Adam's step size (STIT)."""
    l2_weight: float = 10.0
    """Weight of the mean squared error (STIT)."""
    perceptual_weight: float = 1.0
    """Weight of the perceptual distance (PTI)."""
    target_psnr_db: float = 0.0
    """Tuning ends with the first pass whose mean PSNR is at least this; 0 runs every pass."""
    locality: LocalityConfig | None = None
    """Holds the generator in place away from the pivots (PTI); None, as in STIT, does not."""
    batch_size: int = 1
    """Frames per update."""
    seed: int | None = None
    """Draws the order of the frames in every pass; None keeps the order of the video."""
    precision: Precision = "float32"
    """Number format of the networks' activations."""

    def __post_init__(self) -> None:
        check_ranges(self, INVERT_RANGES)
        check_range(self, "batch_size", 1, 1024)


@dataclass(frozen=True, kw_only=True)
class BatchFigures:
    """Losses of each frame of one batch, before the update they caused; all (B,) float32."""

    frames: Tensor
    l2: Tensor
    perceptual: Tensor
    total: Tensor

    @property
    def psnr_db(self) -> Tensor:
        """Peak signal-to-noise ratio of each frame (B,); images span 2."""
        return psnr_db(self.l2)


def psnr_db(l2: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of images in [-1, 1] from their mean squared errors."""
    return 10 * torch.log10(4 / l2.clamp_min(1e-10))


class PivotalTuning:
    """Tunes one generator to one track. What it did so far can be saved and taken up again, bit for bit."""

    def __init__(self, generator: Generator, perceptual: Perceptual, config: TuningConfig) -> None:
        """Takes over a generator.

        Args:
            generator: changed in place; its mapping network stays as it is.
            perceptual: see `Perceptual`.
            config: how to tune.
        """
        self.generator = with_fast_layout(generator, config.precision)
        self.config = config
        self._perceptual = perceptual
        self._original = _frozen_copy(generator) if config.locality else None
        generator.requires_grad_(False)
        generator.synthesis.requires_grad_(True)
        self._optimizer = torch.optim.Adam(generator.synthesis.parameters(), lr=config.learning_rate, fused=True)

    def run_group(self, visit: int, pivots: Tensor, crops: NDArray[np.uint8]) -> Iterator[BatchFigures]:
        """Goes once over frames that are in memory together.

        Args:
            visit: number of this call, from 0; the frames' order depends on it.
            pivots: (N, L, w_dim).
            crops: (N, R, R, 3).

        Yields:
            The figures of every batch, after its update.
        """
        for frames in batch_order(len(crops), self.config.batch_size, seed=self.config.seed, turn=visit):
            yield self.update(pivots[frames], to_images(crops[frames.numpy()], pivots.device), frames)

    def update(self, pivots: Tensor, images: Tensor, frames: Tensor) -> BatchFigures:
        """Takes one optimiser step on a batch: pivots (B, L, w_dim), images (B, 3, R, R)."""
        config = self.config
        with compute(pivots.device, config.precision):
            drawn = self.generator.synthesis(pivots)
            perceptual = self._perceptual(drawn, images).float().flatten()
        l2 = (drawn - images).square().mean((1, 2, 3))
        total = config.l2_weight * l2 + config.perceptual_weight * perceptual
        loss = total.mean()
        if config.locality and self._original:
            with compute(pivots.device, config.precision):
                loss = loss + locality_loss(
                    self.generator,
                    self._original,
                    pivots[:1],
                    self._perceptual,
                    config.locality,
                    self._updates(),
                )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return BatchFigures(frames=frames, l2=l2.detach(), perceptual=perceptual.detach(), total=total.detach())

    def scale_rate(self, share: float) -> None:
        """Makes Adam's step size a share of the configured one."""
        for group in self._optimizer.param_groups:
            group["lr"] = share * self.config.learning_rate

    def state(self) -> dict[str, Tensor]:
        """Weights and optimiser state, by name, as `restore` takes them."""
        return tuned_state(self._parameters(), self._optimizer)

    def restore(self, state: dict[str, Tensor]) -> None:
        """Takes up where the tuning that gave `state` was."""
        restore_tuned(self._parameters(), self._optimizer, state)

    def _parameters(self) -> dict[str, torch.nn.Parameter]:
        return dict(self.generator.synthesis.named_parameters())

    def _updates(self) -> int:
        """Optimiser steps taken so far."""
        state: dict[str, Any] = next(iter(self._optimizer.state.values()), {})
        return int(state.get("step", 0))


def _frozen_copy(generator: Generator) -> Generator:
    copy = Generator(generator.config).to(generator.synthesis.blocks[0].const.device)
    copy.load_state_dict(generator.state_dict())
    return copy.requires_grad_(False)
