"""Weight files: safetensors in half the size, checked when they are read."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from seamline.bundles.manifest import WeightFile
from seamline.errors import DigestMismatch, InvalidInput, NotFound


def write_weights(path: Path, tensors: Mapping[str, Tensor]) -> WeightFile:
    """Write tensors, matrices and filters in float16.

    Vectors (biases, batch statistics, averages) stay float32, where they cost nothing and float16 could
    underflow; so does a tensor that float16 cannot hold.

    Returns:
        The file's entry for the manifest.
    """
    content = save({name: _compact(tensor) for name, tensor in tensors.items()})
    path.write_bytes(content)
    return WeightFile(file=path.name, sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def _compact(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu().contiguous().clone()  # a safetensors file takes no tensor twice
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    return half if tensor.ndim > 1 and bool(half.isfinite().all()) else tensor.float()


def read_weights(directory: Path, entry: WeightFile) -> dict[str, Tensor]:
    """Read a weight file; floating point comes back as float32.

    Raises:
        NotFound: There is no such file.
        DigestMismatch: The file's bytes are not those that the manifest names.
        InvalidInput: The file is no safetensors file, or a tensor holds NaN or infinity.
    """
    path = directory / entry.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotFound(f"{path}: {error.strerror}; install the bundle again", path=path) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != entry.sha256:
        raise DigestMismatch(
            f"{path}: sha256 is {digest}, the manifest says {entry.sha256}; install the bundle again",
            path=path,
        )
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise InvalidInput(f"{path}: not a safetensors file ({error})", path=path) from error
    return {name: _checked(tensor, f"{path}: tensor {name}") for name, tensor in tensors.items()}


def _checked(tensor: Tensor, what: str) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    if not bool(tensor.isfinite().all()):
        raise InvalidInput(f"{what} holds NaN or infinity; train or convert the network again")
    return tensor.float()


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], path: Path, *, assign: bool = False) -> None:
    """Copy weights into a network of the same names and shapes.

    Args:
        module: The network.
        tensors: Its weights by name.
        path: The file that errors name.
        assign: Whether the network takes these very tensors, as one on the meta device must.

    Raises:
        InvalidInput: A tensor is missing, unknown or of another shape; the message names file and tensor.
    """
    own = module.state_dict()
    for name, tensor in own.items():
        if name not in tensors:
            raise InvalidInput(
                f"{path}: tensor {name} is missing; its config does not fit the file", path=path
            )
        if tensors[name].shape != tensor.shape:
            found, wanted = tuple(tensors[name].shape), tuple(tensor.shape)
            raise InvalidInput(
                f"{path}: tensor {name} has shape {found}, its config asks for {wanted}", path=path
            )
    unknown = sorted(set(tensors) - set(own))
    if unknown:
        raise InvalidInput(
            f"{path}: tensor {unknown[0]} is unknown to the network ({len(unknown)} such)", path=path
        )
    module.load_state_dict(dict(tensors), assign=assign)


def frozen(module: nn.Module, device: torch.device) -> nn.Module:
    """Set a network to inference: no parameter learns, gradients may still flow to its input."""
    module = module.eval().requires_grad_(False).to(device)
    return nn.utils.convert_conv2d_weight_memory_format(module, torch.channels_last)
