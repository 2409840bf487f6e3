"""HyperStyle (Alaluf et al. 2022, arXiv:2111.15666): weights of a generator that fit one picture, without optimising.

A hypernetwork looks at a picture and at what the generator draws of it, and predicts for every sample how the
filters of the generator's 3x3 convolutions change, `W' = W (1 + D)`. Looking again at the new drawing refines
D further; a few passes reach what tuning takes hundreds of steps for. Parameter names are those of the
public checkpoint's `hypernet`, whose blocks repeat the shared part's four tensors: here they appear once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log2
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.errors import InvalidInput
from seamline.networks.fully_connected import FullyConnected
from seamline.networks.ir_se import PRelu, Units
from seamline.networks.residual import BasicBlock
from seamline.networks.shapes import expect_shape
from seamline.networks.stylegan2 import Generator, GeneratorConfig, Noise

PASSES = 5
"""Looks at a picture, as in the paper's evaluation."""
Offsets = dict[str, Tensor]
"""What is added to 1 to give the factors of filters (B, O, I, k, k), k 1 or 3, by name in the synthesis network."""


class Layer(NamedTuple):
    """A convolution that is refined."""

    number: int
    """Place among all convolutions of the generator, those to RGB included, as checkpoints count them."""
    name: str
    """Its filters' name in the synthesis network."""
    inputs: int
    outputs: int


@dataclass(frozen=True, kw_only=True)
class HyperStyleConfig:
    """Sizes of a hypernetwork; the defaults are those of the public FFHQ network."""

    input_size: int = 256
    """Side in pixels, a power of two, to which pictures are reduced."""
    resolution: int = 1024
    """Resolution of the generator that is refined."""
    channel_base: int = 32768
    """Channels times resolution of that generator's blocks."""
    channel_max: int = 512
    """Upper bound of the channels of that generator's blocks."""
    blocks: tuple[int, ...] = ()
    """Resolutions of the blocks that are refined; all when empty."""
    width: int = 64
    """Channels of the body's first stage; every stage has twice as many as the one before."""
    units: Units = (3, 4, 6, 3)
    """Residual units of every stage."""
    code_width: int = 512
    """Length of the code that a layer's factors are made of."""
    shared_width: int = 128
    """Channels inside the blocks of the layers that share their last matrices."""
    own_width: int = 256
    """Channels inside the blocks of the others."""
    shared_kernel: int = 3
    """3 gives every weight of the layers that share a factor of its own, 1 one to all of a filter's kernel."""

    def __post_init__(self) -> None:
        # A configuration file has lists.
        object.__setattr__(self, "units", tuple(self.units))
        object.__setattr__(self, "blocks", tuple(self.blocks))
        if self.input_size < 64 or self.input_size & (self.input_size - 1):
            raise InvalidInput(
                f"input_size must be a power of two from 64 up, got {self.input_size}", field="input_size"
            )
        if self.shared_kernel not in (1, 3):
            raise InvalidInput(f"shared_kernel must be 1 or 3, got {self.shared_kernel}", field="shared_kernel")
        known = self._generator.resolutions
        if unknown := set(self.blocks) - set(known):
            raise InvalidInput(f"blocks must be among {known}, got {sorted(unknown)}", field="blocks")

    @property
    def _generator(self) -> GeneratorConfig:
        return GeneratorConfig(resolution=self.resolution, channel_base=self.channel_base, channel_max=self.channel_max)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The refined convolutions, coarse to fine."""
        generator, layers = self._generator, []
        for level, side in enumerate(generator.resolutions):
            if self.blocks and side not in self.blocks:
                continue
            inputs, outputs = generator.channels(side // 2), generator.channels(side)
            if level:
                layers.append(Layer(3 * level - 1, f"b{side}.conv0.weight", inputs, outputs))
            layers.append(Layer(3 * level, f"b{side}.conv1.weight", outputs, outputs))
        return tuple(layers)


class SharedWeightsHypernet(nn.Module):
    """Two matrices that make a code into the factors of a layer (Ha et al. 2017, arXiv:1609.09106)."""

    def __init__(self, code_width: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.shape = (channels, channels, kernel, kernel)
        self.w1 = nn.Parameter(torch.zeros(code_width, channels * kernel**2))
        self.b1 = nn.Parameter(torch.zeros(channels * kernel**2))
        self.w2 = nn.Parameter(torch.randn(code_width, channels * code_width) * code_width**-0.5)
        self.b2 = nn.Parameter(torch.zeros(channels * code_width))

    def forward(self, code: Tensor) -> Tensor:
        """(B, code_width) to (B, C, C, k, k)."""
        rows = (code @ self.w2 + self.b2).unflatten(1, (self.shape[0], -1))
        return (rows @ self.w1 + self.b1).view(-1, *self.shape)


class SharedRefinement(nn.Module):
    """Features to the code that `SharedWeightsHypernet` takes; for layers of the most channels."""

    def __init__(self, config: HyperStyleConfig, features: int, side: int) -> None:
        super().__init__()
        strides = [1] + [2] * int(log2(side))
        self.convs = _convolutions(features, config.shared_width, config.code_width, strides)
        self.linear = FullyConnected(config.code_width, config.code_width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, side, side) to (B, code_width) in float32."""
        return self.linear(self.convs(x).flatten(1))


