"""Latent Transformer (Yao et al. 2021, arXiv:2106.11895): edits whose direction depends on the face."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor, nn

from seamline.errors import InvalidInput
from seamline.networks.shapes import expect_shape


@dataclass(frozen=True, kw_only=True)
class LatentTransformerConfig:
    """What it can edit, and the sizes of the codes; the defaults are those of the 1024 px FFHQ generator."""

    names: tuple[str, ...] = ()
    """The attributes, in the order of the strengths."""
    num_ws: int = 18
    """Codes that one image takes."""
    w_dim: int = 512
    """Length of one code."""

    def __post_init__(self) -> None:
        # A configuration file has lists.
        object.__setattr__(self, "names", tuple(self.names))
        if not self.names or len(set(self.names)) < len(self.names):
            raise InvalidInput(f"names must be distinct and at least one, got {self.names}", field="names")


class LatentTransformer(nn.Module):
    """Per attribute and per code of W+ an affine map T, so that w + strength · T(w) has more of the attribute.

    The public checkpoints hold one attribute each; `from_public` stacks them to the form of this network.
    """

    def __init__(self, config: LatentTransformerConfig) -> None:
        super().__init__()
        self.config = config
        sizes = (len(config.names), config.num_ws, config.w_dim)
        self.weight = nn.Parameter(torch.randn(*sizes, config.w_dim))
        self.bias = nn.Parameter(torch.zeros(sizes))
        self.weight_gain = 1 / sqrt(config.w_dim)

    def offsets(self, ws: Tensor) -> Tensor:
        """T of every attribute for codes of its own: (A or 1, B, num_ws, w_dim) to (A, B, num_ws, w_dim) in float32."""
        with torch.autocast(ws.device.type, enabled=False):
            weight = self.weight * self.weight_gain
            moved = torch.einsum("alij,ablj->abli", weight, ws.float().expand(len(weight), -1, -1, -1))
            return moved + self.bias[:, None]

    def forward(self, ws: Tensor, strengths: Tensor) -> Tensor:
        """Edit codes.

        Args:
            ws: (B, num_ws, w_dim).
            strengths: (B, A) in standard deviations of the attributes `config.names`; 0 leaves one alone.

        Returns:
            (B, num_ws, w_dim) in float32.
        """
        config = self.config
        expect_shape(ws, (None, config.num_ws, config.w_dim), "latent transformer's codes (batch, num_ws, w_dim)")
        expect_shape(strengths, (ws.shape[0], len(config.names)), "latent transformer's strengths (batch, attribute)")
        edited = ws.float()
        for attribute in self._moved(strengths):
            offset = self._offset(attribute, ws)
            edited = edited + strengths[:, attribute, None, None].float() * offset
        return edited

    def _moved(self, strengths: Tensor) -> Sequence[int]:
        """Most requests move few of the attributes: the others' maps need not be computed."""
        if torch.compiler.is_exporting():  # a graph does the same for every request
            return range(strengths.shape[1])
        return strengths.detach().abs().amax(0).nonzero()[:, 0].tolist() if len(strengths) else []

    def _offset(self, attribute: int, ws: Tensor) -> Tensor:
        with torch.autocast(ws.device.type, enabled=False):
            weight = self.weight[attribute] * self.weight_gain
            return torch.einsum("lij,blj->bli", weight, ws.float()) + self.bias[attribute]


def from_public(states: Mapping[str, Mapping[str, Tensor]]) -> tuple[LatentTransformerConfig, dict[str, Tensor]]:
    """Stack checkpoints of the authors' `F_mapping` (`tnet_<n>.pth.tar`), one per attribute.

    Args:
        states: By attribute, the tensors `dense.<l>.weight` (w_dim, w_dim) and `dense.<l>.bias` (w_dim,).

    Returns:
        What the network of all of them is built from, and its weights.

    Raises:
        InvalidInput: A tensor is missing or unknown, or the attributes differ in size.
    """
    stacked: dict[str, list[Tensor]] = {"weight": [], "bias": []}
    for name, state in states.items():
        for part, found in stacked.items():
            layers = [state.get(f"dense.{layer}.{part}") for layer in range(len(state) // 2)]
            if not layers or len(state) % 2 or any(layer is None for layer in layers):
                raise InvalidInput(
                    f"{name}: needs dense.<n>.weight and dense.<n>.bias only, has {sorted(state)[:4]}..."
                )
            found.append(torch.stack([layer for layer in layers if layer is not None]))
    if len({tuple(weight.shape) for weight in stacked["weight"]}) != 1:
        raise InvalidInput(f"the checkpoints of {sorted(states)} differ in size, or there are none")
    tensors = {part: torch.stack(found) for part, found in stacked.items()}
    _, num_ws, w_dim = tensors["bias"].shape
    return LatentTransformerConfig(names=tuple(states), num_ws=num_ws, w_dim=w_dim), tensors
