"""LPIPS perceptual distance (Zhang et al. 2018, arXiv:1801.03924), with the names of lpips 0.1 (AlexNet)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from seamline.networks.shapes import expect_shape


@dataclass(frozen=True, kw_only=True)
class LpipsConfig:
    """Sizes of a perceptual distance; the default is AlexNet."""

    width: int = 64
    """Channels of the first of the five feature maps; the others have 3, 6, 4 and 4 times as many."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of every feature map."""
        return tuple(self.width * factor for factor in (1, 3, 6, 4, 4))


class ScalingLayer(nn.Module):
    """From [-1, 1] to the statistics that the features were trained with."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[None, :, None, None])
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[None, :, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to the same shape."""
        return (images - self.shift) / self.scale


class AlexNetFeatures(nn.Module):
    """The convolutions of AlexNet in five slices, each ending with a ReLU; names count its layers."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = channels
        self.slice1 = _named(0, [nn.Conv2d(3, c1, 11, 4, 2), nn.ReLU()])
        self.slice2 = _named(2, [nn.MaxPool2d(3, 2), nn.Conv2d(c1, c2, 5, 1, 2), nn.ReLU()])
        self.slice3 = _named(5, [nn.MaxPool2d(3, 2), nn.Conv2d(c2, c3, 3, 1, 1), nn.ReLU()])
        self.slice4 = _named(8, [nn.Conv2d(c3, c4, 3, 1, 1), nn.ReLU()])
        self.slice5 = _named(10, [nn.Conv2d(c4, c5, 3, 1, 1), nn.ReLU()])

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to the output of every slice."""
        outputs = []
        for part in (self.slice1, self.slice2, self.slice3, self.slice4, self.slice5):
            x = part(x)
            outputs.append(x)
        return outputs


class ChannelWeights(nn.Module):
    """One non-negative weight per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False))
        nn.init.constant_(cast(nn.Conv2d, self.model[1]).weight, 1 / channels)


class Lpips(nn.Module):
    """Distance of two images as people see it."""

    def __init__(self, config: LpipsConfig) -> None:
        super().__init__()
        self.config = config
        self.scaling_layer = ScalingLayer()
        self.net = AlexNetFeatures(config.channels)
        self.lins = nn.ModuleList(ChannelWeights(channels) for channels in config.channels)
        # The public state dict holds every weight under both names.
        for index, weights in enumerate(self.lins):
            self.add_module(f"lin{index}", weights)

    def features(self, images: Tensor) -> list[Tensor]:
        """Features whose weighted squared difference is the distance; keep those of a fixed target.

        Args:
            images: (B, 3, H, W) in [-1, 1], sides from 32 up.

        Returns:
            Five maps (B, C, h, w) in float32, of unit length over the channels.
        """
        expect_shape(images, (None, 3, None, None), "perceptual input (batch, rgb, height, width)")
        return [_unit(x.float()) for x in self.net(self.scaling_layer(images))]

    def distance(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """Distance (B,) of what `features` returned for two batches of images."""
        total = first[0].new_zeros(())
        for weights, one, other in zip(self.lins, first, second, strict=True):
            weight = cast(Tensor, weights.get_parameter("model.1.weight"))
            total = total + ((one - other).square() * weight).sum(1).mean((1, 2))
        return total

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compare images.

        Args:
            first: (B, 3, H, W) in [-1, 1].
            second: The same shape.

        Returns:
            (B,) in float32; 0 for equal images.
        """
        expect_shape(second, tuple(first.shape), "second perceptual input (batch, rgb, height, width)")
        return self.distance(self.features(first), self.features(second))


def _unit(x: Tensor) -> Tensor:
    # The root's slope at 0 is infinite: the first term keeps dead features from poisoning gradients.
    return x / ((x.square().sum(1, keepdim=True) + 1e-20).sqrt() + 1e-10)


def _named(start: int, layers: list[nn.Module]) -> nn.Sequential:
    part = nn.Sequential()
    for offset, layer in enumerate(layers):
        part.add_module(str(start + offset), layer)
    return part
