"""The foreign classes and functions that known checkpoints need, and what stands for what they make."""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from seamline.checkpoints.stand_ins import Foreign, StandIn
from seamline.checkpoints.tensors import STORAGES, NumpyType, Storage, array, numpy_type, sizes, view

_NN: Final = "torch.nn.modules"
CLASSES: Final[Mapping[str, frozenset[str]]] = {
    module: frozenset(names.split())
    for module, names in {
        f"{_NN}.activation": "ELU GELU GLU Hardtanh LeakyReLU LogSigmoid MultiheadAttention PReLU ReLU ReLU6 SiLU "
        "Sigmoid Softmax Softplus Tanh",
        f"{_NN}.batchnorm": "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm",
        f"{_NN}.container": "ModuleDict ModuleList ParameterList Sequential",
        f"{_NN}.conv": "Conv1d Conv2d ConvTranspose2d",
        f"{_NN}.dropout": "Dropout Dropout2d",
        f"{_NN}.flatten": "Flatten Unflatten",
        f"{_NN}.instancenorm": "InstanceNorm1d InstanceNorm2d",
        f"{_NN}.linear": "Bilinear Identity Linear NonDynamicallyQuantizableLinear",
        f"{_NN}.normalization": "GroupNorm LayerNorm LocalResponseNorm",
        f"{_NN}.padding": "ConstantPad2d ReflectionPad2d ReplicationPad2d ZeroPad2d",
        f"{_NN}.pooling": "AdaptiveAvgPool2d AdaptiveMaxPool2d AvgPool2d MaxPool2d",
        f"{_NN}.sparse": "Embedding",
        f"{_NN}.upsampling": "Upsample UpsamplingBilinear2d UpsamplingNearest2d",
        "training.networks": "Conv2dLayer Discriminator DiscriminatorBlock DiscriminatorEpilogue FullyConnectedLayer "
        "Generator MappingNetwork MinibatchStdLayer SynthesisBlock SynthesisLayer SynthesisNetwork ToRGBLayer",
        "training.augment": "AugmentPipe",
        "argparse": "Namespace",
        "torch": "device",
        "torch.serialization": "_get_layout",
    }.items()
}
"""Classes whose objects become stand-ins. nn.Module's of other projects appear in STIT's runs only."""
PERSISTENT: Final = CLASSES["training.networks"] | CLASSES["training.augment"]
"""Classes that stylegan2-ada pickles together with their source, which is never looked at."""
VALUES: Final[Mapping[str, frozenset[str]]] = {
    "torch": frozenset(
        {"float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"}
    ),
    "builtins": frozenset({"dict", "object"}),
    "numpy": frozenset({"ndarray"}),
    "torch.storage": frozenset({"_load_from_bytes"}),
}
"""Names that are passed around, and never made anything of."""
RENAMED: Final = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "numpy._core.multiarray": "numpy.core.multiarray",
    "numpy._core.numeric": "numpy.core.numeric",
}
"""Modules that other versions of Python and numpy call otherwise."""
SCRIPT_CLASS: Final = re.compile(r"__torch__(\.[A-Za-z_][A-Za-z0-9_]*)*")
SCRIPT_VALUES: Final = frozenset(
    {"build_boollist", "build_doublelist", "build_intlist", "build_tensorlist", "restore_type_tag"}
)
"""Functions that give a value its type, and leave it as it is."""
TENSORS: Final = {name.replace("Storage", "Tensor"): dtype for name, dtype in STORAGES.items()}
SCALARS: Final = (str, int, float, bool, bytes, type(None))
"""What may be a key, as its hash cannot be made to take forever."""


class UnknownName(Exception):
    """A pickle asks for a name that no known checkpoint needs."""


def resolve(module: str, name: str, *, script: bool) -> Foreign:
    """A name that a pickle asks for.

    Raises:
        UnknownName: No known checkpoint needs it.
    """
    found = Foreign(RENAMED.get(module, module), name)
    if str(found) in MAKERS or name in CLASSES.get(found.module, ()) or name in VALUES.get(found.module, ()):
        return found
    if module in ("torch", "torch.cuda", "torch.storage") and (name in STORAGES or name in TENSORS):
        return Foreign("torch", name)
    if script and (SCRIPT_CLASS.fullmatch(module) or (module == "torch.jit._pickle" and name in SCRIPT_VALUES)):
        return found
    raise UnknownName(f"{module}.{name}")


def make(foreign: Any, args: Any) -> Any:
    """What a known class or function makes of arguments, or its stand-in.

    Raises:
        UnknownName: It would make an object of a class that is not known.
        ValueError: It makes no sense.
    """
    if not isinstance(foreign, Foreign) or not isinstance(args, tuple):
        raise ValueError("something is called that cannot be")
    maker = MAKERS.get(str(foreign))
    if maker is not None:
        return maker(*args)
    if foreign.module == "torch" and foreign.name in TENSORS and not args:
        return torch.empty(0, dtype=TENSORS[foreign.name])
    if foreign.module == "torch.jit._pickle" and args:
        return args[0]
    if foreign.name in CLASSES.get(foreign.module, ()) or SCRIPT_CLASS.fullmatch(foreign.module):
        return StandIn(foreign.module, foreign.name, args)
    raise ValueError(f"{foreign} is called, and should not be")


