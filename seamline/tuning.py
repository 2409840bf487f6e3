"""What pivotal tuning and stitching tuning share: settings, number format, batches, pixels."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from math import isfinite
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from google.protobuf.message import Message
from numpy.typing import NDArray
from torch import Tensor, nn

from seamline.bundles.frozen import has_fast_bfloat16
from seamline.errors import InvalidInput

Precision = Literal["float32", "bfloat16"]

Ranges = Mapping[str, tuple[float, float]]
"""Least and most of each setting that a request may have, by name."""

INVERT_RANGES: Ranges = {"max_passes": (1, 100_000), "learning_rate": (1e-8, 0.1), "target_psnr_db": (0, 100)}
PASS_FACTORS: Ranges = {"pass_factor": (1e-3, 100)}
STITCH_RANGES: Ranges = {"max_steps": (1, 100_000), "learning_rate": (1e-8, 0.1), "target_border_loss": (0, 100)}

C = TypeVar("C")
N = TypeVar("N", bound=nn.Module)


def settings(kind: type[C], defaults: Mapping[str, Any], options: Message) -> C:
    """A tuning's settings: those of the request where it sets them, else the bundle's, else the class's own.

    Args:
        kind: a dataclass of settings.
        defaults: the bundle's table for the stage.
        options: the request's options; fields that `kind` has under the same name count.

    Raises:
        InvalidInput: the bundle's table has a name that `kind` does not have, or a value is out of range.
    """
    names = {field.name for field in fields(kind)}  # pyright: ignore[reportArgumentType]  (a dataclass)
    if unknown := defaults.keys() - names:
        raise InvalidInput(f"the bundle sets {sorted(unknown)}, where only {sorted(names)} can be set")
    asked = {field.name: value for field, value in options.ListFields() if field.name in names}
    return kind(**(dict(defaults) | asked))


def check_range(config: object, name: str, low: float, high: float, field: str = "options") -> None:
    """Refuses a setting outside [low, high].

    Raises:
        InvalidInput: it is, or is not a number; the error's field names the request's option, which is in `field`.
    """
    value = getattr(config, name)
    if not isfinite(value) or not low <= value <= high:
        raise InvalidInput(f"{name} must be from {low:g} to {high:g}, got {value:g}", field=f"{field}.{name}")


def check_ranges(config: object, ranges: Ranges, field: str = "options") -> None:
    """Refuses settings outside their ranges; of a message those that are set.

    Raises:
        InvalidInput: as `check_range`.
    """
    for name, (low, high) in ranges.items():
        if not isinstance(config, Message) or config.HasField(name):
            check_range(config, name, low, high, field)


def check_finite(loss: float, learning_rate: float) -> None:
    """Refuses to go on with a tuning that diverged.

    Raises:
        InvalidInput: the loss is infinite or not a number.
    """
    if not isfinite(loss):
        raise InvalidInput(
            f"the tuning diverged at a learning rate of {learning_rate:g}; use a smaller one",
            field="options.learning_rate",
        )


@contextmanager
def compute(device: torch.device, precision: Precision) -> Iterator[None]:
    """Runs networks in the given number format; weights, losses and optimiser state stay float32.

    Where bfloat16 is not native it would only cost time, and float32 takes its place.
    """
    enabled = precision == "bfloat16" and has_fast_bfloat16(device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled):
        yield


def with_fast_layout(network: N, precision: Precision = "bfloat16") -> N:
    """The same network, its filters laid out in memory so that it runs fastest in a number format.

    That is channels last, but for float32 on a CPU: there steps of one frame take a fifth less in PyTorch's own layout.
    Features take the layout of the filters.
    """
    device = next(network.parameters()).device
    plain = device.type == "cpu" and not (precision == "bfloat16" and has_fast_bfloat16(device))
    layout = torch.contiguous_format if plain else torch.channels_last
    return network.to(memory_format=layout)  # pyright: ignore[reportCallIssue]  (not in the stubs)


def batch_order(count: int, size: int, *, seed: int | None, turn: int) -> list[Tensor]:
    """Splits `count` frames into batches of nearly equal size, the same way each time it is asked.

    Args:
        count: number of frames, at least 1.
        size: largest batch.
        seed: draws an order of its own for every turn, so that batches mix frames from all over the track;
            None keeps the order of the video.
        turn: number of the pass over the frames.

    Returns:
        Indices of the frames of each batch, int64.
    """
    if seed is None:
        order = torch.arange(count)
    else:
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + turn))
    return list(order.tensor_split(-(-count // size)))


def to_images(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Pixels (N, H, W, 3), 0..255, to what networks take: (N, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Images (N, 3, H, W) in [-1, 1], overshoots clipped, to pixels (N, H, W, 3), 0..255."""
    levels = ((images + 1) * 127.5).round().clamp(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
