import pytest
import torch
import torch.nn.functional as F

from seamline.networks.modulated_conv import (
    blur,
    convolve_each,
    convolve_grouped,
    demodulation,
    modulated_conv,
    upsample,
)
from seamline.networks.stylegan2 import binomial_filter


@pytest.mark.parametrize("side", [2, 16], ids=["features are smaller", "weights are smaller"])
@pytest.mark.parametrize("kernel", [1, 3])
def test_both_forms_equal_the_definition(side, kernel):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 4, side, side), torch.randn(6, 4, kernel, kernel)
    inputs, outputs = torch.randn(2, 4), torch.randn(2, 6)
    own = weight * inputs[:, None, :, None, None] * outputs[:, :, None, None, None]
    expected = torch.cat([F.conv2d(x[i : i + 1], own[i], padding=kernel // 2) for i in range(2)])
    torch.testing.assert_close(modulated_conv(x, weight, inputs, outputs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("up", [False, True])
def test_grouped_equals_each(up):
    torch.manual_seed(0)
    x, weight = torch.randn(3, 4, 5, 5), torch.randn(3, 6, 4, 3, 3)
    torch.testing.assert_close(
        convolve_grouped(x, weight, up=up), convolve_each(x, weight, up=up), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("per_sample", [False, True])
def test_demodulated_filters_have_unit_norm_and_true_gradients(per_sample):
    torch.manual_seed(0)
    weight = torch.randn(2, 6, 4, 3, 3) if per_sample else torch.randn(6, 4, 3, 3)
    weight.requires_grad_()
    styles = torch.randn(2, 4)
    factors = demodulation(weight, styles)
    filters = weight * styles[:, None, :, None, None]
    norms = filters.square().sum((2, 3, 4)).sqrt()
    torch.testing.assert_close(factors * norms, torch.ones(2, 6), rtol=1e-4, atol=1e-4)
    (gradient,) = torch.autograd.grad(factors.square().sum(), weight)
    (expected,) = torch.autograd.grad((1 / norms.square()).sum(), weight)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-5)


def test_demodulation_stays_float32_under_autocast():
    weight, styles = torch.randn(6, 4, 3, 3), torch.randn(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        factors = demodulation(weight, styles)
    assert torch.equal(factors, demodulation(weight, styles))


def test_up_sampling_keeps_a_flat_image_flat_inside():
    larger = upsample(torch.full((1, 3, 6, 6), 0.5), binomial_filter())
    assert larger.shape == (1, 3, 12, 12)
    torch.testing.assert_close(larger[:, :, 1:-1, 1:-1], torch.full((1, 3, 10, 10), 0.5))


def test_blur_spreads_a_point_over_the_kernel():
    point = torch.zeros(1, 2, 7, 7)
    point[0, 1, 3, 3] = 1
    spread = blur(point, binomial_filter(), padding=1)
    assert not spread[0, 0].any()
    torch.testing.assert_close(spread[0, 1, 1:5, 1:5], binomial_filter())
