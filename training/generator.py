"""Train the generator of a bundle: the renderer's parameters are z, its pictures the targets.

    python -m training.generator --data runs/portraits --out runs/generator --device cuda

w is z itself (the mapping is the identity, so directions in W are exact). First the picture is regressed with a
parsing-weighted loss, coarse to fine: 64, 128, then 256 px, each starting from the weights of the one before. Then it
is finished against a discriminator, which brings out what regression leaves soft: hair, teeth, wrinkles. Every stage
resumes from its last checkpoint; the seed fixes the order of the pictures.
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
from training.data import Batch, Portraits, ResidentPortraits
from training.discriminator import Adversary

CLASS_WEIGHTS = {2: 2.0, 3: 2.0, 4: 4.0, 5: 4.0, 6: 2.5, 9: 8.0, 11: 3.0, 12: 3.0, 13: 3.0, 17: 1.5, 18: 2.0}
"""Loss weight of a parsing class; others weigh 1. People look at eyes and mouths; earrings are few pixels; most
of the error are outlines, those of hair and hats first."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """One stage of training."""

    name: str
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
    adversarial: float = 0.0
    """Length of the adversary's gradient over that of the picture loss; 0 does without."""


SCHEDULES = (
    Schedule(name="64", resolution=64, images=24_000),
    Schedule(name="128", resolution=128, images=10_400),
    # Rates far above what keeps the loss low meanwhile: the fall at the end more than makes up for it.
    Schedule(name="256", resolution=256, images=141_000, conv_rate=6e-3, style_rate=4e-3, final_rate=0.02, ema=0.998),
    Schedule(
        name="finish", resolution=256, images=46_000, batch=4, conv_rate=2e-3, style_rate=2e-3, final_rate=0.03,
        ema=0.998, adversarial=1.0,
    ),
)  # fmt: skip
"""What one core does in six and a half hours, two and a half of them for the finish."""
COUNTS = ",".join(str(schedule.images) for schedule in SCHEDULES)


def config_for(resolution: int, parameters: int) -> GeneratorConfig:
    """The small generator at a resolution; w_dim equals the number of renderer parameters."""
    return GeneratorConfig(
        resolution=resolution, z_dim=parameters, w_dim=parameters, mapping_layers=1,
        mapping_activation="linear", normalize_z=False, channel_base=4096, channel_max=256,
    )  # fmt: skip


