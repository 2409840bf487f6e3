"""Train the hypernetwork of a bundle (Alaluf et al. 2022, arXiv:2111.15666) on rendered portraits.

    python -m training.hyperstyle --data runs/portraits --generator runs/generator/generator-256.pt \
        --encoder runs/encoder/encoder.pt --out runs/hyperstyle --device cuda

What the generator draws of the encoder's codes is brought nearer the picture by changing the generator's filters.
Portraits are changed first, as no code of the generator can express: other light, backgrounds, clothes and
framing. Every batch is looked at `PASSES` times; no gradient reaches back over a pass, as in the paper, and the
network learns after each.

Only filters of the blocks from 16 to 64 px change. No finer block, the costly ones, is drawn while learning: what these
add to the encoder's drawing is taken as given.
"""

import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from math import cos, pi
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from seamline.networks.e4e import E4eEncoder
from seamline.networks.hyperstyle import (
    PASSES,
    HyperStyle,
    HyperStyleConfig,
    Offsets,
    accumulate,
    refined_weights,
)
from seamline.networks.stylegan2 import Generator, GeneratorConfig
from training.data import Portraits, ResidentPortraits
from training.encoder import predict
from training.encoder import small_config as encoder_config
from training.generator import config_for, loss_weights, picture_loss, psnr, save

RESOLUTION = 256
RATE = 5e-4
"""Adam's peak learning rate."""
HEAD_RATE = 5e-5
"""The same of the last matrices. A step of theirs moves an offset by the sum over a whole code: at 1e-3 that is 0.02,
where pivotal tuning changes a weight by 0.0015, and little is learned."""
HEADS = ("shared_weight_hypernet", "output")
"""What the names of the last matrices' modules hold."""
BLOCKS = (16, 32, 64)
"""Resolutions of the blocks whose filters change."""
LEARNING_SIDE = 128
"""Side in pixels of the pictures that are learned from."""
WARMUP = 300
"""Pictures over which the rate rises."""
EMA = 0.995
SURROUNDINGS = (0, 16)
"""Parsing classes that patterns cover: background and clothes."""
REPORT_SECONDS = 300


