"""Stitching tuning (Tzaban et al. 2022, arXiv:2201.08361, section 4.4).

A copy of the generator learns to draw the source in the border around the edited face, while inside it
keeps the edit. Stitch it in Time gives every frame a copy of its own. Here neighbouring frames may share one,
and each may have offsets of its own to the styles: one pass of a batch then serves them all, and what they
share does not flicker. One frame to a copy and no offsets is the published method.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from seamline.editing.edit import EditedCodes
from seamline.networks import Generator
from seamline.tuning import STITCH_RANGES, Precision, batch_order, check_range, check_ranges, compute

UPDATES = 8
"""Optimiser steps in which a group's frames are gone over once, if there are as many: the few frames at a video's end
would otherwise be left with a few updates, and a visible seam."""


@dataclass(frozen=True, kw_only=True)
class StitchingConfig:
    """How a generator is tuned to the border. The defaults are those of Stitch it in Time."""

    max_steps: int = 100
    """Upper bound of optimiser steps that a frame takes part in (STIT)."""
    learning_rate: float = 3e-4
    """Adam's step size for the weights (STIT)."""
    content_weight: float = 0.01
    """Weight of the loss inside the face (STIT)."""
    target_border_loss: float = 0.0
    """Frames that share a copy stop when their mean border loss falls to this; 0 takes every step."""
    frames_together: int = 1
    """Most frames that share a copy of the generator."""
    style_learning_rate: float = 0.0
    """Adam's step size for each frame's own offsets to the styles; 0 leaves them out, and then an edit in S-space keeps
    the styles that it asks for, whatever becomes of the layers that make them (STIT)."""
    final_rate: float = 1.0
    """Share of both step sizes that is left at the last step, to which they fall linearly; 1 keeps them (STIT)."""
    batch_size: int = 1
    """Most frames in one optimiser step; a group takes fewer where it would not make `UPDATES` of them."""
    seed: int | None = None
    """Draws the order of the frames in every pass; None keeps the order of the video."""
    precision: Precision = "float32"
    """Number format of the networks' activations."""

    def __post_init__(self) -> None:
        check_ranges(self, STITCH_RANGES)
        check_range(self, "frames_together", 1, 100_000)
        check_range(self, "final_rate", 0, 1)
        check_range(self, "batch_size", 1, 1024)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What N frames should look like."""

    codes: EditedCodes
    """What to draw."""
    source: Tensor
    """(N, 3, R, R) in [-1, 1], to be met in the border."""
    edit: Tensor
    """(N, 3, R, R) in [-1, 1], to be kept inside: what the untouched generator draws."""
    border: Tensor
    """(N, 1, R, R) in 0..1."""
    content: Tensor
    """(N, 1, R, R) in 0..1."""

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, frames: slice | Tensor) -> "Goal":
        return Goal(**{name: getattr(self, name)[frames] for name in self.__dataclass_fields__})

    def border_loss(self, images: Tensor) -> Tensor:
        """How far images (N, 3, R, R) are from the source in the border: (N,)."""
        return masked_loss(images, self.source, self.border)

    def content_loss(self, images: Tensor) -> Tensor:
        """How far images (N, 3, R, R) are from the edit inside: (N,)."""
        return masked_loss(images, self.edit, self.content)


@dataclass(frozen=True, kw_only=True)
class StitchedCrops:
    """The outcome for N frames."""

    images: Tensor
    """(N, 3, R, R)."""
    steps: list[int]
    """Optimiser steps that each frame took part in."""


OnStep = Callable[[Tensor, Tensor], None]
"""Told of the border losses and total losses (B,) of a batch, before the update they cause."""


def masked_loss(images: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Σ(mask · error)² / Σ mask of each sample, as STIT weighs it.

    Args:
        images: (B, 3, R, R).
        targets: (B, 3, R, R).
        mask: (B, 1, R, R) in 0..1; where it is empty the loss is 0.

    Returns:
        (B,).
    """
    error = (images * mask - targets * mask).square().sum((1, 2, 3))
    return error / mask.sum((1, 2, 3)).clamp_min(1)


def stitch(generator: Generator, goal: Goal, config: StitchingConfig, on_step: OnStep) -> StitchedCrops:
    """Tunes copies of the generator to frames, which are taken `frames_together` at a time.

    Args:
        generator: not changed.
        goal: the frames.
        config: how to tune.
        on_step: called at every optimiser step; may raise to stop.
    """
    groups = [_Group(generator, goal[part], config, on_step) for part in _parts(len(goal), config)]
    images = torch.cat([group.run() for group in groups])
    return StitchedCrops(images=images, steps=[steps for group in groups for steps in group.steps.tolist()])


