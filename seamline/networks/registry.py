"""Which network class each kind of a bundle is, and the config that it is built from."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import nn

from seamline.networks.attributes import AttributeNetwork, AttributesConfig
from seamline.networks.stylegan2 import Generator, GeneratorConfig

KINDS: Final[Mapping[str, tuple[Callable[..., nn.Module], Callable[..., Any]]]] = {
    "generator": (Generator, GeneratorConfig),
    "attributes": (AttributeNetwork, AttributesConfig),
}


def build(kind: str, config: Mapping[str, Any]) -> nn.Module:
    """Build a network with random weights.

    Args:
        kind: A key of `KINDS`.
        config: The fields of its config class; those left out take their defaults.

    Raises:
        KeyError: There is no such kind.
        TypeError: The config has an unknown field.
        ValueError: A field's value is out of range.
    """
    network, config_class = KINDS[kind]
    return network(config_class(**config))
