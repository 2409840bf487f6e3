"""Train the generator of a bundle by regression: the renderer's parameters are z, its pictures the targets.

    python -m training.generator --data runs/portraits --out runs/generator

w is z itself (the mapping is the identity, so directions in W are exact), the image is regressed with a
parsing-weighted loss, coarse to fine: 64, 128, then 256 px, each starting from the weights of the one before.
Every stage resumes from its last checkpoint; the seed fixes the order of the pictures.
"""

import time
from copy import deepcopy
from dataclasses import dataclass, replace
from math import cos, pi, sqrt
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from PIL import Image
from torch import Tensor, nn

from seamline.networks.stylegan2 import Generator, GeneratorConfig
from training.data import Portraits

CLASS_WEIGHTS = {0: 0.5, 2: 2.5, 3: 2.5, 4: 5.0, 5: 5.0, 6: 2.5, 11: 4.0, 12: 4.0, 13: 4.0, 16: 0.7}
"""Loss weight of a parsing class; others weigh 1. People look at eyes and mouths."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How one resolution is trained."""

    resolution: int
    images: int
    """Pictures seen, repeats included."""
    batch: int = 8
    conv_rate: float = 2e-3
    """Adam's peak rate of convolution weights."""
    style_rate: float = 3e-3
    """Adam's peak rate of the style affines, as applied to their effective weights."""
    final_rate: float = 1.0
    """Share of the peak rate left at the end of the cosine."""
    ema: float = 0.995


def config_for(resolution: int, parameters: int) -> GeneratorConfig:
    """The small generator at a resolution; w_dim equals the number of renderer parameters."""
    return GeneratorConfig(
        resolution=resolution, z_dim=parameters, w_dim=parameters, mapping_layers=1,
        mapping_activation="linear", normalize_z=False, channel_base=4096, channel_max=256,
    )  # fmt: skip


def build(config: GeneratorConfig, smaller: Generator | None) -> Generator:
    """A generator that starts from a smaller one where there is one; its new toRGB then adds nothing at first."""
    generator = Generator(config)
    with torch.no_grad():
        mapping = generator.mapping.get_submodule("fc0")
        assert isinstance(mapping.weight, nn.Parameter)
        mapping.weight.copy_(torch.eye(config.w_dim) * sqrt(config.z_dim) / config.mapping_lr_multiplier)
        for name, parameter in generator.synthesis.named_parameters():
            if name.endswith("affine.weight"):
                parameter.mul_(0.2)
        last = generator.synthesis.blocks[-1].torgb
        if smaller is not None:
            generator.load_state_dict(smaller.state_dict(), strict=False)
            last.weight.zero_()
    mapping.requires_grad_(False)
    return generator.to(memory_format=torch.channels_last)


def optimizer_for(generator: Generator, schedule: Schedule) -> torch.optim.Adam:
    """Adam, with rates stated on effective weights: stored ones are larger by the equalisation's gain."""
    gain = sqrt(generator.config.w_dim)
    convolutions, affines, biases = [], [], []
    for name, parameter in generator.synthesis.named_parameters():
        if name.endswith("noise_strength"):
            parameter.requires_grad_(False)
        elif name.endswith("affine.weight"):
            affines.append(parameter)
        elif name.endswith("affine.bias"):
            biases.append(parameter)
        else:
            convolutions.append(parameter)
    groups = [
        {"params": convolutions, "peak": schedule.conv_rate},
        {"params": affines, "peak": schedule.style_rate * gain},
        {"params": biases, "peak": schedule.style_rate},
    ]
    return torch.optim.Adam(groups, lr=0.0, betas=(0.9, 0.99), fused=True)


def loss_weights(parsing: Tensor, size: int) -> Tensor:
    """Parsing maps (B, H, W) uint8 to weights (B, 1, size, size) with mean about 1."""
    table = torch.ones(19)
    for label, weight in CLASS_WEIGHTS.items():
        table[label] = weight
    return F.adaptive_avg_pool2d(table[parsing.long()].unsqueeze(1), size)


