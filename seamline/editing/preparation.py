"""Prepares a bundle for text edits: measures where CLIP sees pictures go as each style channel grows.

As StyleCLIP's section 6 has it: every channel of every convolution is set alpha standard deviations below and above its
value in sampled faces, and the differences of the pictures' embeddings are averaged.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from seamline.bundles import Bundle, Relevance
from seamline.bundles.frozen import has_fast_bfloat16
from seamline.bundles.relevance import style_layers
from seamline.errors import Precondition
from seamline.networks import Generator
from seamline.networks.stylegan2 import SynthesisBlock, SynthesisLayer
from seamline.storage.atomic import atomic_write

ALPHA = 5.0
"""Standard deviations by which a channel is moved, either way."""
TRUNCATION = 0.7
"""Of the sampled codes, so that faces are of the usual kind."""
STATISTICS = 10_000
"""Codes of which the channels' means and deviations are taken."""
KEEP_EVERY = 64
"""Channels after which what is measured is kept, so that a run which is broken off goes on."""
Progress = Callable[[int, int], None]
"""Takes how many channels are done, and of how many."""


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How a bundle is measured."""

    samples: int
    """Faces in which each channel is moved."""
    beta: float
    longest_step: float = inf
    """Both to be stored with the result."""
    partial: Path
    """File that keeps what is measured until all is."""
    seed: int = 0
    """Draws the faces."""


def prepared(bundle: Bundle, asked: Preparation, on_progress: Progress) -> Relevance:
    """Measure all channels, or those that are left if the same was broken off before.

    Args:
        bundle: Its generator and its CLIP.
        asked: How.
        on_progress: Called after every channel.

    Raises:
        Precondition: The bundle has no CLIP.
    """
    if not bundle.has("clip"):
        raise Precondition(f"bundle {bundle.name} has no clip network, which reads the texts; put one into it")
    generator = cast(Generator, bundle.module("generator"))
    codes = sampled_codes(generator, max(STATISTICS, asked.samples), asked.seed)
    mean, std = _statistics(generator, codes)
    of = _identification(bundle, asked)
    found = _kept(asked.partial, of)
    for direction in _directions(bundle, codes[: asked.samples], std, start=len(found)):
        found.append(direction)
        on_progress(len(found), len(std))
        if len(found) % KEEP_EVERY == 0:
            with atomic_write(asked.partial) as file:
                file.write(save({"found": torch.stack(found)}, of))
    asked.partial.unlink(missing_ok=True)
    embeddings = torch.stack(found)
    return Relevance(embeddings=embeddings, mean=mean, std=std, beta=asked.beta, longest_step=asked.longest_step)


def _identification(bundle: Bundle, asked: Preparation) -> dict[str, str]:
    """What a kept measurement must be of to be gone on with."""
    files = {kind: bundle.manifest.networks[kind].sha256 for kind in ("generator", "clip")}
    return files | {"samples": str(asked.samples), "seed": str(asked.seed)}


def _kept(path: Path, of: Mapping[str, str]) -> list[Tensor]:
    """What was measured before, each (D,)."""
    if not path.exists():
        return []
    with safe_open(path, "pt") as stored:
        return list(stored.get_tensor("found")) if stored.metadata() == of else []


@torch.inference_mode()
def sampled_codes(generator: Generator, count: int, seed: int) -> Tensor:
    """Codes (count, num_ws, w_dim) of random faces."""
    z = torch.randn(count, generator.config.z_dim, generator=torch.Generator().manual_seed(seed))
    return generator.mapping(z.to(generator.mapping.w_avg.device), TRUNCATION)


@torch.inference_mode()
def _statistics(generator: Generator, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (C,) of the convolutions' channels."""
    pairs = [zip(style_layers(generator), generator.styles(part), strict=True) for part in codes.split(1000)]
    kept = [torch.cat([style for layer, style in pair if isinstance(layer, SynthesisLayer)], 1) for pair in pairs]
    channels = torch.cat(kept)
    return channels.mean(0), channels.std(0)


@torch.inference_mode()
def _directions(bundle: Bundle, codes: Tensor, std: Tensor, start: int) -> Iterator[Tensor]:
    """Of every channel from `start` on, the unit vector (D,) along which it takes the pictures' embeddings."""
    number = 0
    for entry in _entries(bundle, codes):
        for layer, channels in entry.convolutions():
            for channel in range(channels):
                if number >= start:
                    with _precision(bundle):
                        images = entry.drawn(layer, channel, ALPHA * std[number])
                    below, above = bundle.infer("clip", images).chunk(2)
                    yield F.normalize(F.normalize(above - below, dim=1).mean(0), dim=0)
                number += 1


def _precision(bundle: Bundle) -> torch.autocast:
    enabled = has_fast_bfloat16(bundle.device)
    return torch.autocast(bundle.device.type, dtype=torch.bfloat16, enabled=enabled)


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """Faces (N of them) where they enter a block: a change of its styles leaves all before as it is."""

    blocks: list[SynthesisBlock]
    """That block and all finer ones."""
    styles: list[Tensor]
    """Of their layers, (N, channels) each."""
    features: Tensor
    """(N, I, h, w)."""
    image: Tensor
    """(N, 3, h, w), as far as the blocks before have drawn it."""

    def convolutions(self) -> list[tuple[int, int]]:
        """The block's own convolutions: place among the styles, and channels."""
        layers = enumerate(self.blocks[0].styled_layers())
        return [(place, layer.inputs) for place, layer in layers if isinstance(layer, SynthesisLayer)]

    def drawn(self, layer: int, channel: int, shift: Tensor) -> Tensor:
        """Pictures (2N, 3, R, R) with one channel of one layer less by `shift` (), and then more by it."""
        styles = [style.repeat(2, 1) for style in self.styles]
        below, above = styles[layer][:, channel].chunk(2)
        below -= shift
        above += shift
        features, image = (tensor.repeat(2, 1, 1, 1) for tensor in (self.features, self.image))
        for block in self.blocks:
            features, image, styles = _passed(block, features, image, styles)
        return image.clamp(-1, 1)


def _entries(bundle: Bundle, codes: Tensor) -> Iterator[_Entry]:
    """Faces at the entry of every block, coarse to fine."""
    generator = cast(Generator, bundle.module("generator"))
    styles, blocks = generator.styles(codes), generator.synthesis.blocks
    features = blocks[0].const.expand(len(codes), -1, -1, -1)
    image = codes.new_zeros(len(codes), 1, 1, 1)
    for number, block in enumerate(blocks):
        yield _Entry(blocks=blocks[number:], styles=styles, features=features, image=image)
        with _precision(bundle):
            features, image, styles = _passed(block, features, image, styles)


def _passed(
    block: SynthesisBlock, features: Tensor, image: Tensor, styles: list[Tensor]
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Features and picture behind a block, and the styles that are left."""
    count = len(block.styled_layers())
    features, image = block(features, image, styles[:count], "const")
    return features, image, styles[count:]
