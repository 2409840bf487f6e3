"""A bundle of only some of the tiny networks, written at once: enough where nothing is edited."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seamline.bundles import Bundle, NetworkSource, load_bundle, write_bundle
from seamline.networks.registry import build
from tests.fakes.bundle import CONFIGS, NAME


def few_networks(search: Path, kinds: Sequence[str] = ("parsing",), **config: Any) -> Bundle:
    """Writes the bundle `NAME` to a directory of bundles; `config` are settings of each network."""
    networks = {kind: _source(kind, {**CONFIGS[kind], **config}) for kind in kinds}
    write_bundle(search / NAME, name=NAME, resolution=64, networks=networks)
    return load_bundle(NAME, search)


def _source(kind: str, config: dict[str, Any]) -> NetworkSource:
    return NetworkSource(module=build(kind, config), config=config, licence="CC0-1.0", source="tests/fakes")