def picture_loss(image: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted L1 and L2, L1 of image gradients, and L1 of pooled pictures."""
    error = image - target
    loss = (weights * (error.abs() + 1.5 * error.square())).mean()
    weight_x, weight_y = weights[..., 1:], weights[..., 1:, :]
    loss = loss + 0.5 * (weight_x * (error[..., 1:] - error[..., :-1]).abs()).mean()
    loss = loss + 0.5 * (weight_y * (error[..., 1:, :] - error[..., :-1, :]).abs()).mean()
    for factor in (4, 8):
        loss = loss + 0.5 * F.avg_pool2d(error, factor).abs().mean()
    return loss


def psnr(image: Tensor, target: Tensor) -> Tensor:
    """PSNR in dB of every picture (B, 3, H, W), both in [-1, 1] after clamping."""
    error = (image.clamp(-1, 1) - target).square().mean((1, 2, 3))
    return 10 * torch.log10(4 / error)


@torch.no_grad()
def evaluate(generator: Generator, held_out: Portraits, out: Path, count: int = 64) -> float:
    """Mean PSNR over held-out portraits; writes a sheet of targets above outputs beside the checkpoints."""
    size, scores, rows = generator.config.resolution, [], []
    for start in range(0, count, 16):
        batch = held_out.batch(np.arange(start, start + 16), size)
        with torch.autocast("cpu", torch.bfloat16):
            image = generator.synthesis(generator.mapping(batch.z), "none")
        scores.append(psnr(image, batch.images))
        rows.append((batch.images[:8], image[:8].clamp(-1, 1)))
    sheet = torch.cat([torch.cat(list(pictures), 2) for pair in rows[:2] for pictures in pair], 1)
    Image.fromarray(((sheet.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()).save(out / f"sheet-{size}.png")
    return float(torch.cat(scores).mean())


def save(path: Path, state: dict[str, object]) -> None:
    """Write a checkpoint so that a kill leaves either the old or the new one."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def train(
    schedule: Schedule, data: Portraits, held_out: Portraits, out: Path, smaller: Generator | None, seed: int
) -> Generator:
    """Train one resolution, from its checkpoint if there is one.

    Returns:
        The exponential moving average of the weights.
    """
    torch.manual_seed(seed)
    generator = build(config_for(schedule.resolution, data.parameters), smaller)
    average = deepcopy(generator).requires_grad_(False)
    optimizer, seen = optimizer_for(generator, schedule), 0
    checkpoint = out / f"checkpoint-{schedule.resolution}.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        generator.load_state_dict(state["generator"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        seen = state["seen"]
    saved, losses, began, first = time.monotonic(), [], time.monotonic(), seen
    parameters = [p for p in generator.parameters() if p.requires_grad]
    averages = [a for p, a in zip(generator.parameters(), average.parameters(), strict=True) if p.requires_grad]
    while seen < schedule.images:
        order = np.random.default_rng((seed, schedule.resolution, seen))
        batch = data.batch(np.sort(order.choice(len(data), schedule.batch, replace=False)), schedule.resolution)
        warm, decay = min(1.0, seen / 2000 + 0.05), (1 + cos(pi * seen / schedule.images)) / 2
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * warm * (schedule.final_rate + (1 - schedule.final_rate) * decay)
        with torch.autocast("cpu", torch.bfloat16):
            image = generator.synthesis(generator.mapping(batch.z), "none")
        loss = picture_loss(image, batch.images, loss_weights(batch.parsing, schedule.resolution))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        seen += schedule.batch
        torch._foreach_lerp_(averages, parameters, 1 - schedule.ema)
        losses.append(float(loss.detach()))
        if time.monotonic() - saved > 120 or seen >= schedule.images:
            figure = evaluate(average, held_out, out)
            rate = (seen - first) / (time.monotonic() - began)
            print(f"{schedule.resolution} px  {seen} images  {rate:.1f}/s  loss {np.mean(losses):.4f}  "
                  f"held-out {figure:.2f} dB", flush=True)  # fmt: skip
            state = {"generator": generator.state_dict(), "average": average.state_dict(),
                     "optimizer": optimizer.state_dict(), "seen": seen}  # fmt: skip
            save(checkpoint, state)
            saved, losses = time.monotonic(), []
    return average


def main(
    data: Annotated[Path, typer.Option(help="Folder of rendered shards.")] = Path("runs/portraits"),
    out: Annotated[Path, typer.Option(help="Folder for checkpoints.")] = Path("runs/generator"),
    images: Annotated[str, typer.Option(help="Pictures seen at 64, 128 and 256 px.")] = "24000,10400,35000",
    seed: int = 1,
) -> None:
    """Train all resolutions and leave `generator-256.pt` (state dict of the averaged weights) in OUT."""
    out.mkdir(parents=True, exist_ok=True)
    portraits, held_out = Portraits.split(data)
    counts = [int(count) for count in images.split(",")]
    schedules = [Schedule(resolution=side, images=n) for side, n in zip((64, 128, 256), counts, strict=True)]
    schedules[-1] = replace(schedules[-1], batch=4, final_rate=0.03, ema=0.998)
    generator: Generator | None = None
    for schedule in schedules:
        generator = train(schedule, portraits, held_out, out, generator, seed)
        save(out / f"generator-{schedule.resolution}.pt", generator.state_dict())


if __name__ == "__main__":
    typer.run(main)
