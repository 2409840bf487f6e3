"""The adversary of the generator's finish: StyleGAN2's residual discriminator, told which parameters were asked for.

It is seen in training only. Beside its verdict it gives the features of every scale, in which the generator's
picture is compared with the renderer's: there, hair and teeth a pixel off are a smaller error than none at all.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.networks.stylegan2 import GeneratorConfig

R1_WEIGHT = 2.0
"""Gamma of the gradient penalty (Mescheder et al. 2018)."""
R1_EVERY = 16
"""Steps between two penalties, which weigh as much more (lazy regularisation, Karras et al. 2020)."""
FEATURE_WEIGHT = 10.0
"""Weight of the features' distance (Wang et al. 2018, pix2pixHD) beside the verdict."""
WIDER = 2
"""Channels of the discriminator over those of the generator at the same resolution, where that has fewer than most."""


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
    """Tells rendered portraits from generated ones.

    Args:
        config: The generator's sizes.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        sides = config.resolutions[::-1]
        widths = [min(WIDER * config.channels(side), config.channel_max) for side in sides]
        self.from_rgb = nn.Conv2d(3, widths[0], 1)
        self.blocks = nn.ModuleList(_Block(a, b) for a, b in pairwise(widths))
        self.last = nn.Conv2d(widths[-1] + 1, widths[-1], 3, padding=1)
        self.summary = nn.Linear(widths[-1] * sides[-1] ** 2, widths[-1])
        self.verdict = nn.Linear(widths[-1], 1)
        self.condition = nn.Linear(config.z_dim, widths[-1])

    def forward(self, images: Tensor, z: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Images (B, 3, R, R) and their parameters (B, z_dim) to logits (B,) and the features of every scale."""
        x, features = F.leaky_relu(self.from_rgb(images), 0.2), []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        spread = x.float().var(0, unbiased=False).add(1e-8).sqrt().mean().expand(len(x), 1, *x.shape[2:])
        x = F.leaky_relu(self.last(torch.cat([x, spread.to(x.dtype)], 1)), 0.2)
        code = F.leaky_relu(self.summary(x.flatten(1)), 0.2).float()
        # Projection (Miyato and Koyama 2018): does the picture go with the parameters?
        match = (code * self.condition(z).float()).sum(1) / sqrt(code.shape[1])
        return self.verdict(code).float()[:, 0] + match, features


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

    def learn(self, real: Tensor, fake: Tensor, z: Tensor, step: int) -> Tensor:
        """One step on pictures (B, 3, R, R); returns the loss, about 1.4 where both look alike."""
        with torch.autocast(self._device.type, torch.bfloat16):
            loss = F.softplus(-self.module(real, z)[0]).mean() + F.softplus(self.module(fake, z)[0]).mean()
        penalty = R1_EVERY * self._r1(real, z) if step % R1_EVERY == 0 else 0
        self.optimizer.zero_grad(set_to_none=True)
        (loss + penalty).backward()
        self.optimizer.step()
        return loss.detach()

    def _r1(self, real: Tensor, z: Tensor) -> Tensor:
        real = real.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.module(real, z)[0].sum(), real, create_graph=True)
        return R1_WEIGHT / 2 * slope.square().sum((1, 2, 3)).mean()

    def gradient(self, image: Tensor, real: Tensor, z: Tensor) -> Tensor:
        """How each pixel of a picture (B, 3, R, R) shall change to look real and like `real`; same shape."""
        image = image.detach().requires_grad_()
        with torch.autocast(self._device.type, torch.bfloat16):
            logits, features = self.module(image, z)
            with torch.no_grad():
                wanted = self.module(real, z)[1]
            loss = F.softplus(-logits).mean() + FEATURE_WEIGHT * _distance(features, wanted)
        (slope,) = torch.autograd.grad(loss, image)
        return slope


def _distance(features: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    pairs = zip(features, wanted, strict=True)
    return torch.stack([(one - other).abs().float().mean() for one, other in pairs]).mean()
