"""Writing a network as an ONNX file that is checked before it has its name."""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from seamline.errors import Precondition
from seamline.exporting.check import TOLERANCE, relative_errors
from seamline.exporting.packages import needed
from seamline.exporting.signatures import Port, Side, Signature, draw

OPSET = 18
"""That of torch's exporter: nothing is translated to a later one. Triton's onnxruntime has had it since 2023."""
LARGEST_FILE = 2**31 - 2**24
"""Bytes of weights above which they lie beside the file; protobuf ends at 2 GiB."""
TRACED_BATCH = 2


def write_onnx(
    module: nn.Module, signature: Signature, path: Path, properties: Mapping[str, str], *, simplify: bool = True
) -> dict[int, float]:
    """Export a network, check it against itself, and give the file its name only if it agrees.

    The same network, signature and properties give the same bytes with the same versions of the packages.

    Args:
        module: The network in float32 on the CPU, frozen.
        signature: Its tensors.
        path: The file; weights above `LARGEST_FILE` lie beside it with `.data` after its name.
        properties: Written into the file beside the meaning of inputs and output.
        simplify: Whether terms next to 0 may be dropped from the graph.

    Returns:
        Relative errors by size of the batch; see `relative_errors`.

    Raises:
        Precondition: The file does not compute what the network does, or a package is missing.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        needed(package)
    model = _graph(module, signature, simplify)
    _describe(model, signature, properties)
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{path.stem}-", dir=path.parent) as unfinished:
        written = Path(unfinished) / path.name
        _save(model, written)
        errors = relative_errors(written, module, signature)
        if not all(error <= TOLERANCE for error in errors.values()):  # NaN among them
            found = ", ".join(f"{error:.1e} in a batch of {count}" for count, error in errors.items())
            raise Precondition(
                f"{path}: onnxruntime and torch differ by {found}, of {TOLERANCE:.0e} allowed; nothing was written. "
                "Run this network in torch, or try other versions of onnx, onnxscript and onnxruntime"
            )
        for file in sorted(Path(unfinished).iterdir(), reverse=True):  # the weights first: the file names them
            file.replace(path.parent / file.name)
    return errors


def _graph(module: nn.Module, signature: Signature, simplify: bool) -> Any:
    with _quiet():
        program = torch.onnx.export(
            _traced(module, signature),
            dynamo=True,
            opset_version=OPSET,
            input_names=[port.name for port in signature.inputs],
            output_names=[signature.output.name],
            optimize=simplify,
            verbose=False,
        )
    assert program is not None
    return program.model


def _traced(module: nn.Module, signature: Signature) -> ExportedProgram:
    batch = Dim("batch")
    free = {
        side.name: side.multiple * Dim(f"{side.name}_{side.multiple}")
        for port in signature.inputs
        for side in port.shape
        if isinstance(side, Side)
    }

    def axes(port: Port) -> dict[int, Any]:
        sides = enumerate(port.shape, start=1)
        return {0: batch} | {axis: free[side.name] for axis, side in sides if isinstance(side, Side)}

    inputs = tuple(draw(signature, TRACED_BATCH, 0))
    return torch.export.export(module, inputs, dynamic_shapes=tuple(map(axes, signature.inputs)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter from telling what it skips and deprecates: nothing that a caller could mend."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _describe(model: Any, signature: Signature, properties: Mapping[str, str]) -> None:
    """Put what a caller must know into the model, in place of the exporter's notes for its own developers."""
    graph, names = model.graph, {port.name for port in signature.ports}
    for node in graph:
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
            value.shape = None  # in symbols of the trace; whoever loads the file infers it again
    for value in (*graph.inputs, *graph.initializers.values()):
        value.metadata_props.clear()
    within = [*graph.initializers.values(), *(value for node in graph for value in node.outputs)]
    for value in within:  # operations inside may have the name of a port
        if value.name in names and not value.is_graph_output():
            value.name = f"{value.name}_within"
    for value, port in zip((*graph.inputs, *graph.outputs), signature.ports, strict=True):
        sides = (side if isinstance(side, int) else side.name for side in port.shape)
        value.shape = needed("onnx_ir").Shape(["batch", *sides])
    graph.metadata_props.clear()
    model.metadata_props.clear()
    described = {"inputs": [asdict(port) for port in signature.inputs], "output": asdict(signature.output)}
    told = {**properties, **{name: json.dumps(value) for name, value in described.items()}}
    model.metadata_props.update({f"seamline.{name}": told[name] for name in sorted(told)})


def _save(model: Any, path: Path) -> None:
    weights = sum(value.const_value.nbytes for value in model.graph.initializers.values())
    beside = f"{path.name}.data" if weights > LARGEST_FILE else None
    needed("onnx_ir").save(model, path, external_data=beside)
