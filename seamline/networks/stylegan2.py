"""StyleGAN2 generator (Karras et al. 2020), with the parameter names of stylegan2-ada-pytorch's `G_ema`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2, sqrt
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from seamline.errors import InvalidInput
from seamline.networks.fully_connected import FullyConnected
from seamline.networks.modulated_conv import demodulation, modulated_conv, upsample
from seamline.networks.shapes import expect_shape

Noise = Literal["const", "none"]
LRELU_GAIN = sqrt(2)


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Sizes of a generator; the defaults are those of the public 1024 px FFHQ network."""

    resolution: int = 1024
    """Side of the image in pixels, a power of two."""
    z_dim: int = 512
    """Length of the input code z."""
    w_dim: int = 512
    """Length of an intermediate code w."""
    mapping_layers: int = 8
    """Fully connected layers from z to w."""
    mapping_activation: Literal["lrelu", "linear"] = "lrelu"
    """Activation after every mapping layer; "linear" makes w affine in z."""
    mapping_lr_multiplier: float = 0.01
    """Gain of the mapping's weights, which slows their learning by as much."""
    normalize_z: bool = True
    """Whether z is scaled to unit second moment."""
    channel_base: int = 32768
    """Channels times resolution of every block."""
    channel_max: int = 512
    """Upper bound of a block's channels."""

    def __post_init__(self) -> None:
        if self.resolution < 8 or self.resolution & (self.resolution - 1):
            raise InvalidInput(
                f"resolution must be a power of two from 8 up, got {self.resolution}", field="resolution"
            )
        if self.mapping_activation not in ("lrelu", "linear"):
            raise InvalidInput(
                f'mapping_activation must be "lrelu" or "linear", got {self.mapping_activation!r}',
                field="mapping_activation",
            )

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Sides of the blocks, from 4 up to the image's."""
        return tuple(2**level for level in range(2, int(log2(self.resolution)) + 1))

    @property
    def num_ws(self) -> int:
        """Codes that one image takes: two per block."""
        return 2 * len(self.resolutions)

    def channels(self, resolution: int) -> int:
        """Feature maps of the block at a resolution."""
        return min(self.channel_base // resolution, self.channel_max)


class MappingNetwork(nn.Module):
    """z to w, broadcast over the codes of an image."""

    w_avg: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        for index in range(config.mapping_layers):
            inputs = config.z_dim if index == 0 else config.w_dim
            layer = FullyConnected(inputs, config.w_dim, lr_multiplier=config.mapping_lr_multiplier)
            self.add_module(f"fc{index}", layer)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: Tensor, psi: float = 1.0) -> Tensor:
        """Map codes.

        Args:
            z: (B, z_dim).
            psi: Truncation: 1 leaves w alone, 0 gives the average face.

        Returns:
            (B, num_ws, w_dim).
        """
        expect_shape(z, (None, self.config.z_dim), "mapping input z (batch, z_dim)")
        w = z.float()
        if self.config.normalize_z:
            w = w * (w.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for index in range(self.config.mapping_layers):
            w = self.get_submodule(f"fc{index}")(w)
            if self.config.mapping_activation == "lrelu":
                w = F.leaky_relu(w, 0.2) * LRELU_GAIN
        if psi != 1.0:
            w = self.w_avg.lerp(w, psi)
        return w.unsqueeze(1).expand(-1, self.config.num_ws, -1)


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias and leaky ReLU; up-samples two-fold when asked to."""

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(self, inputs: int, outputs: int, *, w_dim: int, resolution: int, up: bool) -> None:
        super().__init__()
        self.inputs, self.up = inputs, up
        self.affine = FullyConnected(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", binomial_filter())

    def forward(self, x: Tensor, styles: Tensor, noise: Noise) -> Tensor:
        """Features (B, I, h, w) and styles (B, I) to features (B, O, H, W)."""
        # The leaky ReLU's gain is moved in front of it, where it joins factors of the size of a channel.
        gains = demodulation(self.weight, styles) * LRELU_GAIN
        x = modulated_conv(x, self.weight, styles, gains, self.resample_filter if self.up else None)
        x = x + (torch.atleast_2d(self.bias) * LRELU_GAIN).to(x.dtype)[:, :, None, None]
        if noise == "const":
            strength = self.noise_strength.reshape(-1, 1, 1, 1) * LRELU_GAIN
            x = x + (self.noise_const * strength).to(x.dtype)
        return F.leaky_relu(x, 0.2, inplace=True)


class ToRgb(nn.Module):
    """Modulated 1x1 convolution to an image, without demodulation."""

    def __init__(self, inputs: int, *, w_dim: int) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.inputs, self.weight_gain = inputs, 1 / sqrt(inputs)

    def forward(self, x: Tensor, styles: Tensor) -> Tensor:
        """Features (B, I, H, W) and styles (B, I) to an image (B, 3, H, W) in float32."""
        image = modulated_conv(x, self.weight, styles * self.weight_gain, None)
        return image.float() + torch.atleast_2d(self.bias)[:, :, None, None]


class SynthesisBlock(nn.Module):
    """All layers of one resolution, and the running image."""

    resample_filter: Tensor

    def __init__(self, config: GeneratorConfig, resolution: int) -> None:
        super().__init__()
        inputs, outputs = config.channels(resolution // 2), config.channels(resolution)
        self.register_buffer("resample_filter", binomial_filter())
        if resolution == 4:
            self.const = nn.Parameter(torch.randn(outputs, 4, 4))
        else:
            self.conv0 = SynthesisLayer(inputs, outputs, w_dim=config.w_dim, resolution=resolution, up=True)
        self.conv1 = SynthesisLayer(outputs, outputs, w_dim=config.w_dim, resolution=resolution, up=False)
        self.torgb = ToRgb(outputs, w_dim=config.w_dim)
        self.first = resolution == 4

    def styled_layers(self) -> list[SynthesisLayer | ToRgb]:
        """The block's layers that take styles, in order."""
        return [self.conv1, self.torgb] if self.first else [self.conv0, self.conv1, self.torgb]

    def forward(self, x: Tensor, image: Tensor, styles: list[Tensor], noise: Noise) -> tuple[Tensor, Tensor]:
        """Features and image of the block below, and own styles, to features and image at this resolution."""
        if not self.first:
            x = self.conv0(x, styles[0], noise)
            image = upsample(image, self.resample_filter)
        x = self.conv1(x, styles[-2], noise)
        return x, image + self.torgb(x, styles[-1])


class SynthesisNetwork(nn.Module):
    """Styles to an image, as a pyramid of blocks `b4`, `b8`, ... that each add to the image."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        for resolution in config.resolutions:
            self.add_module(f"b{resolution}", SynthesisBlock(config, resolution))

    @property
    def blocks(self) -> list[SynthesisBlock]:
        """The blocks, coarse to fine."""
        return [cast(SynthesisBlock, self.get_submodule(f"b{side}")) for side in self.config.resolutions]

    def styles(self, ws: Tensor) -> list[Tensor]:
        """Codes to S-space; see `Generator.styles`."""
        config = self.config
        expect_shape(ws, (None, config.num_ws, config.w_dim), "synthesis input ws (batch, num_ws, w_dim)")
        # A block's toRGB shares its code with the first convolution of the next block.
        styles, code = [], 0
        for block in self.blocks:
            layers = block.styled_layers()
            styles += [layer.affine(ws[:, code + offset]) for offset, layer in enumerate(layers)]
            code += len(layers) - 1
        return styles

    def forward(
        self,
        codes: Tensor | Sequence[Tensor],
        noise: Noise = "const",
        weights: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Draw images.

        Args:
            codes: ws (B, num_ws, w_dim), or the styles that `styles` makes of them.
            noise: "const" adds the stored noise maps, "none" adds nothing.
            weights: Replaces parameters by name (`b64.conv0.weight`); a tensor with a leading batch dimension
                gives each sample a parameter of its own.

        Returns:
            (B, 3, R, R) in float32, in [-1, 1] but for overshoots.

        Raises:
            ValueError: codes do not have the shape that the config asks for.
        """
        if weights is not None:
            return functional_call(self, dict(weights), (codes, noise))
        styles = self.styles(codes) if isinstance(codes, Tensor) else list(codes)
        self._check_styles(styles)
        x, image = self._start(styles[0]), styles[0].new_zeros(())
        for block in self.blocks:
            count = len(block.styled_layers())
            x, image = block(x, image, styles[:count], noise)
            styles = styles[count:]
        return image

    def _check_styles(self, styles: list[Tensor]) -> None:
        sizes = [layer.inputs for block in self.blocks for layer in block.styled_layers()]
        if len(styles) != len(sizes):
            raise ValueError(f"styles: expected {len(sizes)} tensors, one per layer, got {len(styles)}")
        for index, (style, size) in enumerate(zip(styles, sizes, strict=True)):
            expect_shape(style, (len(styles[0]), size), f"styles[{index}] (batch, channels)")

    def _start(self, style: Tensor) -> Tensor:
        """The learned constant, once per sample, in the type that the features have."""
        const, filters = self.blocks[0].const, self.blocks[0].conv1.weight
        reduced = torch.is_autocast_enabled(style.device.type)
        if reduced:
            const = const.to(torch.get_autocast_dtype(style.device.type))
        x = const.expand(len(style), *const.shape[-3:])
        fast = reduced or not filters.is_contiguous()  # else float32 with filters in PyTorch's own layout
        return x.contiguous(memory_format=torch.channels_last if fast else torch.contiguous_format)


class Generator(nn.Module):
    """A face generator: z → ws (B, num_ws, w_dim) → styles (one tensor per layer) → image in [-1, 1].

    `mapping(z, psi)` and `synthesis(ws, noise, weights)` are its two networks. It runs in float32, or under
    `torch.autocast` with bfloat16 features; styles, demodulation and the image stay float32 there.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.mapping = MappingNetwork(config)
        self.synthesis = SynthesisNetwork(config)

    def styles(self, ws: Tensor) -> list[Tensor]:
        """Codes to S-space (Wu et al. 2021, arXiv:2011.12799).

        Args:
            ws: (B, num_ws, w_dim).

        Returns:
            One (B, channels) tensor per layer: b4 conv1, torgb, then conv0, conv1, torgb of every block.
            Those of torgb are before the layer's constant gain.
        """
        return self.synthesis.styles(ws)

    def synthesis_from_styles(
        self, styles: Sequence[Tensor], noise: Noise = "const", weights: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Draw images (B, 3, R, R) from what `styles` returns; see `SynthesisNetwork.forward`."""
        return cast(Tensor, self.synthesis(styles, noise, weights))

    def per_sample_weights(self, batch: int) -> dict[str, Tensor]:
        """A leaf copy of every synthesis parameter for each of `batch` samples, ready to be optimised.

        Returns:
            {name: (batch, *shape)}, as `synthesis(..., weights=)` takes them.
        """
        return {
            name: parameter.detach().expand(batch, *parameter.shape).clone().requires_grad_()
            for name, parameter in self.synthesis.named_parameters()
        }


def binomial_filter() -> Tensor:
    """The (4, 4) low-pass filter [1, 3, 3, 1] x [1, 3, 3, 1] with sum 1."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / 64
