"""Inert stand-ins for the objects of other projects' classes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from seamline.errors import InvalidInput

MAX_DEPTH = 64
"""Modules inside modules that `state_dict_of` follows."""


@dataclass(frozen=True)
class Foreign:
    """A class or function of another project: its name, and nothing that could be called."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class StandIn:
    """An object of a known foreign class: what it was made of, without its code."""

    module: str
    name: str
    args: tuple[Any, ...] = ()
    """Arguments of its constructor."""
    state: Any = None
    """What its class would have restored it from; mostly its `__dict__`."""

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


def attribute(module: StandIn, name: str, default: Any = None) -> Any:
    """An attribute of a stand-in, or the default where its state has none of that name."""
    return module.state.get(name, default) if isinstance(module.state, Mapping) else default


def state_dict_of(module: StandIn) -> dict[str, Tensor]:
    """The state dict that a pickled module would have.

    Args:
        module: Stands for a `torch.nn.Module`, with `_parameters`, `_buffers` and `_modules` in its state, or
            for a module of a TorchScript archive, whose state has tensors and modules by attribute.

    Raises:
        InvalidInput: It is no module, or it holds itself.
    """
    return dict(_tensors(module, "", MAX_DEPTH))


def _tensors(module: StandIn, prefix: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if not isinstance(module.state, Mapping):
        raise InvalidInput(f"{prefix or 'the object'} is a {module}, which has no weights")
    if depth == 0:
        raise InvalidInput(f"modules lie more than {MAX_DEPTH} deep in one another")
    own, inner = _held(module.state)
    yield from ((f"{prefix}{name}", value) for name, value in own.items() if isinstance(value, Tensor))
    for name, child in inner.items():
        if isinstance(child, StandIn):
            yield from _tensors(child, f"{prefix}{name}.", depth - 1)


def _held(state: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What a module has of its own, and its modules."""
    if "_parameters" not in state:
        return state, {name: value for name, value in state.items() if isinstance(value, StandIn)}
    parameters, buffers, modules = (state.get(name) for name in ("_parameters", "_buffers", "_modules"))
    passing = state.get("_non_persistent_buffers_set") or ()
    own = {**(parameters or {}), **{name: value for name, value in (buffers or {}).items() if name not in passing}}
    return own, modules or {}
