"""BiSeNet V2 face parsing (Yu et al. 2021, arXiv:2004.02147), with the parameter names of CoinCheung's checkpoints.

Two branches look at the picture: a wide, shallow one for where things are and a narrow, deep one for what they are.
Half the operations of the first version, and no ResNet.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.networks.bisenet import BiSeNet, BiSeNetConfig
from seamline.networks.residual import ConvBnRelu

EXPANSION = 6
"""How many times wider a gather-and-expansion layer is inside."""
ENLARGED = 4
"""From the deep branch's stride to the shallow one's."""


def _conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution and batch norm, to be laid flat into a Sequential."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]


class DetailBranch(nn.Module):
    """The wide, shallow branch: images to features (B, 2W, H / 8, W / 8)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        stages = [(3, width, 2), (width, width, 3), (width, width * 2, 3)]
        self.S1, self.S2, self.S3 = (self._stage(*stage) for stage in stages)

    @staticmethod
    def _stage(inputs: int, outputs: int, layers: int) -> nn.Sequential:
        rest = [ConvBnRelu(outputs, outputs) for _ in range(layers - 1)]
        return nn.Sequential(ConvBnRelu(inputs, outputs, stride=2), *rest)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 2W, H / 8, W / 8)."""
        return self.S3(self.S2(self.S1(x)))


class Stem(nn.Module):
    """Images to features at stride 4, by convolution and by pooling."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv = ConvBnRelu(3, outputs, stride=2)
        self.left = nn.Sequential(ConvBnRelu(outputs, outputs // 2, 1), ConvBnRelu(outputs // 2, outputs, stride=2))
        self.fuse = ConvBnRelu(outputs * 2, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, O, H / 4, W / 4)."""
        x = self.conv(x)
        return self.fuse(torch.cat([self.left(x), F.max_pool2d(x, 3, 2, 1)], dim=1))


class GatherExpand(nn.Module):
    """Gather-and-expansion layer: a wide depthwise convolution around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = channels * EXPANSION
        self.conv1 = ConvBnRelu(channels, channels)
        self.dwconv = nn.Sequential(*_conv_bn(channels, wide, groups=channels), nn.ReLU())
        self.conv2 = nn.Sequential(*_conv_bn(wide, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return torch.relu(x + self.conv2(self.dwconv(self.conv1(x))))


class GatherExpandDown(nn.Module):
    """The same layer at half the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        wide = inputs * EXPANSION
        self.conv1 = ConvBnRelu(inputs, inputs)
        self.dwconv1 = nn.Sequential(*_conv_bn(inputs, wide, stride=2, groups=inputs))
        self.dwconv2 = nn.Sequential(*_conv_bn(wide, wide, groups=wide), nn.ReLU())
        self.conv2 = nn.Sequential(*_conv_bn(wide, outputs, 1))
        self.shortcut = nn.Sequential(*_conv_bn(inputs, inputs, stride=2, groups=inputs), *_conv_bn(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W) to (B, O, H / 2, W / 2)."""
        return torch.relu(self.shortcut(x) + self.conv2(self.dwconv2(self.dwconv1(self.conv1(x)))))


class ContextEmbedding(nn.Module):
    """Adds what the whole picture shows to every place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.conv_gap = ConvBnRelu(channels, channels, 1)
        self.conv_last = ConvBnRelu(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return self.conv_last(x + self.conv_gap(self.bn(x.mean((2, 3), keepdim=True))))


class SegmentBranch(nn.Module):
    """The narrow, deep branch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = [width // 4, width // 2, width, width * 2]
        self.S1S2 = Stem(sizes[0])
        self.S3, self.S4, self.S5_4 = (
            nn.Sequential(GatherExpandDown(before, size), *(GatherExpand(size) for _ in range(count)))
            for (before, size), count in zip(pairwise(sizes), (1, 1, 3), strict=True)
        )
        self.S5_5 = ContextEmbedding(sizes[3])

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to features at strides 4, 8, 16 and 32, then those at 32 with their context."""
        features = [self.S1S2(x)]
        for stage in (self.S3, self.S4, self.S5_4, self.S5_5):
            features.append(stage(features[-1]))
        return features


class BilateralGuidedAggregation(nn.Module):
    """Lets each branch weigh the other's features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.left1 = self._mixed(channels)
        self.left2 = nn.Sequential(*_conv_bn(channels, channels, stride=2), nn.AvgPool2d(3, 2, 1))
        self.right1 = nn.Sequential(*_conv_bn(channels, channels))
        self.right2 = self._mixed(channels)
        self.conv = nn.Sequential(*_conv_bn(channels, channels), nn.ReLU())

    @staticmethod
    def _mixed(channels: int) -> nn.Sequential:
        return nn.Sequential(
            *_conv_bn(channels, channels, groups=channels), nn.Conv2d(channels, channels, 1, bias=False)
        )

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        """(B, C, H / 8, W / 8) and (B, C, H / 32, W / 32) to (B, C, H / 8, W / 8)."""
        left = self.left1(detail) * torch.sigmoid(F.interpolate(self.right1(context), scale_factor=ENLARGED))
        right = self.left2(detail) * torch.sigmoid(self.right2(context))
        return self.conv(left + F.interpolate(right, scale_factor=ENLARGED))


class SegmentHead(nn.Module):
    """Features to class logits at the picture's size; the parameters' names leave room for the auxiliary heads'."""

    def __init__(self, inputs: int, middle: int, classes: int, enlarged_by: int = 0) -> None:
        """`enlarged_by` is the stride of an auxiliary head's features; the main head's are not enlarged before."""
        super().__init__()
        self.conv = ConvBnRelu(inputs, middle)
        last, before = middle, nn.Identity()
        if enlarged_by:
            last = enlarged_by**2
            before = nn.Sequential(nn.Upsample(scale_factor=2), ConvBnRelu(middle, last))
        self.conv_out = nn.Sequential(before, nn.Conv2d(last, classes, 1))

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        """(B, I, h, w) to logits (B, classes, H, W) in float32."""
        logits = self.conv_out(self.conv(x)).float()
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


class BiSeNetV2(nn.Module):
    """Face image to the class of every pixel, as `BiSeNet`; sides are multiples of 32."""

    def __init__(self, config: BiSeNetConfig) -> None:
        super().__init__()
        self.config = config
        width, classes = config.width, config.classes
        self.detail = DetailBranch(width)
        self.segment = SegmentBranch(width)
        self.bga = BilateralGuidedAggregation(width * 2)
        self.head = SegmentHead(width * 2, width * 16, classes)
        self.aux2 = SegmentHead(width // 4, width * 2, classes, 4)
        self.aux3 = SegmentHead(width // 2, width * 2, classes, 8)
        self.aux4 = SegmentHead(width, width * 2, classes, 16)
        self.aux5_4 = SegmentHead(width * 2, width * 2, classes, 32)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] to logits (B, classes, H, W) in float32."""
        return self.logits(BiSeNet.normalize(images))[0]

    def heads(self, images: Tensor) -> list[Tensor]:
        """Logits of the main head and of the four auxiliary heads, which steady the training; as `forward`."""
        return self.logits(BiSeNet.normalize(images), auxiliary=True)

    def logits(self, normalized: Tensor, *, auxiliary: bool = False) -> list[Tensor]:
        """Logits of the main head, and of the others when asked for, of normalized images."""
        *deep, context = self.segment(normalized)
        size = normalized.shape[2:]
        logits: list[Tensor] = [self.head(self.bga(self.detail(normalized), context), size)]
        if auxiliary:
            heads = (self.aux2, self.aux3, self.aux4, self.aux5_4)
            logits += [head(features, size) for head, features in zip(heads, deep, strict=True)]
        return logits
