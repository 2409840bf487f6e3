"""BiSeNet face parsing (Yu et al. 2018, arXiv:1808.00897), with the parameter names of `79999_iter.pth`.

That checkpoint's network takes the spatial path's features from the context path's ResNet, at stride 8.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.errors import InvalidInput
from seamline.networks.residual import BasicBlock, ConvBnRelu
from seamline.networks.shapes import expect_shape

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class BiSeNetConfig:
    """Sizes of a parsing network; the defaults are those of the public CelebAMask-HQ network."""

    classes: int = 19
    """Kinds of pixels."""
    width: int = 64
    """Channels of the first stage, a multiple of 4, or of 8 in version 2; everything else is in proportion."""
    version: int = 1
    """1 for `BiSeNet`, 2 for `BiSeNetV2`."""

    def __post_init__(self) -> None:
        if self.version not in (1, 2):
            raise InvalidInput(f"version must be 1 or 2, got {self.version}", field="version")
        step = 4 * self.version
        if self.width < step or self.width % step:
            raise InvalidInput(f"width must be a multiple of {step}, got {self.width}", field="width")


class ResNet18(nn.Module):
    """The feature extractor: four stages of two residual blocks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, 1)
        self.layer2 = _stage(width, width * 2, 2)
        self.layer3 = _stage(width * 2, width * 4, 2)
        self.layer4 = _stage(width * 4, width * 8, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, 3, H, W) to features at strides 8, 16 and 32."""
        x = F.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        stride8 = self.layer2(self.layer1(x))
        stride16 = self.layer3(stride8)
        return stride8, stride16, self.layer4(stride16)


class AttentionRefinement(nn.Module):
    """Convolution whose channels are weighed by their own means."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = ConvBnRelu(inputs, outputs)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W) to (B, O, H, W)."""
        x = self.conv(x)
        return x * torch.sigmoid(self.bn_atten(self.conv_atten(x.mean((2, 3), keepdim=True))))


class ContextPath(nn.Module):
    """ResNet features, refined from coarse to fine."""

    def __init__(self, width: int) -> None:
        super().__init__()
        neck = width * 2
        self.resnet = ResNet18(width)
        self.arm16 = AttentionRefinement(width * 4, neck)
        self.arm32 = AttentionRefinement(width * 8, neck)
        self.conv_head32 = ConvBnRelu(neck, neck)
        self.conv_head16 = ConvBnRelu(neck, neck)
        self.conv_avg = ConvBnRelu(width * 8, neck, kernel=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images to ResNet features at stride 8, and refined features at strides 8 and 16."""
        stride8, stride16, stride32 = self.resnet(x)
        coarse = self.arm32(stride32) + self.conv_avg(stride32.mean((2, 3), keepdim=True))
        refined16 = self.conv_head32(F.interpolate(coarse, size=stride16.shape[2:]))
        middle = self.arm16(stride16) + refined16
        return stride8, self.conv_head16(F.interpolate(middle, size=stride8.shape[2:])), refined16


class FeatureFusion(nn.Module):
    """Mixes the features of both paths and weighs the channels of the mix."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convblk = ConvBnRelu(inputs, outputs, kernel=1)
        self.conv1 = nn.Conv2d(outputs, outputs // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs // 4, outputs, 1, bias=False)

    def forward(self, spatial: Tensor, context: Tensor) -> Tensor:
        """Two feature maps of one size to (B, O, H, W)."""
        x = self.convblk(torch.cat([spatial, context], dim=1))
        return x + x * torch.sigmoid(self.conv2(torch.relu(self.conv1(x.mean((2, 3), keepdim=True)))))


class OutputHead(nn.Module):
    """Features to class logits, enlarged to the image's size."""

    def __init__(self, inputs: int, middle: int, classes: int) -> None:
        super().__init__()
        self.conv = ConvBnRelu(inputs, middle)
        self.conv_out = nn.Conv2d(middle, classes, 1, bias=False)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        """(B, I, h, w) to logits (B, classes, H, W) in float32."""
        logits = self.conv_out(self.conv(x)).float()
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=True)


class PixelClasses(nn.Module):
    """A parsing network's verdicts alone: a nineteenth of its logits, which is what travels where it runs elsewhere."""

    def __init__(self, parsing: nn.Module) -> None:
        super().__init__()
        self.parsing = parsing

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) as `BiSeNet` takes them, to every pixel's class (B, 1, H, W), as float32."""
        return self.parsing(images).argmax(1, keepdim=True).float()


class BiSeNet(nn.Module):
    """Face image to the class of every pixel."""

    def __init__(self, config: BiSeNetConfig) -> None:
        super().__init__()
        self.config = config
        width, neck = config.width, config.width * 2
        self.cp = ContextPath(width)
        self.ffm = FeatureFusion(neck * 2, width * 4)
        self.conv_out = OutputHead(width * 4, width * 4, config.classes)
        self.conv_out16 = OutputHead(neck, width, config.classes)
        self.conv_out32 = OutputHead(neck, width, config.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Parse faces.

        Args:
            images: (B, 3, H, W) in [-1, 1], sides from 32 up.

        Returns:
            Logits (B, classes, H, W) in float32.
        """
        return self.logits(self.normalize(images))[0]

    def heads(self, images: Tensor) -> list[Tensor]:
        """Logits of the main head and of both auxiliary heads, which steady the training; as `forward`."""
        return self.logits(self.normalize(images), auxiliary=True)

    @staticmethod
    def normalize(images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] to ImageNet's mean 0 and deviation 1."""
        expect_shape(images, (None, 3, None, None), "parsing input (batch, rgb, height, width)")
        mean, std = (images.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
        return (images / 2 + 0.5 - mean) / std

    def logits(self, normalized: Tensor, *, auxiliary: bool = False) -> list[Tensor]:
        """Logits of the main head, and of the others when asked for, of normalized images."""
        spatial, context8, context16 = self.cp(normalized)
        size = normalized.shape[2:]
        logits: list[Tensor] = [self.conv_out(self.ffm(spatial, context8), size)]
        if auxiliary:
            logits += [self.conv_out16(context8, size), self.conv_out32(context16, size)]
        return logits


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs))
