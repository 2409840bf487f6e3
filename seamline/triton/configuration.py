"""`config.pbtxt`: what Triton must know of a model (protobuf text of `inference.ModelConfig`)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from seamline.errors import InvalidInput
from seamline.exporting.signatures import Port, Signature

TYPES = {"float32": "TYPE_FP32", "int64": "TYPE_INT64"}


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How a server runs every model."""

    instances: int = 1
    """Copies of a model on each GPU, or on the CPU where there is none; they run side by side."""
    max_batch: int = 32
    """Most rows that run together."""
    joined: bool = True
    """Whether requests run together. What a row gives then depends, in its last digits, on what it runs with: without,
    the same requests give the same bytes on the same machine."""
    queue_delay: float = 0.002
    """Seconds that a request may wait for others to run with."""

    def __post_init__(self) -> None:
        for name in ("instances", "max_batch"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} must be 1 or more, got {getattr(self, name)}", field=name)
        if not 0 <= self.queue_delay < 60:
            raise InvalidInput(f"queue_delay must be from 0 to 60 s, got {self.queue_delay}", field="queue_delay")


def served_name(bundle: str, model: str) -> str:
    """The name of a bundle's model on a server: several bundles may be served side by side."""
    return f"{bundle}.{model}"


def model_configuration(
    name: str, backend: str, signature: Signature, properties: Mapping[str, str], serving: Serving
) -> str:
    """The text of `config.pbtxt`.

    Args:
        name: As `served_name` gives it.
        backend: Triton's name of what runs it.
        signature: The model's tensors.
        properties: Become parameters, by which callers can tell which weights are served.
        serving: How to run it.
    """
    lines = [
        f"name: {_text(name)}",
        f"backend: {_text(backend)}",
        f"max_batch_size: {serving.max_batch}",
        *(f"input {_port(port)}" for port in signature.inputs),
        f"output {_port(signature.output)}",
        *_batching(serving),
        f"instance_group {{ count: {serving.instances} kind: KIND_AUTO }}",
        *(
            f"parameters {{ key: {_text(key)} value {{ string_value: {_text(value)} }} }}"
            for key, value in sorted(properties.items())
        ),
    ]
    return "\n".join(lines) + "\n"


def _batching(serving: Serving) -> list[str]:
    delay = round(serving.queue_delay * 1e6)
    return [f"dynamic_batching {{ max_queue_delay_microseconds: {delay} }}"] if serving.joined else []


def _port(port: Port) -> str:
    sides = [side if isinstance(side, int) else -1 for side in port.shape]
    # A number a row is no shape that the configuration can say.
    dims = f"dims: {sides}" if sides else "dims: [1] reshape { shape: [] }"
    return f"{{ name: {_text(port.name)} data_type: {TYPES[port.dtype]} {dims} }}"


def _text(value: str) -> str:
    return json.dumps(value)
