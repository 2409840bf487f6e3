"""Triton's Python side: the module that its python backend brings, and its model configuration as protobuf."""

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import Message
from torch import Tensor as TorchTensor
from torch.utils.dlpack import from_dlpack, to_dlpack

FIELDS = {
    "ModelConfig": {
        "name": "string",
        "backend": "string",
        "max_batch_size": "int32",
        "input": "*ModelTensor",
        "output": "*ModelTensor",
        "dynamic_batching": "DynamicBatching",
        "instance_group": "*InstanceGroup",
        "parameters": "*Parameter",
    },
    "ModelTensor": {"name": "string", "data_type": "string_enum", "dims": "*int64", "reshape": "Reshape"},
    "Reshape": {"shape": "*int64"},
    "DynamicBatching": {"max_queue_delay_microseconds": "int64"},
    "InstanceGroup": {"count": "int32", "kind": "string_enum"},
    "Parameter": {"key": "string", "value": "ParameterValue"},
    "ParameterValue": {"string_value": "string"},
}
ENUM = ("TYPE_FP32", "TYPE_INT64", "KIND_AUTO", "KIND_CPU", "KIND_GPU")
TYPES = {"string": 9, "int32": 5, "int64": 3, "string_enum": 14}


def parsed(text: str) -> Any:
    """A `config.pbtxt` as the server would read it; raises on anything that is no such configuration."""
    return text_format.Parse(text, _message("ModelConfig"))


def _message(name: str) -> Message:
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="triton", syntax="proto2")
    values = [descriptor_pb2.EnumValueDescriptorProto(name=each, number=n) for n, each in enumerate(ENUM)]
    file.enum_type.append(descriptor_pb2.EnumDescriptorProto(name="Words", value=values))
    for message, fields in FIELDS.items():
        made = file.message_type.add(name=message)
        for number, (own, kind) in enumerate(fields.items(), 1):
            plain = kind.removeprefix("*")
            added = made.field.add(name=own, number=number, label=3 if kind.startswith("*") else 1)
            added.type = TYPES.get(plain, 11)
            if plain not in TYPES or plain == "string_enum":
                added.type_name = ".triton." + ("Words" if plain == "string_enum" else plain)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"triton.{name}"))()


class BackendTensor:
    """`pb_utils.Tensor`, of which only DLPack may be used."""

    def __init__(self, name: str, content: TorchTensor) -> None:
        self.name, self.content = name, content

    def to_dlpack(self) -> Any:
        return to_dlpack(self.content)

    @classmethod
    def from_dlpack(cls, name: str, capsule: Any) -> "BackendTensor":
        return cls(name, from_dlpack(capsule))


@dataclass
class Request:
    """What a client sent."""

    inputs: dict[str, TorchTensor]


@dataclass
class Response:
    """What it gets."""

    output_tensors: list[BackendTensor] = field(default_factory=list)
    error: Exception | None = None


class TritonError(Exception):
    """`pb_utils.TritonError`."""


def backend_module() -> ModuleType:
    """To be put in `sys.modules` as `triton_python_backend_utils`."""
    module: Any = ModuleType("triton_python_backend_utils")
    module.Tensor, module.InferenceResponse, module.TritonError = BackendTensor, Response, TritonError
    module.get_input_tensor_by_name = lambda request, name: BackendTensor(name, request.inputs[name])
    return module