def build(made: Any, state: Any) -> Any:
    """Give a made object its state; ValueError if it takes none."""
    if isinstance(made, StandIn) and made.state is None:
        made.state = state
    elif isinstance(made, NumpyType):
        made.order(state)
    elif isinstance(made, np.ndarray) and isinstance(state, tuple) and len(state) == 5:
        _, shape, kind, columns_first, content = state
        values = array(shape, kind, content, columns_first=bool(columns_first))
        parts = (1, values.shape, values.dtype, False, values.tobytes())
        made.__setstate__(parts)  # pyright: ignore[reportArgumentType]
    elif isinstance(made, Tensor) and isinstance(state, tuple):
        _build_tensor(made, state)
    elif not (isinstance(made, OrderedDict) or (isinstance(made, dict) and not state)):
        # A state dict's metadata is of no use; old Pythons give dictionaries of other classes an empty state.
        raise ValueError(f"a {type(made).__name__} is given a state")
    return made


def _build_tensor(made: Tensor, state: tuple[Any, ...]) -> None:
    """Torch's way before 0.2: tensors of four parts; parameters of a flag or two and hooks, which do not matter."""
    if len(state) == 4 and made.numel() == 0:
        found = view(state[0], *state[1:])
        if found.dtype != made.dtype:
            raise ValueError("a tensor of another type than its storage")
        made.data = found


def _ordered(pairs: Any = ()) -> OrderedDict[Any, Any]:
    ordered: OrderedDict[Any, Any] = OrderedDict()
    for key, value in _only(list, pairs or []):
        ordered[scalar_key(key)] = value
    return ordered


def scalar_key(key: Any) -> Any:
    """The key of a dictionary or set, which must be a plain scalar."""
    if type(key) not in SCALARS:
        raise ValueError(f"a {type(key).__name__} as a key")
    return key


def _set(items: Any) -> set[Any]:
    return set(map(scalar_key, _only(list, items or [])))


def _easy_dict() -> dict[str, Any]:
    return {}


def _empty_bytes() -> bytes:
    return b""


def _byte_array(content: bytes | str = b"", encoding: str = "latin-1") -> bytearray:
    return bytearray(_encoded(content, encoding) if isinstance(content, str) else _only(bytes, content))


def _encoded(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes in encoding {encoding!r}")
    return text.encode("latin-1")


def _only(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def _reconstructor(made: Any, base: Any, state: Any) -> Any:
    if str(made) in ("dnnlib.util.EasyDict", "dnnlib.EasyDict"):
        return _only(dict, state)
    if base != Foreign("builtins", "object") or state is not None:
        raise ValueError(f"{made} as a {base}")
    return make(made, ())


def _persistent(meta: Any) -> StandIn:
    name = _only(dict, meta).get("class_name")
    if meta.get("type") != "class" or name not in PERSISTENT:
        raise UnknownName(f"persistent class {name}")
    return StandIn("torch_utils.persistence", name, (), meta.get("state"))


def _rebuild_tensor(storage: Storage, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    return view(storage, offset, size, stride)


def _rebuild_parameter(data: Tensor, *_: Any) -> Tensor:
    return _only(Tensor, data)


def _rebuild_typed(function: Any, _: Any, args: Any, *__: Any) -> Any:
    return _only(Tensor, make(function, args))


def _numpy_type(code: Any, *_: Any) -> NumpyType:
    return numpy_type(code)


def _empty_array(*_: Any) -> "np.ndarray[Any, Any]":
    return np.empty(0, np.uint8)


def _numpy_scalar(kind: Any, content: Any) -> Any:
    return array((), kind, content).item()


def _numpy_buffer(content: Any, kind: Any, shape: Any, order: Any) -> "np.ndarray[Any, Any]":
    return array(shape, kind, content, columns_first=order == "F")


def _path(*parts: str) -> str:
    return "/".join(_only(str, part) for part in parts)


MAKERS: Final[Mapping[str, Callable[..., Any]]] = {
    "builtins.bytearray": _byte_array,
    "builtins.bytes": _empty_bytes,
    "builtins.frozenset": lambda items=(): frozenset(_set(items)),
    "builtins.set": lambda items=(): _set(items),
    "_codecs.encode": _encoded,
    "collections.OrderedDict": _ordered,
    "copyreg._reconstructor": _reconstructor,
    "dnnlib.util.EasyDict": _easy_dict,
    "dnnlib.EasyDict": _easy_dict,
    "numpy.dtype": _numpy_type,
    "numpy.core.multiarray._reconstruct": _empty_array,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy.core.numeric._frombuffer": _numpy_buffer,
    "pathlib.PosixPath": _path,
    "torch.Size": sizes,
    "torch._tensor._rebuild_from_type_v2": _rebuild_typed,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch.nn.parameter.Parameter": _rebuild_parameter,
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
}
"""What makes plain values: each checks its arguments, and none runs what it is given."""
