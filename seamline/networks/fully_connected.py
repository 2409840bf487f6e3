"""Fully connected layer of the style-based generators and encoders."""

from math import sqrt

import torch
from torch import Tensor, nn


class FullyConnected(nn.Module):
    """Affine layer with run-time weight scaling ("equalized learning rate", Karras et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, lr_multiplier: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr_multiplier))
        self.weight_gain = lr_multiplier / sqrt(inputs)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """(B, I) to (B, O) in float32; weight (O, I) or one per sample (B, O, I)."""
        with torch.autocast(x.device.type, enabled=False):
            weight, bias = self.weight * self.weight_gain, self.bias * self.bias_gain
            if weight.ndim == 3:
                return torch.einsum("boi,bi->bo", weight, x.float()) + bias
            return x.float() @ weight.t() + bias
