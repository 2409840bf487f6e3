"""Encoder for editing (Tov et al. 2021, arXiv:2102.02766), with the parameter names of encoder4editing."""

from dataclasses import dataclass
from math import log2

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.errors import InvalidInput
from seamline.networks.fully_connected import FullyConnected
from seamline.networks.ir_se import IrSeNetwork, Units
from seamline.networks.shapes import expect_shape

LATENT_AVG = "latent_avg"
COARSE_STYLES = 3
MIDDLE_STYLES = 7


@dataclass(frozen=True, kw_only=True)
class E4eConfig:
    """Sizes of an encoder; the defaults are those of the public FFHQ encoder."""

    input_size: int = 256
    """Side of the aligned face in pixels, a power of two."""
    generator_resolution: int = 1024
    """Resolution of the generator whose codes are predicted, which says how many there are."""
    w_dim: int = 512
    """Length of a code."""
    width: int = 64
    """Channels of the body's first stage; the fourth, and the feature pyramid, have eight times as many."""
    units: Units = (3, 4, 14, 3)
    """Residual units of every stage of the body."""
    style_width: int = 512
    """Channels inside a map-to-style block."""
    single_code: bool = False
    """Whether every layer gets the mean of the codes, which is one code of W: best where w was never trained to differ
    from layer to layer."""
    own_average: bool = False
    """Whether it brings the average code that its codes are added to, where that is not the generator's own."""

    def __post_init__(self) -> None:
        # A configuration file has lists.
        object.__setattr__(self, "units", tuple(self.units))
        resolution = self.generator_resolution
        if resolution < 8 or resolution & (resolution - 1):
            raise InvalidInput(
                f"generator_resolution must be a power of two from 8 up, got {resolution}",
                field="generator_resolution",
            )
        if self.input_size < 64 or self.input_size & (self.input_size - 1):
            raise InvalidInput(
                f"input_size must be a power of two from 64 up, got {self.input_size}", field="input_size"
            )

    @property
    def num_ws(self) -> int:
        """Codes of one image."""
        return 2 * int(log2(self.generator_resolution)) - 2


class GradualStyleBlock(nn.Module):
    """Shrinks a square feature map to one code by strided convolutions."""

    def __init__(self, inputs: int, width: int, w_dim: int, side: int) -> None:
        super().__init__()
        self.convs = nn.Sequential()
        for level in range(int(log2(side))):
            self.convs.append(nn.Conv2d(inputs if level == 0 else width, width, 3, 2, 1))
            self.convs.append(nn.LeakyReLU(0.01))
        self.linear = FullyConnected(width, w_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, side, side) to (B, w_dim) in float32."""
        return self.linear(self.convs(x).flatten(1))


class E4eEncoder(IrSeNetwork):
    """Aligned face to w+ codes, as offsets from the generator's average code.

    The first code comes from the coarsest features; every other adds what its level of the pyramid says.
    """

    def __init__(self, config: E4eConfig) -> None:
        super().__init__(config.width, config.units)
        self.config = config
        top = config.width * 8
        self.styles = nn.ModuleList(
            GradualStyleBlock(top, config.style_width, config.w_dim, config.input_size >> (4 - level))
            for level in map(self._level, range(config.num_ws))
        )
        self.latlayer1 = nn.Conv2d(config.width * 4, top, 1)
        self.latlayer2 = nn.Conv2d(config.width * 2, top, 1)
        if config.own_average:
            self.register_buffer(LATENT_AVG, torch.zeros(config.num_ws, config.w_dim))

    @staticmethod
    def _level(style: int) -> int:
        """Level of the feature pyramid that a style reads: 0 coarse, 1 middle, 2 fine."""
        return (style >= COARSE_STYLES) + (style >= MIDDLE_STYLES)

    def forward(self, images: Tensor) -> Tensor:
        """Invert faces.

        Args:
            images: (B, 3, S, S) in [-1, 1], S the config's input_size.

        Returns:
            (B, num_ws, w_dim) in float32, to be added to the average code: its own `latent_avg`, if it has one.
        """
        size = self.config.input_size
        expect_shape(images, (None, 3, size, size), "encoder input (batch, rgb, height, width)")
        _, fine, middle, coarse = self.stages(images)
        pyramid = [coarse]
        pyramid.append(_enlarge(coarse, middle) + self.latlayer1(middle))
        pyramid.append(_enlarge(pyramid[1], fine) + self.latlayer2(fine))
        codes = [style(pyramid[self._level(index)]) for index, style in enumerate(self.styles)]
        predicted = torch.stack(codes[:1] + [codes[0] + offset for offset in codes[1:]], dim=1)
        return predicted.mean(1, keepdim=True).expand_as(predicted) if self.config.single_code else predicted


def _enlarge(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=True)
