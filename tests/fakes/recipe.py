"""A recipe for three small networks, directions and a relevance, and the files that it asks for."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save

from seamline.bundles import Relevance
from seamline.bundles.relevance import convolution_channels
from seamline.checkpoints.formats import Format
from seamline.checkpoints.network_file import Converted
from seamline.networks import Generator
from seamline.networks.registry import build
from tests.fakes.bundle import CONFIGS

NAME = "small-64"
KINDS = ("generator", "clip", "perceptual")
BETA = 0.25
OPTIONAL = ("clip", "relevance")
UNDOCUMENTED = "perceptual"
"""Of this source's file the recipe has neither size nor digest."""


@dataclass(frozen=True, kw_only=True)
class SmallRecipe:
    """A bundle that has to be fetched."""

    bundles: Path
    directory: Path
    files: Mapping[str, bytes]
    """What its sources are, by name."""


def plain_formats() -> dict[str, Format]:
    """A format for each source: a safetensors file of the network's own names."""
    configs = {kind: CONFIGS[kind] for kind in KINDS} | {"directions": {}, "relevance": {"beta": BETA}}
    return {f"plain-{kind}": _format(kind, config) for kind, config in configs.items()}


def _format(kind: str, config: dict) -> Format:
    def convert(paths: Sequence[Path]) -> Converted:
        return Converted(kind=kind, config=config, tensors=load_file(paths[0]), licence="-", source="-")

    return Format(
        name=f"plain-{kind}", inputs=("tensors",), description=kind, licence="-", convert=convert
    )  # fmt: skip


def small_recipe(above: Path, url: str = "http://127.0.0.1:9") -> SmallRecipe:
    """Write a recipe to `above/bundles`, for files below an address."""
    files = _drawn()
    directory = above / "bundles" / NAME
    directory.mkdir(parents=True)
    tables = [_source(name.removesuffix(".pt"), name, content, url) for name, content in files.items()]
    edits = ["[edits.smile]", 'description = "Smile"', "min = -3.0", "max = 3.0", 'attribute = "smile"']
    head = [f'name = "{NAME}"', "version = 1", "resolution = 64", "[invert]", "max_passes = 4"]
    (directory / "bundle.toml").write_text("\n".join([*head, *tables, *edits]) + "\n")
    return SmallRecipe(bundles=above / "bundles", directory=directory, files=files)


@cache
def _drawn() -> Mapping[str, bytes]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = {kind: build(kind, CONFIGS[kind]) for kind in KINDS}
        generator = cast(Generator, networks["generator"])
        codes, channels = (generator.config.num_ws, generator.config.w_dim), sum(convolution_channels(generator))
        embeddings = F.normalize(torch.randn(channels, CONFIGS["clip"]["embedding"]), dim=1)
        relevance = Relevance(embeddings=embeddings, mean=torch.randn(channels), std=torch.rand(channels), beta=BETA)
        tensors = {kind: network.state_dict() for kind, network in networks.items()}
        tensors |= {"directions": {"smile": torch.randn(codes)}, "relevance": relevance.tensors()}
    # Cloned: a network may have one tensor under two names.
    return {
        f"{kind}.pt": save({name: tensor.clone() for name, tensor in each.items()}) for kind, each in tensors.items()
    }


def _source(kind: str, name: str, content: bytes, url: str) -> str:
    known = f'size = {len(content)}\nsha256 = "{hashlib.sha256(content).hexdigest()}"'
    return f'''
[sources.{kind}]
format = "plain-{kind}"
page = "https://example.org/{kind}"
licence = "CC0-1.0"
licence_url = "https://example.org/{kind}/LICENSE"
non_commercial = {"true" if kind == "generator" else "false"}
optional = {"true" if kind in OPTIONAL else "false"}

[[sources.{kind}.files]]
name = "{name}"
urls = ["{url}/{name}"]
{"" if kind == UNDOCUMENTED else known}
'''
