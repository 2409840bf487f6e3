"""Networks that nothing tunes, behind one call."""

from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from seamline.bundles.bundle import Bundle


class FrozenNetwork(Protocol):
    """A network behind one call, wherever it runs."""

    def infer(self, *inputs: Tensor) -> Tensor:
        """Run a batch; see the network's own `forward` for the shapes.

        Args:
            inputs: Tensors (B, ...), on any device; images are float RGB in [-1, 1] for every network, also
                for those with other statistics inside.

        Returns:
            Float32, on the device of the first input.
        """
        ...


class FrozenServer(Protocol):
    """What runs frozen networks elsewhere."""

    def network(self, bundle: "Bundle", name: str) -> FrozenNetwork:
        """One of a bundle's networks, as `Bundle.model` names it."""
        ...


class TorchNetwork:
    """A frozen network in this process."""

    def __init__(self, module: nn.Module, device: torch.device, precision: str) -> None:
        self._module, self._device = module, device
        self._autocast = precision == "bfloat16" and has_fast_bfloat16(device)

    @torch.inference_mode()
    def infer(self, *inputs: Tensor) -> Tensor:
        """Run a batch; see `FrozenNetwork.infer`."""
        batch = [self._placed(tensor) for tensor in inputs]
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._autocast):
            output = cast(Tensor, self._module(*batch))
        return output.float().to(inputs[0].device)

    def _placed(self, tensor: Tensor) -> Tensor:
        tensor = tensor.to(self._device)
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic is native there; emulated, it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
