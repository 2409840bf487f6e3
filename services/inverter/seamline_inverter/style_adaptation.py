"""A generator learns a style from two texts: StyleGAN-NADA (Gal et al. 2022, arXiv:2108.00946).

A copy of the bundle's generator is tuned beside the original. Both draw the same random codes, and CLIP sees where the
copy's pictures have gone from the original's: it shall be where the texts go from the neutral one to the target. No
picture of the target is needed, and what the original makes of a code keeps its place and its pose.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from seamline.bundles import Bundle
from seamline.editing.fit import random_codes
from seamline.editing.styleclip import clip_of, text_direction, text_embedding
from seamline.networks import Generator
from seamline.networks.stylegan2 import SynthesisLayer
from seamline.tuning import Precision, check_finite, check_range, compute, with_fast_layout
from seamline_inverter.tuned_state import restore_tuned, tuned_state

LEAST_MOVE = 0.05
"""A shorter way between two embeddings has no direction yet; the copy begins where the original is."""
LOOK_SEED, CHOICE_SEED = 1_000_003, 2_000_003
"""Of the codes by which the copy is judged, and by which its layers are chosen, which no step learns from."""
LOOKED_AT = 8
"""Faces by which it is judged."""


@dataclass(frozen=True, kw_only=True)
class StyleConfig:
    """How a style is learned. The rate is StyleGAN-NADA's."""

    max_steps: int = 60
    """Upper bound of optimiser steps."""
    learning_rate: float = 2e-3
    """Adam's step size."""
    layers: int | None = None
    """Convolutions that a step may change; None for half of those that CLIP can judge."""
    batch_size: int = 4
    """Faces per step."""
    choice_steps: int = 10
    """Steps between two choices of the layers."""
    look_steps: int = 20
    """Steps between two looks at how far the style is learned."""
    least_gain: float = 0.02
    """What the loss must lose from one look to the next, as a share of it, or learning ends."""

    def __post_init__(self) -> None:
        check_range(self, "max_steps", 1, 10_000)
        check_range(self, "learning_rate", 1e-8, 0.1)
        if self.layers is not None:
            check_range(self, "layers", 1, 100)


def direction_loss(new: Tensor, old: Tensor, wanted: Tensor) -> Tensor:
    """1 - cosine between where pictures went and where texts go (the paper's equation 3).

    Args:
        new: (B, D), embeddings of the copy's pictures, of unit length.
        old: (B, D), of the original's.
        wanted: (D,), from the neutral text to the target, of unit length.

    Returns:
        (B,), 0 to 2; where the pictures are closer than `LEAST_MOVE` it is nearer to 1 than the cosine says.
    """
    moved = new - old
    return 1 - moved @ wanted / moved.norm(dim=1).clamp_min(LEAST_MOVE)


def judged_layers(generator: Generator, seen: int) -> list[SynthesisLayer]:
    """Convolutions, coarse to fine, of the blocks that draw no finer than CLIP sees.

    CLIP looks at pictures of `seen` pixels; a finer block would learn to please it with noise that it cannot see as
    such.
    """
    blocks = [
        block
        for block, side in zip(generator.synthesis.blocks, generator.config.resolutions, strict=True)
        if side < 2 * seen
    ]
    return [layer for block in blocks for layer in block.styled_layers() if isinstance(layer, SynthesisLayer)]


