"""The adversary of the generator's finish: a residual discriminator of patches that looks at wavelets.

In pixels what is sharp differs from what is soft by little beside what all pictures have in common; in wavelets, each
at a gain of its own (SWAGAN, Gal et al. 2021, arXiv:2102.06108), a few hundred steps of one core tell them apart. It is
seen in training only. Beside its verdict it gives the features of every scale, in which the generator's picture is
compared with the renderer's: there, hair and teeth a pixel off are a smaller error than none at all.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.networks.stylegan2 import GeneratorConfig

R1_WEIGHT = 1e-5
"""Gamma of the gradient penalty (Mescheder et al. 2018), taken of the sum of all patches' logits."""
R1_EVERY = 16
"""Steps between two penalties, which weigh as much more (lazy regularisation, Karras et al. 2020)."""
FEATURE_WEIGHT = 10.0
"""Weight of the features' distance (Wang et al. 2018, pix2pixHD) beside the verdict."""
BLOCKS = 3
"""Halvings of the side before the verdict; a patch is about a quarter of a picture of 256 pixels wide."""
DETAIL = 8.0
"""Gain of wavelets other than the smooth ones, which are as much weaker in pictures of faces."""


def bands(images: Tensor) -> Tensor:
    """Haar wavelets (B, 12, R/2, R/2) of pictures (B, 3, R, R): smooth, across, down, both; of about one size."""
    a, b, c, d = F.pixel_unshuffle(images, 2).unflatten(1, (3, 4)).unbind(2)
    details = torch.cat([a - b + c - d, a + b - c - d, a - b - c + d], 1)
    return torch.cat([(a + b + c + d) / 2, DETAIL * details / 2], 1)


class _Block(nn.Module):
    """Two convolutions and a shortcut, to half the side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.second = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, S, S) to (B, outputs, S/2, S/2)."""
        inner = F.leaky_relu(self.second(F.leaky_relu(self.first(x), 0.2)), 0.2)
        return (F.avg_pool2d(inner, 2) + self.skip(F.avg_pool2d(x, 2))) / sqrt(2)


class Discriminator(nn.Module):
    """Tells patches of rendered portraits from those of generated ones (PatchGAN, Isola et al. 2017).

    What regression leaves soft shows in every patch, so that one picture holds hundreds of examples; whether a face is
    right as a whole is what the picture's own loss says.

    Args:
        config: The generator's sizes.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        widths = [config.channels(side) for side in config.resolutions[:0:-1]][: BLOCKS + 1]
        self.from_rgb = nn.Conv2d(12, widths[0], 1)
        self.blocks = nn.ModuleList(_Block(a, b) for a, b in pairwise(widths))
        self.verdict = nn.Conv2d(widths[-1], 1, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):  # torch's own first weights let next to nothing through
                nn.init.kaiming_normal_(layer.weight, a=0.2)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Images (B, 3, R, R) to logits (B, 1, S, S) and the features of every scale."""
        x, features = F.leaky_relu(self.from_rgb(bands(images)), 0.2), []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        return self.verdict(x).float(), features


class Adversary:
    """A discriminator in training, and the gradient that it gives the generator.

    Args:
        config: The generator's sizes.
        device: Where to train.
        rate: Adam's step size.
    """

    def __init__(self, config: GeneratorConfig, device: torch.device, rate: float = 1e-3) -> None:
        self.module = Discriminator(config).to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.module.parameters(), rate, betas=(0.0, 0.99), fused=True)
        self._device = device

    def learn(self, real: Tensor, fake: Tensor, step: int) -> Tensor:
        """One step on pictures (B, 3, R, R); returns the loss, about 1.4 where both look alike."""
        with torch.autocast(self._device.type, torch.bfloat16):
            loss = F.softplus(-self.module(real)[0]).mean() + F.softplus(self.module(fake)[0]).mean()
        penalty = R1_EVERY * self._r1(real) if step % R1_EVERY == 0 else 0
        self.optimizer.zero_grad(set_to_none=True)
        (loss + penalty).backward()
        self.optimizer.step()
        return loss.detach()

    def _r1(self, real: Tensor) -> Tensor:
        real = real.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.module(real)[0].sum(), real, create_graph=True)
        return R1_WEIGHT / 2 * slope.square().sum((1, 2, 3)).mean()

    def gradient(self, image: Tensor, real: Tensor) -> Tensor:
        """How each pixel of a picture (B, 3, R, R) shall change to look real and like `real`; same shape."""
        image = image.detach().requires_grad_()
        with torch.autocast(self._device.type, torch.bfloat16):
            logits, features = self.module(image)
            with torch.no_grad():
                wanted = self.module(real)[1]
            loss = F.softplus(-logits).mean() + FEATURE_WEIGHT * _distance(features, wanted)
        (slope,) = torch.autograd.grad(loss, image)
        return slope


def _distance(features: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    pairs = zip(features, wanted, strict=True)
    return torch.stack([(one - other).abs().float().mean() for one, other in pairs]).mean()
