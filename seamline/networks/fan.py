"""Face alignment network (Bulat and Tzimiropoulos 2017, arXiv:1703.07332), with the names of face-alignment's 2DFAN."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.errors import InvalidInput
from seamline.networks.shapes import expect_shape

POINTS = 68
INPUT_SIZE = 256
"""Side of the face's crop in pixels."""
DEPTH = 4
"""How often an hourglass halves the resolution."""


@dataclass(frozen=True, kw_only=True)
class FanConfig:
    """Sizes of an alignment network; the defaults are those of 2DFAN-4."""

    stacks: int = 4
    """Hourglasses, each refining the heatmaps of the one before."""
    width: int = 256
    """Channels of the features, a multiple of 4."""

    def __post_init__(self) -> None:
        if self.width < 4 or self.width % 4:
            raise InvalidInput(f"width must be a multiple of 4, got {self.width}", field="width")
        if self.stacks < 1:
            raise InvalidInput(f"stacks must be at least 1, got {self.stacks}", field="stacks")


class HierarchicalBlock(nn.Module):
    """Three convolutions, each reading the one before, side by side around a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        sizes = (inputs, outputs // 2, outputs // 4, outputs // 4)
        for number in range(1, 4):
            before, after = sizes[number - 1], sizes[number]
            self.add_module(f"bn{number}", nn.BatchNorm2d(before))
            self.add_module(f"conv{number}", nn.Conv2d(before, after, 3, 1, 1, bias=False))
        self.projects = inputs != outputs
        if self.projects:
            self.downsample = nn.Sequential(
                nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W) to (B, O, H, W)."""
        shortcut = self.downsample(x) if self.projects else x
        parts = []
        for number in range(1, 4):
            x = self.get_submodule(f"conv{number}")(torch.relu(self.get_submodule(f"bn{number}")(x)))
            parts.append(x)
        return torch.cat(parts, dim=1) + shortcut


class HourGlass(nn.Module):
    """Features at ever lower resolutions, each added to the next higher one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        for level in range(DEPTH, 0, -1):
            for branch in ("b1", "b2", "b3"):
                self.add_module(f"{branch}_{level}", HierarchicalBlock(width, width))
        self.b2_plus_1 = HierarchicalBlock(width, width)

    def forward(self, x: Tensor, level: int = DEPTH) -> Tensor:
        """(B, C, H, W) to the same shape, sides multiples of 16."""
        low = self.get_submodule(f"b2_{level}")(F.avg_pool2d(x, 2))
        low = self(low, level - 1) if level > 1 else self.b2_plus_1(low)
        low = self.get_submodule(f"b3_{level}")(low)
        return self.get_submodule(f"b1_{level}")(x) + F.interpolate(low, scale_factor=2.0)


class Fan(nn.Module):
    """The crop of a face to a heatmap for each of its 68 landmarks."""

    def __init__(self, config: FanConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.conv1 = nn.Conv2d(3, width // 4, 7, 2, 3)
        self.bn1 = nn.BatchNorm2d(width // 4)
        self.conv2 = HierarchicalBlock(width // 4, width // 2)
        self.conv3 = HierarchicalBlock(width // 2, width // 2)
        self.conv4 = HierarchicalBlock(width // 2, width)
        for stack in range(config.stacks):
            self.add_module(f"m{stack}", HourGlass(width))
            self.add_module(f"top_m_{stack}", HierarchicalBlock(width, width))
            self.add_module(f"conv_last{stack}", nn.Conv2d(width, width, 1))
            self.add_module(f"bn_end{stack}", nn.BatchNorm2d(width))
            self.add_module(f"l{stack}", nn.Conv2d(width, POINTS, 1))
            if stack < config.stacks - 1:
                self.add_module(f"bl{stack}", nn.Conv2d(width, width, 1))
                self.add_module(f"al{stack}", nn.Conv2d(POINTS, width, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Find landmarks.

        Args:
            images: (B, 3, 256, 256) RGB in [-1, 1].

        Returns:
            Heatmaps (B, 68, 64, 64) in float32 of the last hourglass.
        """
        expect_shape(images, (None, 3, INPUT_SIZE, INPUT_SIZE), "alignment input (batch, rgb, height, width)")
        x = torch.relu(self.bn1(self.conv1(images / 2 + 0.5)))
        x = self.conv4(self.conv3(F.avg_pool2d(self.conv2(x), 2)))
        heatmaps = x
        for stack in range(self.config.stacks):
            y = self.get_submodule(f"top_m_{stack}")(self.get_submodule(f"m{stack}")(x))
            y = torch.relu(self.get_submodule(f"bn_end{stack}")(self.get_submodule(f"conv_last{stack}")(y)))
            heatmaps = self.get_submodule(f"l{stack}")(y)
            if stack < self.config.stacks - 1:
                x = x + self.get_submodule(f"bl{stack}")(y) + self.get_submodule(f"al{stack}")(heatmaps)
        return heatmaps.float()
