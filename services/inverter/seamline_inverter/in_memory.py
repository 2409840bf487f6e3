"""Pivotal tuning of pictures that are at hand; `track_inversion` is what the service does with those in a store."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from seamline.networks import Generator
from seamline.tuning import batch_order, check_finite
from seamline_inverter.pivotal_tuning import BatchFigures, Perceptual, PivotalTuning, TuningConfig


@dataclass(frozen=True, kw_only=True)
class TunedGenerator:
    """The outcome of P passes over N frames. Losses are (P, N) float32, each from before the update it caused."""

    generator: Generator
    """Frozen again."""
    total: Tensor
    l2: Tensor
    perceptual: Tensor


def tune(
    generator: Generator, perceptual: Perceptual, pivots: Tensor, images: Tensor, config: TuningConfig
) -> TunedGenerator:
    """Tunes a copy of a generator to pictures; with the config's defaults as Stitch it in Time does.

    Args:
        generator: not changed.
        perceptual: see `Perceptual`; an `Lpips` is one.
        pivots: (N, L, w_dim), one code per picture.
        images: (N, 3, R, R) in [-1, 1].
        config: how to tune; all of `max_passes` are run, unless a target is set and met.

    Raises:
        InvalidInput: the tuning diverged.
    """
    tuning = PivotalTuning(copy.deepcopy(generator), perceptual, config)
    passes: list[Tensor] = []
    for turn in range(config.max_passes):
        passes.append(_one_pass(tuning, pivots, images, turn))
        if config.target_psnr_db and passes[-1][3].mean() >= config.target_psnr_db:
            break
    total, l2, distances, _ = torch.stack(passes, dim=1)
    return TunedGenerator(generator=tuning.generator.requires_grad_(False), total=total, l2=l2, perceptual=distances)


def _one_pass(tuning: PivotalTuning, pivots: Tensor, images: Tensor, turn: int) -> Tensor:
    """Total, L2, perceptual loss and PSNR of every frame: (4, N)."""
    config, seen = tuning.config, torch.empty(4, len(images))
    for frames in batch_order(len(images), config.batch_size, seed=config.seed, turn=turn):
        figures = tuning.update(pivots[frames], images[frames], frames)
        check_finite(figures.total.mean().item(), config.learning_rate)
        seen[:, frames] = _columns(figures)
    return seen


def _columns(figures: BatchFigures) -> Tensor:
    return torch.stack([figures.total, figures.l2, figures.perceptual, figures.psnr_db]).cpu()