def _parts(count: int, config: StitchingConfig) -> list[slice]:
    """Runs of consecutive frames, of nearly equal length."""
    groups = -(-count // config.frames_together)
    edges = [count * index // groups for index in range(groups + 1)]
    return [slice(start, end) for start, end in pairwise(edges)]


class _Group:
    """Frames that share a copy of the generator.

    Attributes:
        steps: optimiser steps that each frame took part in (N,).
    """

    def __init__(self, generator: Generator, goal: Goal, config: StitchingConfig, on_step: OnStep) -> None:
        self.steps = torch.zeros(len(goal), dtype=torch.int64)
        self._goal, self._config, self._on_step, self._generator = goal, config, on_step, generator
        self._losses = torch.full((len(goal),), torch.inf)

    def run(self) -> Tensor:
        """Tunes, and draws every frame with the final weights: (N, 3, R, R)."""
        tuned = _Tuned(self._generator, self._goal.codes, self._config)
        for frames in self._batches():
            total = self._losses_of(tuned, frames)
            if self._met():
                break
            tuned.update(total.mean(), self._share())
            self.steps[frames] += 1
        with torch.no_grad():
            batches = torch.arange(len(self._goal)).split(self._config.batch_size)
            return torch.cat([tuned.draw(frames) for frames in batches])

    def _batches(self) -> Iterator[Tensor]:
        config, count = self._config, len(self._goal)
        size = min(config.batch_size, -(-count // UPDATES))
        for turn in range(config.max_steps):
            yield from batch_order(count, size, seed=config.seed, turn=turn)

    def _losses_of(self, tuned: "_Tuned", frames: Tensor) -> Tensor:
        """Total losses (B,) of a batch, which has been reported."""
        goal = self._goal[frames]
        images = tuned.draw(frames)
        border = goal.border_loss(images)
        total = border + self._config.content_weight * goal.content_loss(images)
        self._losses[frames] = border.detach().cpu()
        self._on_step(border.detach(), total.detach())
        return total

    def _share(self) -> float:
        """How much of all the steps is done, 0 to 1."""
        return self.steps.float().mean().item() / self._config.max_steps

    def _met(self) -> bool:
        """Whether the frames' latest border losses, all of them known, are at the target."""
        target = self._config.target_border_loss
        return target > 0 and self._losses.mean().item() <= target


class _Tuned:
    """A copy of the generator in tuning, with what each frame has of its own beside it."""

    def __init__(self, generator: Generator, codes: EditedCodes, config: StitchingConfig) -> None:
        self._codes, self._config = codes, config
        self._generator = copy.deepcopy(generator).requires_grad_(False)
        self._generator.synthesis.requires_grad_(True)
        groups: list[dict[str, Any]] = [
            {"params": [*self._generator.synthesis.parameters()], "peak": config.learning_rate}
        ]
        self._held = self._drawn_styles() if codes.styles and not config.style_learning_rate else []
        self._styles = self._style_offsets() if config.style_learning_rate else []
        if self._styles:
            groups.append({"params": self._styles, "peak": config.style_learning_rate})
        self._optimizer = torch.optim.Adam(groups, fused=True)

    def draw(self, frames: Tensor) -> Tensor:
        """Images (B, 3, R, R) of some of the frames."""
        with compute(self._codes.codes.device, self._config.precision):
            if self._held:
                return self._generator.synthesis_from_styles([style[frames] for style in self._held])
            styles = self._codes[frames].styles_in(self._generator)
            if self._styles:
                styles = [style + own[frames] for style, own in zip(styles, self._styles, strict=True)]
            return self._generator.synthesis_from_styles(styles)

    def update(self, loss: Tensor, share: float) -> None:
        """Takes one optimiser step down a scalar loss, when a share of all steps is done."""
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * (1 - share * (1 - self._config.final_rate))
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()

    def _style_offsets(self) -> list[Tensor]:
        """Zeros (N, channels) for every layer."""
        return [torch.zeros_like(style).requires_grad_() for style in self._drawn_styles()]

    @torch.no_grad()
    def _drawn_styles(self) -> list[Tensor]:
        """What the edits ask for before any tuning, (N, channels) for every layer."""
        return self._codes.styles_in(self._generator)
