"""Style-modulated convolution of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958, section 2.2).

Scaling a filter's inputs by s and its outputs by d is the same as scaling the features before and after the
convolution, `conv(x, d * W * s) = d * conv(s * x, W)`. The first form passes over the weights of every
sample, the second over their features; both are here, and `modulated_conv` takes the smaller pass. A weight
with a leading batch dimension gives every sample a filter bank of its own.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor


class _KernelPower(torch.autograd.Function):
    """Sum of squares over a filter bank's kernels, one pass over the weights each way.

    With weights per sample these are larger than the features, and autograd's own formula passes four times.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        """(..., k, k) to (...)."""
        ctx.save_for_backward(weight)
        return torch.linalg.vector_norm(weight, dim=(-2, -1)).square()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """(...) to (..., k, k); differentiable, as penalties on gradients need."""
        (weight,) = ctx.saved_tensors
        return weight * (2 * gradients[0])[..., None, None]


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """Factors that give every modulated output filter unit norm.

    Args:
        weight: (O, I, k, k), or (B, O, I, k, k) with a filter bank per sample.
        styles: (B, I).

    Returns:
        (B, O) in float32, `1 / sqrt(sum_ik (s_i W_oik)^2 + 1e-8)`, whatever the autocast mode.
    """
    if not torch.is_autocast_enabled(styles.device.type):  # to say so again would cost as much as a small layer's sum
        return _demodulation(weight, styles)
    with torch.autocast(styles.device.type, enabled=False):
        return _demodulation(weight, styles)


def _demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    power, squares = cast(Tensor, _KernelPower.apply(weight.float())), styles.float().square()
    scaled = squares @ power.t() if power.ndim == 2 else (power @ squares.unsqueeze(2)).squeeze(2)
    return (scaled + 1e-8).rsqrt()


def modulated_conv(
    x: Tensor, weight: Tensor, inputs: Tensor, outputs: Tensor | None, resample_filter: Tensor | None = None
) -> Tensor:
    """Same-size convolution with scaled filters, up-sampling two-fold when a filter is given.

    Args:
        x: Features (B, I, H, W).
        weight: (O, I, k, k), or (B, O, I, k, k) with a filter bank per sample.
        inputs: Factors (B, I) of the filters' inputs.
        outputs: Factors (B, O) of the filters' outputs, or None for 1.
        resample_filter: (4, 4) with sum 1, or None for no up-sampling.

    Returns:
        (B, O, H, W), or (B, O, 2H, 2W) when up-sampling, in the type of x.
    """
    # On a GPU one launch for the whole batch beats the smaller pass.
    if x.device.type == "cpu" and weight.shape[-4:].numel() < x.shape[1:].numel():
        modulated = weight * inputs[:, None, :, None, None]
        if outputs is not None:
            modulated = modulated * outputs[:, :, None, None, None]
        return convolve(x, modulated, resample_filter)
    y = convolve(x * inputs.to(x.dtype)[:, :, None, None], weight, resample_filter)
    return y if outputs is None else y * outputs.to(x.dtype)[:, :, None, None]


def convolve(x: Tensor, weight: Tensor, resample_filter: Tensor | None) -> Tensor:
    """`modulated_conv` without factors."""
    if resample_filter is None:
        return _convolve(x, weight, up=False)
    return blur(_convolve(x, weight, up=True), resample_filter * 4, padding=1)


def _convolve(x: Tensor, weight: Tensor, *, up: bool) -> Tensor:
    """Convolution, or with `up` transposed convolution of stride 2 to (B, O, 2H + 1, 2W + 1)."""
    weight = weight.to(x.dtype)
    if weight.ndim == 5:
        convolve_own = convolve_each if x.device.type == "cpu" else convolve_grouped
        return convolve_own(x, weight, up=up)
    if up:
        return F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


def convolve_each(x: Tensor, weight: Tensor, *, up: bool) -> Tensor:
    """Per-sample filters (B, O, I, k, k) one after the other: on CPUs up to 3 times as fast as grouped."""
    pairs = zip(x.split(1), weight.unbind(), strict=True)
    return torch.cat([_convolve(sample, own, up=up) for sample, own in pairs])


def convolve_grouped(x: Tensor, weight: Tensor, *, up: bool) -> Tensor:
    """Per-sample filters (B, O, I, k, k) in one grouped convolution, the samples side by side as channels."""
    batch, outputs, inputs, *kernel = weight.shape
    wide = x.reshape(1, batch * inputs, *x.shape[2:])
    if up:
        filters = weight.transpose(1, 2).reshape(batch * inputs, outputs, *kernel)
        y = F.conv_transpose2d(wide, filters, stride=2, groups=batch)
    else:
        filters = weight.reshape(batch * outputs, inputs, *kernel)
        y = F.conv2d(wide, filters, padding=kernel[0] // 2, groups=batch)
    return y.reshape(batch, outputs, *y.shape[2:])


def blur(x: Tensor, kernel: Tensor, padding: int) -> Tensor:
    """Filter every channel of x (B, C, H, W) with one kernel (k, k)."""
    channels = x.shape[1]
    return F.conv2d(x, kernel.expand(channels, 1, -1, -1), padding=padding, groups=channels)


def upsample(image: Tensor, resample_filter: Tensor) -> Tensor:
    """Up-sample an image (B, C, H, W) two-fold in float32 with a (4, 4) filter of sum 1."""
    channels = image.shape[1]
    kernel = (resample_filter * 4).expand(channels, 1, -1, -1)
    with torch.autocast(image.device.type, enabled=False):
        return F.conv_transpose2d(image, kernel, stride=2, padding=1, groups=channels)
