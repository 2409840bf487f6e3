"""Single shot scale-invariant face detector (Zhang et al. 2017, arXiv:1708.05237), with face-alignment's names."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.networks.shapes import expect_shape

TRUNK = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""Width and number of the convolutions of every stage of VGG."""
READ = {"conv3_3_norm": 4, "conv4_3_norm": 8, "conv5_3_norm": 8, "fc7": 16, "conv6_2": 8, "conv7_2": 4}
"""What the heads read, fine to coarse, and how wide it is."""
BACKGROUNDS = 3
"""The finest level knows three backgrounds, of which the strongest counts."""
FINEST_STRIDE = 4
MULTIPLE = FINEST_STRIDE << (len(READ) - 1)
"""The coarsest stride. Of pictures with other sides the coarse levels do not see the last rows and columns."""
ANCHOR = 4
"""Side of a level's anchors in strides."""
CENTER_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
MEAN = (104.0, 117.0, 123.0)
"""Of blue, green and red in the pictures it was trained with."""


@dataclass(frozen=True, kw_only=True)
class S3fdConfig:
    """Sizes of a detector; the default is that of the public network."""

    width: int = 64
    """Channels of the first stage; everything else is in proportion."""


class ChannelNorm(nn.Module):
    """Scales features to unit length over the channels, and every channel by a weight."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), 10.0))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10) * self.weight[:, None, None]


class S3fd(nn.Module):
    """Pictures to face boxes with scores, for faces from about 10 pixels up."""

    def __init__(self, config: S3fdConfig) -> None:
        super().__init__()
        self.config = config
        width, inputs = config.width, 3
        for stage, (factor, count) in enumerate(TRUNK, 1):
            for number in range(1, count + 1):
                self.add_module(f"conv{stage}_{number}", nn.Conv2d(inputs, width * factor, 3, 1, 1))
                inputs = width * factor
        self.fc6 = nn.Conv2d(width * 8, width * 16, 3, 1, 3)
        self.fc7 = nn.Conv2d(width * 16, width * 16, 1)
        self.conv6_1 = nn.Conv2d(width * 16, width * 4, 1)
        self.conv6_2 = nn.Conv2d(width * 4, width * 8, 3, 2, 1)
        self.conv7_1 = nn.Conv2d(width * 8, width * 2, 1)
        self.conv7_2 = nn.Conv2d(width * 2, width * 4, 3, 2, 1)
        for level, (name, factor) in enumerate(READ.items()):
            if name.endswith("_norm"):
                self.add_module(name, ChannelNorm(width * factor))
            classes = 2 if level else BACKGROUNDS + 1
            self.add_module(f"{name}_mbox_conf", nn.Conv2d(width * factor, classes, 3, 1, 1))
            self.add_module(f"{name}_mbox_loc", nn.Conv2d(width * factor, 4, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Find faces.

        Args:
            images: (B, 3, H, W) RGB in [-1, 1].

        Returns:
            (B, N, 5) in float32: left, top, right, bottom in pixels and the score in [0, 1] of every anchor, finest
            level first; most of them are no faces, and a face has several.
        """
        expect_shape(images, (None, 3, None, None), "detector input (batch, rgb, height, width)")
        mean = images.new_tensor(MEAN)[:, None, None]
        maps = self.maps((images.flip(1) + 1) * 127.5 - mean)
        return torch.cat([_decode(*level, FINEST_STRIDE << index) for index, level in enumerate(maps)], dim=1)

    def maps(self, pixels: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Pictures (B, 3, H, W), blue first and without their mean, to logits (B, 2, h, w) and boxes (B, 4, h, w)."""
        levels: list[tuple[Tensor, Tensor]] = []
        for level, (name, x) in enumerate(zip(READ, self._features(pixels), strict=True)):
            x = self.get_submodule(name)(x) if name.endswith("_norm") else x
            logits, boxes = self.get_submodule(f"{name}_mbox_conf")(x), self.get_submodule(f"{name}_mbox_loc")(x)
            if level == 0:
                background = logits[:, :BACKGROUNDS].amax(1, keepdim=True)
                logits = torch.cat([background, logits[:, BACKGROUNDS:]], dim=1)
            levels.append((logits.float(), boxes.float()))
        return levels

    def _features(self, x: Tensor) -> list[Tensor]:
        """Features at strides 4 to 128."""
        features = []
        for stage, (_, count) in enumerate(TRUNK, 1):
            x = self._convolved(x, [f"conv{stage}_{number}" for number in range(1, count + 1)])
            features.append(x)
            x = F.max_pool2d(x, 2, 2)
        for names in (("fc6", "fc7"), ("conv6_1", "conv6_2"), ("conv7_1", "conv7_2")):
            x = self._convolved(x, names)
            features.append(x)
        return features[2:]

    def _convolved(self, x: Tensor, names: Sequence[str]) -> Tensor:
        for name in names:
            x = torch.relu(self.get_submodule(name)(x))
        return x


def _decode(logits: Tensor, offsets: Tensor, stride: int) -> Tensor:
    """Logits (B, 2, h, w) and offsets (B, 4, h, w) from a level's anchors to (B, h * w, 5)."""
    rows, columns = (torch.arange(size, device=logits.device) for size in logits.shape[2:])
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    anchors = (torch.stack([x, y]) + 0.5) * stride
    side = float(ANCHOR * stride)
    centers = anchors + offsets[:, :2] * (CENTER_VARIANCE * side)
    halves = (offsets[:, 2:] * SIZE_VARIANCE).exp() * (side / 2)
    scores = logits.softmax(1)[:, 1:]
    return torch.cat([centers - halves, centers + halves, scores], dim=1).flatten(2).transpose(1, 2)
