"""Style-modulated convolution of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958, section 2.2).

The weight-space form `conv(x, demodulate(W * s))` is computed in activation space, `d * conv(s * x, W)`, which is
the same by linearity and lets one shared weight serve a whole batch. A weight with a leading batch dimension
gives every sample a weight of its own.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """Factors that give every modulated output filter unit norm.

    Args:
        weight: (O, I, k, k), or (B, O, I, k, k) with a filter bank per sample.
        styles: (B, I).

    Returns:
        (B, O) in float32, `1 / sqrt(sum_ik (s_i W_oik)^2 + 1e-8)`, whatever the autocast mode.
    """
    with torch.autocast(styles.device.type, enabled=False):
        power = weight.float().square().sum((-2, -1))
        scaled = torch.einsum("boi,bi->bo" if power.ndim == 3 else "oi,bi->bo", power, styles.float().square())
        return (scaled + 1e-8).rsqrt()


def convolve(x: Tensor, weight: Tensor, resample_filter: Tensor | None = None) -> Tensor:
    """Same-size convolution, or two-fold up-sampling when a filter is given.

    Args:
        x: (B, I, H, W).
        weight: (O, I, k, k), or (B, O, I, k, k) with a filter bank per sample.
        resample_filter: (4, 4) with sum 1, or None for no up-sampling.

    Returns:
        (B, O, H, W), or (B, O, 2H, 2W) when up-sampling.
    """
    if weight.ndim == 5:
        pairs = zip(x.split(1), weight.unbind(), strict=True)
        return torch.cat([convolve(sample, own, resample_filter) for sample, own in pairs])
    if resample_filter is None:
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    return blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), resample_filter * 4, padding=1)


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
