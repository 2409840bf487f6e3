r"""Train the e4e encoder of a bundle (Tov et al. 2021, arXiv:2102.02766) on rendered portraits.

    python -m training.encoder --data runs/portraits --generator runs/generator/generator-256.pt \
        --out runs/encoder --device cuda

First the codes are regressed (w is the renderer's standardised parameters, so every portrait's code is known),
then the pictures that the generator draws from the codes are compared with the portraits as well. All layers get
one code: layers of their own fit no better here, where w is a face's parameters, and bend the edits found in W.
"""

import time
from copy import deepcopy
from math import cos, pi
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from seamline.networks.e4e import E4eConfig, E4eEncoder
from seamline.networks.stylegan2 import Generator
from training.data import Batch, Portraits, ResidentPortraits
from training.generator import config_for, loss_weights, picture_loss, psnr, save

BATCH = 16
RATE = 1.5e-3
"""Adam's peak learning rate."""
EMA = 0.997
PICTURE_WEIGHT = 4.0
"""Weight of the picture loss against the code loss, which is about 1 at first."""

def small_config(parameters: int) -> E4eConfig:
    """The small encoder: a quarter of the resolution still shows the codes, at a sixteenth of the cost."""
    return E4eConfig(
        input_size=64,
        generator_resolution=256,
        w_dim=parameters,
        width=24,
        units=(2, 2, 3, 2),
        style_width=48,
        single_code=True,
    )


def code_loss(codes: Tensor, z: Tensor) -> Tensor:
    """Huber loss of the code that all layers share against the known one."""
    return F.smooth_l1_loss(codes[:, 0], z, beta=0.3)


def augment(images: Tensor, rng: torch.Generator) -> Tensor:
    """Small brightness, contrast and noise changes, so that compressed video is no surprise."""
    batch, device = len(images), images.device
    gain = 1 + 0.04 * torch.randn(batch, 1, 1, 1, generator=rng, device=device)
    shift = 0.03 * torch.randn(batch, 3, 1, 1, generator=rng, device=device)
    grain = torch.randn(images.shape, generator=rng, device=device)
    noise = 0.02 * torch.rand(batch, 1, 1, 1, generator=rng, device=device) * grain
    return (images * gain + shift + noise).clamp(-1, 1).contiguous(memory_format=torch.channels_last)