class OwnRefinement(nn.Module):
    """Features to the factors of one layer, by matrices of its own; they start as 0."""

    def __init__(self, config: HyperStyleConfig, features: int, side: int, layer: Layer) -> None:
        super().__init__()
        self.shape = (layer.outputs, layer.inputs, 1, 1)
        strides = [2] * (int(log2(side)) - 1)
        self.convs = _convolutions(features, config.own_width, config.code_width, strides)
        head = nn.Conv2d(config.code_width, layer.outputs * layer.inputs, 1)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(cast(Tensor, head.bias))
        self.output = nn.Sequential(nn.AdaptiveAvgPool2d(1), head)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, side, side) to (B, O, I, 1, 1)."""
        return self.output(self.convs(x)).view(-1, *self.shape)


class HyperStyle(nn.Module):
    """A picture and what is drawn of it to offsets of filters. An untrained network changes nothing."""

    def __init__(self, config: HyperStyleConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv2d(6, config.width, 7, 2, 3, bias=False)
        with torch.no_grad():
            # What is still wrong decides how far a pass should go: half of the filters begin with the difference.
            self.conv1.weight[::2, 3:].copy_(self.conv1.weight[::2, :3]).mul_(-1)
        self.bn1 = nn.BatchNorm2d(config.width)
        self.relu = PRelu(config.width)
        self.body = nn.Sequential(*_stack(config.width, config.units))
        features, side = config.width * 8, config.input_size // 16
        self.shared_weight_hypernet = SharedWeightsHypernet(config.code_width, config.channel_max, config.shared_kernel)
        self.refinement_blocks = nn.ModuleDict()
        for layer in config.layers:
            shares = layer.inputs == layer.outputs == config.channel_max
            self.refinement_blocks[str(layer.number)] = (
                SharedRefinement(config, features, side) if shares else OwnRefinement(config, features, side, layer)
            )

    def forward(self, images: Tensor, drawn: Tensor) -> Offsets:
        """Look once.

        Args:
            images: (B, 3, S, S) in [-1, 1], S at least the config's input_size.
            drawn: (B, 3, S, S), what the generator draws of them.

        Returns:
            What to add to the offsets that `drawn` was made with, in float32.

        Raises:
            ValueError: The pictures are not of one square size, or smaller than input_size.
        """
        size = max(images.shape[-1], self.config.input_size)
        expect_shape(images, (None, 3, size, size), "hypernetwork images (batch, rgb, height, width)")
        expect_shape(drawn, tuple(images.shape), "hypernetwork drawings (batch, rgb, height, width)")
        x = F.adaptive_avg_pool2d(torch.cat([images, drawn], dim=1), self.config.input_size)
        features = self.body(self.relu(self.bn1(self.conv1(x))))
        offsets = {}
        for layer in self.config.layers:
            block = self.refinement_blocks[str(layer.number)]
            offset = block(features)
            if isinstance(block, SharedRefinement):
                offset = self.shared_weight_hypernet(offset)
            offsets[layer.name] = offset.float()
        return offsets


def accumulate(offsets: Offsets, more: Offsets) -> Offsets:
    """Sum of two passes' offsets; the first may be empty."""
    return {name: offsets[name] + offset if offsets else offset for name, offset in more.items()}


def refined_weights(generator: Generator, offsets: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Filters `W (1 + D)` per sample (B, O, I, 3, 3), as `generator.synthesis(..., weights=)` takes them."""
    filters = dict(generator.synthesis.named_parameters())
    # In float32 even under autocast: next to 1 bfloat16 has no room for offsets below 1/128.
    return {name: filters[name] * (1 + offset) for name, offset in offsets.items()}


def refine(
    hypernetwork: HyperStyle,
    generator: Generator,
    images: Tensor,
    codes: Tensor,
    passes: int = PASSES,
    noise: Noise = "const",
) -> dict[str, Tensor]:
    """Fit the generator to pictures.

    Args:
        hypernetwork: Trained for this generator, in evaluation mode.
        generator: It is left as it is.
        images: (B, 3, R, R) in [-1, 1], R the generator's resolution.
        codes: (B, num_ws, w_dim), the pictures' codes.
        passes: Looks, each of which draws once; 0 leaves all filters alone.
        noise: As in `SynthesisNetwork.forward`.

    Returns:
        Filters per sample by name (B, O, I, 3, 3), for `generator.synthesis(codes, noise, weights)`.
    """
    styles, offsets = generator.styles(codes), Offsets()
    for _ in range(passes):
        drawn = generator.synthesis(styles, noise, refined_weights(generator, offsets))
        offsets = accumulate(offsets, hypernetwork(images, drawn))
    return refined_weights(generator, offsets)


def _convolutions(inputs: int, width: int, outputs: int, strides: list[int]) -> nn.Sequential:
    """3x3 convolutions, each with a leaky ReLU, of `width` channels up to the last."""
    layers = nn.Sequential()
    for index, stride in enumerate(strides):
        channels = width if index + 1 < len(strides) else outputs
        convolution = nn.Conv2d(inputs, channels, 3, stride, 1)
        nn.init.kaiming_normal_(convolution.weight, a=0.01)
        layers.extend([convolution, nn.LeakyReLU(0.01)])
        inputs = channels
    return layers


def _stack(width: int, units: Units) -> list[BasicBlock]:
    blocks, inputs = [], width
    for stage, count in enumerate(units):
        outputs = width * 2**stage
        blocks.append(BasicBlock(inputs, outputs, stride=1 if stage == 0 else 2))
        blocks += [BasicBlock(outputs, outputs) for _ in range(count - 1)]
        inputs = outputs
    return blocks