def build(config: GeneratorConfig, before: Generator | None) -> Generator:
    """A generator that starts from another where there is one; what is new in its toRGB adds nothing at first."""
    generator = Generator(config)
    with torch.no_grad():
        mapping = generator.mapping.get_submodule("fc0")
        assert isinstance(mapping.weight, nn.Parameter)
        mapping.weight.copy_(torch.eye(config.w_dim) * sqrt(config.z_dim) / config.mapping_lr_multiplier)
        for name, parameter in generator.synthesis.named_parameters():
            if name.endswith("affine.weight"):
                parameter.mul_(0.2)
        if before is not None:
            generator.load_state_dict(before.state_dict(), strict=False)
            if before.config.resolution < config.resolution:
                generator.synthesis.blocks[-1].torgb.weight.zero_()
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
    table = torch.tensor([CLASS_WEIGHTS.get(label, 1.0) for label in range(19)]).to(parsing.device, non_blocking=True)
    return F.avg_pool2d(table[parsing.long()].unsqueeze(1), parsing.shape[-1] // size)


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
    device = generator.mapping.w_avg.device
    for part in np.array_split(np.arange(min(count, len(held_out))), 4):
        batch = held_out.batch(part, size)
        image = draw(generator, batch.z.to(device)).float().cpu()
        scores.append(psnr(image, batch.images))
        rows.append((batch.images[:8], image[:8].clamp(-1, 1)))
    sheet = torch.cat([torch.cat(list(pictures), 2) for pair in rows[:2] for pictures in pair], 1)
    Image.fromarray(((sheet.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()).save(out / f"sheet-{size}.png")
    return float(torch.cat(scores).mean())


def draw(generator: Generator, z: Tensor) -> Tensor:
    """Pictures (B, 3, R, R) of parameters (B, P), under autocast."""
    with torch.autocast(z.device.type, torch.bfloat16):
        return generator.synthesis(generator.mapping(z), "none")


def save(path: Path, state: dict[str, object]) -> None:
    """Write a checkpoint so that a kill leaves either the old or the new one."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


class Stage:
    """One stage of training, from its checkpoint if there is one.

    Args:
        schedule: What to do.
        parameters: Length P of a parameter vector.
        before: The generator of the stage before.
        out: Folder for `checkpoint-<name>.pt`.
        seed: Fixes the first weights and the order of the pictures.
        device: Where to train.
    """

    def __init__(
        self, schedule: Schedule, parameters: int, before: Generator | None, out: Path, seed: int, device: torch.device
    ) -> None:
        torch.manual_seed(seed)
        self._schedule, self._seed, self._checkpoint = schedule, seed, out / f"checkpoint-{schedule.name}.pt"
        self._generator = build(config_for(schedule.resolution, parameters), before).to(device)
        self.average = deepcopy(self._generator).requires_grad_(False)
        self._optimizer, self.seen = optimizer_for(self._generator, schedule), 0
        self._adversary = Adversary(self._generator.config, device) if schedule.adversarial else None
        if self._checkpoint.exists():
            self._resume(torch.load(self._checkpoint, map_location=device, weights_only=True))
        pairs = zip(self._generator.parameters(), self.average.parameters(), strict=True)
        trained = [(own, average) for own, average in pairs if own.requires_grad]
        self._parameters, self._averages = (list(group) for group in zip(*trained, strict=True))

    def train(self, data: Portraits | ResidentPortraits, held_out: Portraits, out: Path) -> Generator:
        """Run to the end; returns the exponential moving average of the weights."""
        saved, began, first, losses = time.monotonic(), time.monotonic(), self.seen, []
        while self.seen < self._schedule.images:
            order = np.random.default_rng((self._seed, self._schedule.resolution, self.seen))
            rows = np.sort(order.choice(len(data), self._schedule.batch, replace=False))
            losses.append(self._step(data.batch(rows, self._schedule.resolution)))
            self.seen += self._schedule.batch
            if time.monotonic() - saved > 60 or self.seen >= self._schedule.images:
                loss = [round(float(value), 4) for value in torch.stack(losses).mean(0)]
                rate = (self.seen - first) / (time.monotonic() - began)
                print(f"{self._schedule.name}  {self.seen} images  {rate:.1f}/s  loss {loss}  "
                      f"held-out {evaluate(self.average, held_out, out):.2f} dB", flush=True)  # fmt: skip
                save(self._checkpoint, self._state())
                saved, losses = time.monotonic(), []
        return self.average

    def _step(self, batch: Batch) -> Tensor:
        """One update; the losses (2,) of the picture and of the adversary, 0 without one."""
        self._set_rates()
        image = draw(self._generator, batch.z)
        leaf = image.detach().requires_grad_()
        loss = picture_loss(leaf, batch.images, loss_weights(batch.parsing, self._schedule.resolution))
        (slope,) = torch.autograd.grad(loss, leaf)
        deceived = torch.zeros_like(loss)
        if self._adversary:
            deceived = self._adversary.learn(batch.images, image.detach(), self.seen // self._schedule.batch)
            other = self._adversary.gradient(image, batch.images)
            slope = slope + other * (self._schedule.adversarial * slope.norm() / other.norm().clamp(min=1e-12))
        self._optimizer.zero_grad(set_to_none=True)
        image.backward(slope)
        torch.nn.utils.clip_grad_norm_(self._parameters, 5.0)
        self._optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, self._parameters, 1 - self._schedule.ema)
        return torch.stack([loss.detach(), deceived])

    def _set_rates(self) -> None:
        """Warm-up over 2000 pictures, then a cosine to the final rate."""
        final = self._schedule.final_rate
        warm, decay = min(1.0, self.seen / 2000 + 0.05), (1 + cos(pi * self.seen / self._schedule.images)) / 2
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * warm * (final + (1 - final) * decay)

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        parts = {"generator": self._generator, "average": self.average, "optimizer": self._optimizer}
        if self._adversary:
            parts |= {"adversary": self._adversary.module, "adversary_optimizer": self._adversary.optimizer}
        return parts

    def _state(self) -> dict[str, object]:
        return {name: part.state_dict() for name, part in self._parts().items()} | {"seen": self.seen}

    def _resume(self, state: dict[str, dict[str, object]]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.seen = int(state["seen"])  # pyright: ignore[reportArgumentType]


def main(
    data: Annotated[Path, typer.Option(help="Folder of rendered shards.")] = Path("runs/portraits"),
    out: Annotated[Path, typer.Option(help="Folder for checkpoints.")] = Path("runs/generator"),
    device: Annotated[str, typer.Option(help="cpu, or cuda.")] = "cpu",
    images: Annotated[str, typer.Option(help="Pictures seen in each stage.")] = COUNTS,
    seed: int = 1,
) -> None:
    """Run all stages and leave `generator-256.pt` (state dict of the averaged weights) in OUT."""
    out.mkdir(parents=True, exist_ok=True)
    training, held_out = Portraits.split(data)
    place, generator = torch.device(device), None
    portraits = training.on(place)
    for schedule, count in zip(SCHEDULES, images.split(","), strict=True):
        if not int(count):
            continue
        stage = Stage(replace(schedule, images=int(count)), portraits.parameters, generator, out, seed, place)
        generator = stage.train(portraits, held_out, out)
        save(out / f"generator-{schedule.resolution}.pt", generator.cpu().state_dict())


if __name__ == "__main__":
    typer.run(main)
