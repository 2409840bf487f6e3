"""68 face landmarks by integral regression, the mean of a heat map per point (Sun et al., arXiv:1711.08229).

A heat map's mean is as fine as a regressed coordinate, yet needs little data, since a convolution that finds
a corner of an eye finds it wherever it is. Points that look like nothing by themselves (jaw, nose bridge)
come from the coarse features, which see the whole face.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.errors import InvalidInput
from seamline.networks.residual import BasicBlock, ConvBnRelu
from seamline.networks.shapes import expect_shape

POINTS = 68


@dataclass(frozen=True, kw_only=True)
class LandmarkConfig:
    """Sizes of a landmark network."""

    input_size: int = 128
    """Side in pixels to which face crops are reduced, a multiple of 32."""
    width: int = 24
    """Channels after the stem; the stages have 1, 2, 4 and 6 times as many."""
    head_width: int = 64
    """Channels that all levels are brought to before they are added."""

    def __post_init__(self) -> None:
        if self.input_size < 32 or self.input_size % 32:
            raise InvalidInput(f"input_size must be a multiple of 32, got {self.input_size}", field="input_size")


class LandmarkNetwork(nn.Module):
    """Face crop to the 68 points of the iBUG scheme (jaw, brows, nose, eyes, mouth)."""

    def __init__(self, config: LandmarkConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * factor for factor in (1, 2, 4, 6)]
        self.stem = ConvBnRelu(3, widths[0], stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(BasicBlock(inputs, outputs, 2), BasicBlock(outputs, outputs))
            for inputs, outputs in zip([widths[0], *widths[:-1]], widths, strict=True)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, config.head_width, 1) for width in widths)
        self.merge = ConvBnRelu(config.head_width, config.head_width)
        self.points = nn.Conv2d(config.head_width, POINTS, 1)

    def heatmaps(self, images: Tensor) -> Tensor:
        """Where each point may be.

        Args:
            images: As `forward` takes them.

        Returns:
            (B, 68, s, s) in float32, each map with sum 1, s a quarter of input_size.
        """
        expect_shape(images, (None, 3, None, images.shape[2]), "landmark input (batch, rgb, side, side)")
        x, levels = self.stem(reduced(images, self.config.input_size)), []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            x = stage(x)
            levels.append(lateral(x))
        top = levels.pop()
        while levels:
            top = levels.pop() + F.interpolate(top, scale_factor=2.0)
        logits = self.points(self.merge(top)).float()
        return logits.flatten(2).softmax(2).unflatten(2, logits.shape[2:])

    def forward(self, images: Tensor) -> Tensor:
        """Find landmarks.

        Args:
            images: (B, 3, S, S) square crops around one face each, in [-1, 1]; reduced to input_size.

        Returns:
            (B, 68, 2) x and y in float32 in units of the crop's side: (0, 0) is its upper left corner, (1, 1)
            its lower right one.
        """
        maps = self.heatmaps(images)
        side = maps.shape[-1]
        centres = (torch.arange(side, device=maps.device) + 0.5) / side
        return torch.stack([(maps.sum(2) * centres).sum(2), (maps.sum(3) * centres).sum(2)], dim=2)


def reduced(images: Tensor, size: int) -> Tensor:
    """Crops (B, 3, S, S) at the network's size."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
