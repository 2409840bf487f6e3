"""A frozen network that a server runs: what goes in and what comes out is checked against its signature."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from seamline.bundles import Bundle
from seamline.errors import Precondition
from seamline.exporting.bundle import models_of, signature_of
from seamline.exporting.signatures import Port, Side
from seamline.networks.shapes import expect_shape, fits

if TYPE_CHECKING:
    from seamline.triton.server import Served, TritonServer

LARGEST_MESSAGE = 64 << 20
"""Bytes of tensors in a request or an answer, above which a batch is divided: a crop of 512 pixels has 3 MB."""


class RemoteNetwork:
    """See `FrozenNetwork`."""

    def __init__(self, server: "TritonServer", bundle: Bundle, name: str) -> None:
        """Asks nothing yet.

        Args:
            server: what runs it.
            bundle: whose it is.
            name: the model, as `seamline.exporting.MODELS` has it.

        Raises:
            InvalidInput: the bundle has no such model.
        """
        self._server, self._bundle, self._name = server, bundle, name
        self._model = models_of(bundle, [name])[name]
        self._signature = signature_of(bundle, name)

    def infer(self, *inputs: Tensor) -> Tensor:
        """Run a batch, in as many requests as the server's largest batch and messages of bearable size make of it.

        Raises:
            ValueError: an input has another shape or type than the model takes.
            ServiceUnavailable, Precondition, SeamlineError: see `TritonServer.infer`; Precondition also for an answer
                that is not what the bundle's network can have given.
        """
        arrays = [self._array(port, tensor) for port, tensor in zip(self._signature.inputs, inputs, strict=True)]
        units = _units(self._signature.inputs, arrays)
        output = self._signature.output
        row = _shape(output, units)
        if not len(arrays[0]):
            return inputs[0].new_zeros((0, *(side or 0 for side in row)), dtype=torch.float32)
        served = self._server.served(self._bundle, self._name)
        parts = list(_divided(arrays, _rows(served, arrays, row)))
        names = [port.name for port in self._signature.inputs]
        requests = [dict(zip(names, part, strict=True)) for part in parts]
        answers = self._server.infer(self._bundle, self._name, requests, output.name)
        pairs = zip(answers, parts, strict=True)
        # A number a row comes as a row of one: Triton knows no less.
        checked = [self._checked(answer, served, (len(part[0]), *(row or (1,)))) for answer, part in pairs]
        rows = np.concatenate(checked)
        return torch.from_numpy(rows if row else rows[:, 0]).to(inputs[0].device)

    def _array(self, port: Port, tensor: Tensor) -> np.ndarray:
        """(B, ...) as the model takes it; pictures are reduced to its side, if the network itself does so."""
        what = f"{self._name}'s {port.name}"
        if port.dtype == "int64" and tensor.dtype != torch.int64:
            raise ValueError(f"{what}: expected int64, got {tensor.dtype}")
        if port.dtype == "float32":
            tensor = tensor.detach().float()
        if self._model.reduced is not None:
            expect_shape(tensor, (None, 3, None, None), what)
            with torch.inference_mode():
                tensor = self._model.reduced(tensor, int(str(port.shape[-1])))
        expect_shape(tensor, (None, *(side if isinstance(side, int) else None for side in port.shape)), what)
        return np.ascontiguousarray(tensor.cpu().numpy())

    def _checked(self, answer: np.ndarray | None, served: "Served", shape: tuple[int | None, ...]) -> np.ndarray:
        if answer is None or answer.dtype != np.float32 or not fits(answer.shape, shape):
            found = "no such output" if answer is None else f"{answer.dtype} {answer.shape}"
            raise self._wrong(served, f"answered {found} where the bundle's network gives float32 {shape}")
        finite = np.isfinite(answer).reshape(len(answer), -1).all(1)
        if not finite.all():
            row = int(finite.argmin())
            raise self._wrong(served, f"answered numbers that are not finite, first in row {row} of {len(answer)}")
        return answer

    def _wrong(self, served: "Served", what: str) -> Precondition:
        return Precondition(
            f"Triton at {self._server.endpoint}: model {served.name} {what}; run seamline triton export "
            f"{self._bundle.name} again, or unset SEAMLINE_TRITON to compute here",
            endpoint=self._server.endpoint,
            model=served.name,
        )


def _units(ports: Sequence[Port], arrays: Sequence[np.ndarray]) -> dict[str, int]:
    """How many times its multiple each side that the caller chose is long, by the side's name.

    Raises:
        ValueError: it is no multiple, or the inputs differ in their rows.
    """
    units: dict[str, int] = {}
    for port, array in zip(ports, arrays, strict=True):
        if len(array) != len(arrays[0]):
            raise ValueError(f"{port.name} has {len(array)} rows, {ports[0].name} has {len(arrays[0])}")
        for side, size in zip(port.shape, array.shape[1:], strict=True):
            if isinstance(side, Side):
                if size % side.multiple or not size:
                    raise ValueError(f"{port.name}'s {side.name} must be a multiple of {side.multiple}, got {size}")
                units[_stem(side)] = size // side.multiple
    return units


def _shape(port: Port, units: Mapping[str, int]) -> tuple[int | None, ...]:
    """A row's shape; None for a side that does not follow from the inputs'."""

    def size(side: int | Side) -> int | None:
        if isinstance(side, int):
            return side
        return side.multiple * units[_stem(side)] if _stem(side) in units else None

    return tuple(map(size, port.shape))


def _rows(served: "Served", arrays: Sequence[np.ndarray], row: Sequence[int | None]) -> int:
    """Rows of a request, of which each is answered by one of the given shape."""
    sent = sum(array[0].nbytes for array in arrays)
    received = 4 * prod(side or 0 for side in row)
    return max(1, min(served.largest_batch, LARGEST_MESSAGE // max(sent, received)))


def _stem(side: Side) -> str:
    """An output's side that is a fraction of an input's is named height/4."""
    return side.name.partition("/")[0]


def _divided(arrays: Sequence[np.ndarray], rows: int) -> Iterator[list[np.ndarray]]:
    for start in range(0, len(arrays[0]), rows):
        yield [array[start : start + rows] for array in arrays]
