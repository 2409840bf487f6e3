"""Reads attributes (smile, age, yaw, ...) off an aligned face."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from seamline.networks.shapes import expect_shape


@dataclass(frozen=True, kw_only=True)
class AttributesConfig:
    """Sizes of an attribute network, and what its outputs are."""

    names: tuple[str, ...] = ()
    """The attributes, in the order of the outputs."""
    input_size: int = 128
    """Side in pixels to which crops are reduced."""
    width: int = 24
    """Channels after the first convolution; four stages of 1, 2, 4 and 6 times as many follow."""

    def __post_init__(self) -> None:
        # A configuration file has lists.
        object.__setattr__(self, "names", tuple(self.names))
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"names must be distinct and at least one, got {self.names}")


class Residual(nn.Module):
    """Halves the resolution, then refines: conv, norm, ReLU, and a residual convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.down_norm = nn.BatchNorm2d(outputs)
        self.refine = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.refine_norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, I, H, W) to (B, O, H/2, W/2)."""
        x = F.relu(self.down_norm(self.down(x)))
        return F.relu(x + self.refine_norm(self.refine(x)))


class AttributeNetwork(nn.Module):
    """A small residual network that regresses standardised attributes (mean 0, deviation 1)."""

    def __init__(self, config: AttributesConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * factor for factor in (1, 2, 4, 6)]
        self.stages = nn.Sequential(*map(Residual, [3, *widths[:-1]], widths))
        # A coarse grid is kept, since most attributes live at one place of an aligned face.
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.hidden = nn.Linear(widths[-1] * 16, 128)
        self.values = nn.Linear(128, len(config.names))

    def forward(self, images: Tensor) -> Tensor:
        """Read attributes.

        Args:
            images: (B, 3, S, S) aligned crops, RGB in [-1, 1], S at least `input_size`.

        Returns:
            (B, len(names)) in standard deviations.
        """
        expect_shape(images, (None, 3, None, None), "attribute network's images (batch, rgb, height, width)")
        features = self.pool(self.stages(reduced(images, self.config.input_size))).flatten(1)
        return self.values(F.relu(self.hidden(features)))


def reduced(images: Tensor, size: int) -> Tensor:
    """Crops (B, 3, S, S) at the network's size."""
    return images if images.shape[-1] == size else F.interpolate(images, size=(size, size), mode="area")
