"""What an optimiser has done to its parameters so far: saved by name, and taken up again bit for bit."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def tuned_state(parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """Parameters, and the moments of those that took a step yet."""
    tensors: dict[str, Tensor] = {f"weight/{name}": parameter for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        for key, tensor in optimizer.state[parameter].items():
            tensors[f"{key}/{name}"] = tensor
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def restore_tuned(
    parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Adam, state: Mapping[str, Tensor]
) -> None:
    """Takes up where `tuned_state` was."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(state[f"weight/{name}"])
            moments = {key: state[f"{key}/{name}"] for key in MOMENTS if f"{key}/{name}" in state}
            optimizer.state[parameter] = {
                key: tensor if key == "step" else torch.empty_like(parameter).copy_(tensor)
                for key, tensor in moments.items()
            }