def small_config(generator: GeneratorConfig) -> HyperStyleConfig:
    """The small hypernetwork of a generator, which looks at a quarter of 256 px."""
    return HyperStyleConfig(
        input_size=64, resolution=generator.resolution, channel_base=generator.channel_base,
        channel_max=generator.channel_max, blocks=BLOCKS, width=20, units=(1, 1, 1, 1),
        code_width=32, shared_width=32, own_width=32, shared_kernel=1,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """The trained networks that stay as they are."""

    generator: Generator
    encoder: E4eEncoder

    @classmethod
    def load(cls, generator: Path, encoder: Path, parameters: int, device: torch.device) -> "Inversion":
        """From what `training.generator` and `training.encoder` leave; `parameters` as they were trained with."""
        found = cls(
            generator=Generator(config_for(RESOLUTION, parameters)), encoder=E4eEncoder(encoder_config(parameters))
        )
        for network, weights in ((found.generator, generator), (found.encoder, encoder)):
            network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
            network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
        return found

    @property
    def device(self) -> torch.device:
        """Where both are."""
        return self.generator.mapping.w_avg.device

    @cached_property
    def coarse(self) -> Generator:
        """The generator's blocks up to the last that changes."""
        config = replace(self.generator.config, resolution=BLOCKS[-1])
        coarse = Generator(config).eval().requires_grad_(False).to(self.device)
        weights = self.generator.state_dict()
        coarse.load_state_dict({name: weights[name] for name in coarse.state_dict()})
        return coarse.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def styles(self, images: Tensor) -> list[Tensor]:
        """What the generator takes for pictures (B, 3, R, R), by the encoder alone: codes of W, as in the paper."""
        codes = predict(self.encoder, images)
        return self.generator.styles(codes.mean(1, keepdim=True).expand_as(codes))

    def draw(self, styles: list[Tensor], offsets: Offsets) -> Tensor:
        """Pictures (B, 3, R, R) with changed filters."""
        return _draw(self.generator, styles, offsets)

    @torch.no_grad()
    def beyond(self, styles: list[Tensor]) -> Tensor:
        """What the blocks that do not change add to a reduced picture (B, 3, S, S)."""
        coarse = _draw(self.coarse, styles, Offsets())
        return reduced(self.draw(styles, Offsets()), coarse.shape[-1]) - coarse


def _draw(generator: Generator, styles: list[Tensor], offsets: Offsets) -> Tensor:
    layers = sum(len(block.styled_layers()) for block in generator.synthesis.blocks)
    with torch.autocast(styles[0].device.type, torch.bfloat16):
        return generator.synthesis(styles[:layers], "none", refined_weights(generator, offsets))


def reduced(x: Tensor, side: int) -> Tensor:
    """Means (B, C, side, side) of pictures."""
    return F.avg_pool2d(x, x.shape[-1] // side)


def drawings(
    hypernetwork: HyperStyle, inversion: Inversion, images: Tensor, *, coarse: bool = False
) -> Iterator[Tensor]:
    """What is drawn of pictures: by the encoder alone, then after each of `PASSES` passes.

    Gradients reach the hypernetwork in the latest pass alone. With `coarse` the drawings are those that are learned
    from, at the side of the last block that changes.
    """
    styles, offsets = inversion.styles(images), Offsets()
    beyond: Tensor | float = 0.0
    generator = inversion.generator
    if coarse:
        beyond, generator = inversion.beyond(styles), inversion.coarse
        images = reduced(images, generator.config.resolution)
    drawn = _draw(generator, styles, offsets) + beyond
    yield drawn
    for _ in range(PASSES):
        with torch.autocast(images.device.type, torch.bfloat16):
            offsets = accumulate(offsets, hypernetwork(images, drawn.detach()))
        drawn = _draw(generator, styles, offsets) + beyond
        yield drawn
        offsets = {name: offset.detach() for name, offset in offsets.items()}


def vary(images: Tensor, parsing: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Portraits (B, 3, S, S) with their parsing to changed ones, and the loss weights (B, 1, S, S) of those."""
    parsing = parsing[:, :: parsing.shape[-1] // images.shape[-1], :: parsing.shape[-1] // images.shape[-1]]
    for label in SURROUNDINGS:
        images = _cover(images, parsing == label, rng)
    together = torch.cat([_relight(images, rng), loss_weights(parsing, images.shape[-1])], dim=1)
    moved = _move(together, rng)
    return moved[:, :3].contiguous(memory_format=torch.channels_last), moved[:, 3:]


def _normal(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=rng, device=rng.device)


def _field(batch: int, channels: int, cells: int, size: int, rng: torch.Generator) -> Tensor:
    """Smooth noise (B, C, size, size) of about unit variance."""
    return F.interpolate(_normal(rng, batch, channels, cells, cells), size=size, mode="bicubic")


def _cover(images: Tensor, mask: Tensor, rng: torch.Generator) -> Tensor:
    """Blend a pattern into what a mask (B, S, S) covers, in half of the pictures."""
    batch, size = len(images), images.shape[-1]
    colour = 0.4 * _normal(rng, batch, 1, 1, 1) + 0.15 * _normal(rng, batch, 3, 1, 1)
    coarse = 0.25 * _field(batch, 1, 4, size, rng) + 0.1 * _field(batch, 3, 4, size, rng)
    pattern = colour + coarse + 0.06 * _field(batch, 1, 20, size, rng)
    strength = _normal(rng, batch, 1, 1, 1).clamp(0, 1)
    soft = F.avg_pool2d(mask.float().unsqueeze(1), 5, 1, 2, count_include_pad=False) * strength
    return images.lerp(pattern.clamp(-1, 1), soft)


def _relight(images: Tensor, rng: torch.Generator) -> Tensor:
    """Change brightness, contrast and tint, and light the picture unevenly."""
    batch, size = len(images), images.shape[-1]
    gain = 1 + 0.08 * _normal(rng, batch, 1, 1, 1) + 0.1 * _field(batch, 1, 3, size, rng)
    shift = 0.05 * _normal(rng, batch, 1, 1, 1) + 0.03 * _normal(rng, batch, 3, 1, 1)
    return ((images + 1) * gain - 1 + shift).clamp(-1, 1)


def _move(x: Tensor, rng: torch.Generator) -> Tensor:
    """Turn by some 2 degrees, zoom by 3 %, stretch by 2 % and shift by 1 % of the side; edges are mirrored."""
    angle, zoom, stretch = (0.035 * _normal(rng, len(x)), 0.03 * _normal(rng, len(x)), 0.02 * _normal(rng, len(x)))
    shift = 0.02 * _normal(rng, len(x), 2)
    wide, tall = (zoom + stretch).exp(), (zoom - stretch).exp()
    rows = (
        torch.stack([wide * angle.cos(), -tall * angle.sin(), shift[:, 0]], dim=1),
        torch.stack([wide * angle.sin(), tall * angle.cos(), shift[:, 1]], dim=1),
    )
    grid = F.affine_grid(torch.stack(rows, dim=1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


@torch.no_grad()
def evaluate(
    hypernetwork: HyperStyle, inversion: Inversion, held_out: Portraits | ResidentPortraits, *, varied: bool,
    count: int = 32,
) -> Tensor:  # fmt: skip
    """Mean PSNR in dB (1 + PASSES,) of the encoder alone and after every pass, on held-out portraits."""
    scores, size = [], inversion.generator.config.resolution
    rng = torch.Generator(inversion.device).manual_seed(0)
    for rows in np.array_split(np.arange(min(count, len(held_out))), -(-count // 16)):
        batch = held_out.batch(rows, size)
        images = vary(batch.images, batch.parsing, rng)[0] if varied else batch.images
        scores.append(torch.stack([psnr(drawn, images) for drawn in drawings(hypernetwork, inversion, images)]))
    return torch.cat(scores, dim=1).mean(1).cpu()


def figures(hypernetwork: HyperStyle, inversion: Inversion, held_out: Portraits | ResidentPortraits) -> str:
    """The held-out PSNR, of portraits as they are and of changed ones, for the log."""
    texts = []
    for name, varied in (("portraits", False), ("varied", True)):
        first, *refined = evaluate(hypernetwork, inversion, held_out, varied=varied).tolist()
        texts.append(f"{name} {first:.2f} > " + " ".join(f"{value:.2f}" for value in refined))
    return "  ".join(texts) + " dB"


class Run:
    """Training of one hypernetwork, from its checkpoint if there is one.

    Args:
        inversion: Names the generator that is refined.
        images: Pictures seen in all, repeats included.
        batch: Pictures of a step.
        seed: Fixes the order of the pictures and their changes.
        checkpoint: Where the state is kept.
    """

    def __init__(self, inversion: Inversion, images: int, batch: int, seed: int, checkpoint: Path) -> None:
        torch.manual_seed(seed)
        self._inversion, self._images, self._batch, self._seed = inversion, images, batch, seed
        self._checkpoint = checkpoint
        network = HyperStyle(small_config(inversion.generator.config)).train()
        self._network = network.to(inversion.device).to(memory_format=torch.channels_last)
        self.average = deepcopy(self._network).requires_grad_(False).eval()
        self._optimizer = torch.optim.Adam(_groups(self._network), lr=0.0, betas=(0.9, 0.99), fused=True)
        self.seen = 0
        if checkpoint.exists():
            state = torch.load(checkpoint, map_location=inversion.device, weights_only=True)
            self._network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self._optimizer.load_state_dict(state["optimizer"])
            self.seen = state["seen"]

    def train(self, data: Portraits | ResidentPortraits, held_out: Portraits | ResidentPortraits) -> None:
        """Go on until all pictures are seen, reporting and saving now and then."""
        began = saved = time.monotonic()
        first, losses = self.seen, []
        rng = torch.Generator(self._inversion.device).manual_seed(self._seed + self.seen)
        while self.seen < self._images:
            order = np.random.default_rng((self._seed, self.seen))
            rows = np.sort(order.choice(len(data), self._batch, replace=False))
            batch = data.batch(rows, min(LEARNING_SIDE, self._inversion.generator.config.resolution))
            losses.append(self._step(*vary(batch.images, batch.parsing, rng)))
            if time.monotonic() - saved > REPORT_SECONDS or self.seen >= self._images:
                loss = float(torch.stack(losses).mean())
                rate = (self.seen - first) / (time.monotonic() - began)
                print(f"{self.seen} images  {rate:.1f}/s  loss {loss:.4f}  "
                      f"{figures(self.average, self._inversion, held_out)}", flush=True)  # fmt: skip
                self._save()
                saved, losses = time.monotonic(), []

    def _step(self, images: Tensor, weights: Tensor) -> Tensor:
        """Learn from every pass over one batch; returns their mean loss."""
        for group in self._optimizer.param_groups:
            decay = (1 + cos(pi * self.seen / self._images)) / 2
            group["lr"] = group["peak"] * min(1.0, self.seen / WARMUP + 0.05) * decay
        total, side = images.new_zeros(()), self._inversion.coarse.config.resolution
        target, weights = reduced(images, side), reduced(weights, side)
        for drawn in islice(drawings(self._network, self._inversion, images, coarse=True), 1, None):
            self._optimizer.zero_grad(set_to_none=True)
            loss = picture_loss(drawn, target, weights)
            loss.backward()
            nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
            self._optimizer.step()
            total += loss.detach() / PASSES
        self.seen += len(images)
        self._follow()
        return total

    def _follow(self) -> None:
        """Move the average, which forgets faster at first, so that short runs have one too."""
        steps = self.seen / self._batch
        share = 1 - min(EMA, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(list(self.average.parameters()), list(self._network.parameters()), share)
        for own, source in zip(self.average.buffers(), self._network.buffers(), strict=True):
            own.copy_(source)

    def _save(self) -> None:
        networks = {"network": self._network.state_dict(), "average": self.average.state_dict()}
        save(self._checkpoint, networks | {"optimizer": self._optimizer.state_dict(), "seen": self.seen})


def _groups(network: HyperStyle) -> list[dict[str, Any]]:
    """The network's parameters by their peak rate."""
    named = list(network.named_parameters())
    heads = [parameter for name, parameter in named if any(head in name for head in HEADS)]
    body = [parameter for name, parameter in named if not any(head in name for head in HEADS)]
    return [{"params": body, "peak": RATE}, {"params": heads, "peak": HEAD_RATE}]


def main(
    data: Annotated[Path, typer.Option(help="Folder of rendered shards.")] = Path("runs/portraits"),
    generator: Annotated[Path, typer.Option(help="Trained generator.")] = Path("runs/generator/generator-256.pt"),
    encoder: Annotated[Path, typer.Option(help="Trained encoder.")] = Path("runs/encoder/encoder.pt"),
    out: Annotated[Path, typer.Option(help="Folder for checkpoints.")] = Path("runs/hyperstyle"),
    device: Annotated[str, typer.Option(help="Where to train: cpu or cuda.")] = "cpu",
    images: Annotated[int, typer.Option(help="Pictures seen, repeats included.")] = 60000,
    batch: Annotated[int, typer.Option(help="Pictures of a step.")] = 32,
    seed: int = 1,
) -> None:
    """Train, and leave `hyperstyle.pt` (state dict of the averaged weights) in OUT."""
    out.mkdir(parents=True, exist_ok=True)
    place = torch.device(device)
    torch.backends.cudnn.benchmark = True
    portraits, held_out = Portraits.split(data)
    inversion = Inversion.load(generator, encoder, portraits.parameters, place)
    run = Run(inversion, images, batch, seed, out / "checkpoint.pt")
    run.train(portraits.on(place), held_out.on(place))
    save(out / "hyperstyle.pt", run.average.state_dict())


if __name__ == "__main__":
    typer.run(main)
