"""Checkpoints that refer to other projects' classes, written without those projects."""

import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from torch import Tensor, nn

RECONSTRUCT = "torch_utils.persistence._reconstruct_persistent_obj"
EASY_DICT = "dnnlib.util.EasyDict"
Tree = dict[str, Any]


@contextmanager
def importable(**objects: Any) -> Iterator[None]:
    """While it lasts, objects can be pickled as the names that they are given under, with __ for the dots."""
    added: list[str] = []
    for path, value in objects.items():
        module, _, name = path.replace("__", ".").rpartition(".")
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            inner = ".".join(parts[:end])
            if inner not in sys.modules:
                sys.modules[inner] = ModuleType(inner)
                added.append(inner)
        value.__module__, value.__qualname__, value.__name__ = module, name, name
        setattr(sys.modules[module], name, value)
    try:
        yield
    finally:
        for inner in added:
            del sys.modules[inner]


def _reconstruct(meta: Any) -> None:
    raise AssertionError("the class's source is run")


class EasyDict(dict[str, Any]):
    """A dictionary of a class of its own, as stylegan2-ada uses it for options."""


class Persistent:
    """An object of a class that stylegan2-ada pickles together with its source."""

    def __init__(self, name: str, state: Mapping[str, Any]) -> None:
        self.name, self.held = name, dict(state)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Tree]]:
        source = "raise SystemExit('the source is run')"
        meta = {"type": "class", "version": 6, "module_src": source, "class_name": self.name, "state": self.held}
        return _reconstruct, (meta,)


def persistent_generator(state: Mapping[str, Tensor], lr_multiplier: float = 0.01) -> Persistent:
    """stylegan2-ada's generator of a state dict, module in module, as it is pickled."""
    tree: Tree = {}
    for name, tensor in state.items():
        *path, last = name.split(".")
        at = tree
        for part in path:
            at = at.setdefault(part, {})
        at[last] = tensor
    return _persistent("Generator", tree, lr_multiplier)


def _persistent(name: str, tree: Tree, lr_multiplier: float) -> Persistent:
    buffers = {"resample_filter", "noise_const", "w_avg"}
    own = {key: value for key, value in tree.items() if isinstance(value, Tensor)}
    state = {
        **nn.Module().__dict__,
        "_parameters": OrderedDict((key, nn.Parameter(value)) for key, value in own.items() if key not in buffers),
        "_buffers": OrderedDict((key, value) for key, value in own.items() if key in buffers),
        "_modules": OrderedDict(
            (key, _persistent(_class(key), value, lr_multiplier)) for key, value in tree.items() if key not in own
        ),
        "_init_kwargs": EasyDict(mapping_kwargs=EasyDict(num_layers=8)),
    }
    if name == "FullyConnectedLayer":
        state["bias_gain"] = lr_multiplier
    return Persistent(name, state)


def _class(key: str) -> str:
    known = {"mapping": "MappingNetwork", "synthesis": "SynthesisNetwork", "torgb": "ToRGBLayer"}
    if key in known:
        return known[key]
    if key.startswith("b") and key[1:].isdigit():
        return "SynthesisBlock"
    return "SynthesisLayer" if key.startswith("conv") else "FullyConnectedLayer"


@contextmanager
def stylegan2_ada() -> Iterator[None]:
    """While it lasts, its generators can be pickled as its own code pickles them."""
    with importable(
        torch_utils__persistence___reconstruct_persistent_obj=_reconstruct, dnnlib__util__EasyDict=EasyDict
    ):
        yield


def as_pickle(value: Any) -> bytes:
    """The bytes that stylegan2-ada's own code would pickle a value to."""
    with stylegan2_ada():
        return pickle.dumps(value, protocol=3)