class StyleAdaptation:
    """Tunes one copy. What it did so far can be saved and taken up again, bit for bit.

    Attributes:
        steps: optimiser steps taken.
        looks: losses on faces that no step learned from, (steps // look_steps) of them.
    """

    def __init__(self, bundle: Bundle, neutral: str, target: str, config: StyleConfig, precision: Precision) -> None:
        """Begins with the bundle's generator as it is.

        Args:
            bundle: one with a CLIP.
            neutral: what the faces are.
            target: what they become.
            config: how to learn it.
            precision: of the networks' activations.

        Raises:
            InvalidInput: the texts mean the same.
        """
        self.steps, self.looks = 0, list[float]()
        self._bundle, self._config, self._clip = bundle, config, clip_of(bundle)
        self._precision: Precision = precision
        self._wanted = text_direction(bundle, neutral, target)
        self._target = text_embedding(bundle, target)
        self._original = cast(Generator, bundle.module("generator"))
        self.generator = with_fast_layout(bundle.generator()).requires_grad_(False)
        self._layers = judged_layers(self.generator, self._clip.config.image_size)
        self._optimizer = torch.optim.Adam(self._parameters().values(), lr=config.learning_rate, fused=True)

    @property
    def finished(self) -> bool:
        """Whether all steps are taken, or the last brought too little."""
        return self.steps >= self._config.max_steps or self._settled()

    @property
    def loss(self) -> float:
        """The latest look; learning that ends before the first takes one."""
        return self.looks[-1] if self.looks else self._look()

    @property
    def change(self) -> dict[str, Tensor]:
        """What was added to the synthesis network's parameters, by name; what no step changed is left out."""
        old = dict(self._original.synthesis.named_parameters())
        added = {name: (tuned - old[name]).detach() for name, tuned in self._parameters().items()}
        return {name: change for name, change in added.items() if change.any()}

    def update(self) -> float:
        """Takes one optimiser step and returns its loss, a mean over the batch.

        Raises:
            InvalidInput: the tuning diverged.
        """
        if self.steps % self._config.choice_steps == 0:
            self._choose_layers()
        loss = self._loss(self._codes(self._config.batch_size, self.steps))
        value = loss.item()
        check_finite(value, self._config.learning_rate)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        self.steps += 1
        if self.steps % self._config.look_steps == 0:
            self.looks.append(self._look())
        return value

    def state(self) -> dict[str, Tensor]:
        """All of it by name, as `restore` takes it."""
        chosen = [any(p.requires_grad for p in layer.parameters()) for layer in self._layers]
        return tuned_state(self._parameters(), self._optimizer) | {
            "steps": torch.tensor(self.steps),
            "looks": torch.tensor(self.looks, dtype=torch.float64),
            "chosen": torch.tensor(chosen),
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes up where the adaptation that gave `state` was."""
        restore_tuned(self._parameters(), self._optimizer, state)
        self.steps, self.looks = int(state["steps"]), state["looks"].tolist()
        self._open(state["chosen"].tolist())

    def _parameters(self) -> dict[str, nn.Parameter]:
        """Of the convolutions, each with its affine layer; the mapping network and toRGB stay as they are."""
        own = {id(parameter) for layer in self._layers for parameter in layer.parameters()}
        named = self.generator.synthesis.named_parameters()
        return {name: parameter for name, parameter in named if id(parameter) in own}

    def _settled(self) -> bool:
        return len(self.looks) > 1 and self.looks[-1] > self.looks[-2] * (1 - self._config.least_gain)

    def _codes(self, count: int, seed: int) -> Tensor:
        """Random codes (count, L, w_dim), one for all layers."""
        codes = random_codes(self._bundle, count, seed).to(self._bundle.device)
        return codes[:, None].expand(-1, self._bundle.num_ws, -1)

    @torch.no_grad()
    def _look(self) -> float:
        return self._loss(self._codes(LOOKED_AT, LOOK_SEED)).item()

    def _loss(self, codes: Tensor) -> Tensor:
        with compute(codes.device, self._precision):
            with torch.no_grad():
                old = self._clip.encode_images(self._original.synthesis(codes))
            new = self._clip.encode_images(self.generator.synthesis(codes))
        return direction_loss(new.float(), old.float(), self._wanted).mean()

    def _choose_layers(self) -> None:
        """Opens the layers whose codes would go farthest towards the target (the paper's section 4.2).

        The paper follows each code for a single step by default; how far that goes is the gradient of the similarity
        to the target.
        """
        codes = self._codes(self._config.batch_size, CHOICE_SEED + self.steps).clone().requires_grad_()
        with compute(codes.device, self._precision):
            similarity = self._clip.encode_images(self.generator.synthesis(codes)).float() @ self._target
        (gradient,) = torch.autograd.grad(similarity.sum(), codes)
        moved = gradient.abs().mean((0, 2))[: len(self._layers)]  # a code for each convolution; toRGB shares the next's
        count = self._config.layers or -(-len(self._layers) // 2)
        chosen = set(moved.topk(min(count, len(moved))).indices.tolist())
        self._open([number in chosen for number in range(len(self._layers))])

    def _open(self, chosen: Sequence[bool]) -> None:
        for layer, is_open in zip(self._layers, chosen, strict=True):
            layer.requires_grad_(is_open)