def predict(encoder: E4eEncoder, images: Tensor) -> Tensor:
    """Codes (B, L, w_dim) in float32; latent_avg is zero in this domain."""
    small = F.avg_pool2d(images, images.shape[-1] // encoder.config.input_size)
    with torch.autocast(images.device.type, torch.bfloat16):
        return encoder(small.contiguous(memory_format=torch.channels_last)).float()


def draw(generator: Generator, codes: Tensor) -> Tensor:
    """Pictures of codes, under autocast."""
    with torch.autocast(codes.device.type, torch.bfloat16):
        return generator.synthesis(codes, "none")


@torch.no_grad()
def evaluate(encoder: E4eEncoder, generator: Generator | None, held_out: Portraits, count: int = 64) -> str:
    """Share of the codes' variance explained, and the PSNR of the inversion, on held-out portraits."""
    residual, scores = [], []
    device = next(encoder.parameters()).device
    for part in np.array_split(np.arange(min(count, len(held_out))), 4):
        batch = held_out.batch(part, encoder.config.generator_resolution)
        codes = predict(encoder, batch.images.to(device))
        residual.append((codes.mean(1).cpu() - batch.z).square().mean())
        if generator is not None:
            scores.append(psnr(draw(generator, codes).float().cpu(), batch.images))
    text = f"code error {float(torch.stack(residual).mean()):.3f}"
    return text + (f"  inversion {float(torch.cat(scores).mean()):.2f} dB" if scores else "")


def loss_of(encoder: E4eEncoder, generator: Generator | None, batch: Batch, rng: torch.Generator) -> Tensor:
    """The code loss, and the picture loss where a generator is given."""
    codes = predict(encoder, augment(batch.images, rng))
    loss = code_loss(codes, batch.z)
    if generator is not None:
        weights = loss_weights(batch.parsing, encoder.config.generator_resolution)
        picture = picture_loss(draw(generator, codes), batch.images, weights)
        loss = loss + PICTURE_WEIGHT * picture
    return loss


def train(
    encoder: E4eEncoder, generator: Generator | None, data: Portraits | ResidentPortraits, held_out: Portraits,
    images: int, checkpoint: Path, seed: int,
) -> E4eEncoder:  # fmt: skip
    """One phase of training, resumed from its checkpoint if there is one; returns the averaged weights."""
    average, device = deepcopy(encoder).requires_grad_(False), next(encoder.parameters()).device
    optimizer, seen = torch.optim.Adam(encoder.parameters(), lr=0.0, betas=(0.9, 0.99), fused=True), 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        encoder.load_state_dict(state["encoder"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        seen = state["seen"]
    began, saved, first, losses = time.monotonic(), time.monotonic(), seen, []
    rng = torch.Generator(device).manual_seed(seed + seen)
    while seen < images:
        order = np.random.default_rng((seed, seen))
        batch = data.batch(np.sort(order.choice(len(data), BATCH, replace=False)), encoder.config.generator_resolution)
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, seen / 2000 + 0.05) * (1 + cos(pi * seen / images)) / 2
        loss = loss_of(encoder, generator, batch, rng)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(encoder.parameters()), 1 - EMA)
        for own, source in zip(average.buffers(), encoder.buffers(), strict=True):
            own.copy_(source)
        seen += BATCH
        losses.append(loss.detach())
        if time.monotonic() - saved > 60 or seen >= images:
            average.eval()
            rate = (seen - first) / (time.monotonic() - began)
            print(f"{checkpoint.stem}  {seen} images  {rate:.1f}/s  loss {float(torch.stack(losses).mean()):.4f}  "
                  f"{evaluate(average, generator, held_out)}", flush=True)  # fmt: skip
            save(checkpoint, {"encoder": encoder.state_dict(), "average": average.state_dict(),
                              "optimizer": optimizer.state_dict(), "seen": seen})  # fmt: skip
            saved, losses = time.monotonic(), []
    return average


def main(
    data: Annotated[Path, typer.Option(help="Folder of rendered shards.")] = Path("runs/portraits"),
    generator: Annotated[Path, typer.Option(help="Trained generator.")] = Path("runs/generator/generator-256.pt"),
    out: Annotated[Path, typer.Option(help="Folder for checkpoints.")] = Path("runs/encoder"),
    device: Annotated[str, typer.Option(help="cpu, or cuda.")] = "cpu",
    code_images: Annotated[int, typer.Option(help="Pictures seen while codes alone are regressed.")] = 40_000,
    picture_images: Annotated[int, typer.Option(help="Pictures seen with the generator in the loop.")] = 16_000,
    seed: int = 1,
) -> None:
    """Run both phases and leave `encoder.pt` (state dict of the averaged weights) in OUT."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    training, held_out = Portraits.split(data)
    place, portraits = torch.device(device), training.on(torch.device(device))
    encoder = E4eEncoder(small_config(portraits.parameters)).to(place, memory_format=torch.channels_last).train()
    average = train(encoder, None, portraits, held_out, code_images, out / "checkpoint-codes.pt", seed)
    fixed = Generator(config_for(encoder.config.generator_resolution, portraits.parameters)).requires_grad_(False)
    fixed.load_state_dict(torch.load(generator, weights_only=True))
    encoder.load_state_dict(average.state_dict())
    average = train(
        encoder.train(), fixed.to(place, memory_format=torch.channels_last), portraits, held_out, picture_images,
        out / "checkpoint-pictures.pt", seed + 1,
    )  # fmt: skip
    save(out / "encoder.pt", average.cpu().state_dict())


if __name__ == "__main__":
    typer.run(main)
