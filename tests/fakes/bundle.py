"""A complete bundle with random weights, small enough to be written in every test session."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seamline.bundles import Bundle, EditSpec, NetworkSource, load_bundle, put_directions, write_bundle
from seamline.networks.clip import Clip, as_bytes
from seamline.networks.registry import KINDS, build
from tests.fakes.tokenizer import few_words, sizes

NAME = "tiny-64"
CONFIGS: dict[str, dict[str, Any]] = {
    "generator": {
        "resolution": 64,
        "z_dim": 16,
        "w_dim": 16,
        "mapping_layers": 1,
        "mapping_activation": "linear",
        "mapping_lr_multiplier": 1.0,
        "normalize_z": False,
        "channel_base": 512,
        "channel_max": 16,
    },
    "e4e": {
        "input_size": 64,
        "generator_resolution": 64,
        "w_dim": 16,
        "width": 16,
        "units": [1, 1, 1, 1],
        "style_width": 16,
    },
    "hyperstyle": {
        "input_size": 64,
        "resolution": 64,
        "channel_base": 512,
        "channel_max": 16,
        "width": 4,
        "units": [1, 1, 1, 1],
        "code_width": 8,
        "shared_width": 4,
        "own_width": 4,
    },
    "parsing": {"classes": 19, "width": 4},
    "identity": {"input_size": 112, "width": 16, "units": [1, 1, 1, 1], "embedding": 16, "dropout": 0.0},
    "perceptual": {"width": 4},
    "landmarks": {"input_size": 32, "width": 4, "head_width": 8},
    "detector": {"input_size": 64, "width": 4, "head_width": 8},
    "s3fd": {"width": 4},
    "fan4": {"stacks": 1, "width": 16},
    "attributes": {"names": ["smile", "age"], "input_size": 64, "width": 4},
    "clip": sizes(),
    "latent_transformer": {"names": ["smile", "age"], "num_ws": 10, "w_dim": 16},
}
EDITS = (
    EditSpec(name="smile", description="Smile more", min_strength=-3.0, max_strength=3.0, attribute="smile"),
    EditSpec(name="age", description="Look older", min_strength=-2.0, max_strength=4.0, attribute="age"),
)
DEFAULTS = {
    "invert": {"max_passes": 4, "learning_rate": 1e-3, "target_psnr_db": 0.0, "pivot_steps": 15},
    "stitch": {"max_steps": 4, "learning_rate": 1e-3, "target_border_loss": 0.0},
}


def tiny_bundle(search: Path, name: str = NAME, seed: int = 0) -> Bundle:
    """Write a randomly drawn 64-px bundle with every kind of network to `search/name`, and load it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        networks = {kind: _source(kind) for kind in KINDS}
        write_bundle(search / name, name=name, resolution=64, networks=networks, defaults=DEFAULTS)
        generator = networks["generator"].module
        shape = (generator.config.num_ws, generator.config.w_dim)
        put_directions(search / name, {edit.name: 0.3 * torch.randn(shape) for edit in EDITS}, EDITS)
    return load_bundle(name, search)


def _source(kind: str) -> NetworkSource:
    module = build(kind, CONFIGS.get(kind, {}))
    _warm(module)
    if isinstance(module, Clip):
        module.tokenizer.copy_(as_bytes(few_words()))
    return NetworkSource(module=module, config=CONFIGS.get(kind, {}), licence="CC0-1.0", source="tests/fakes/bundle.py")


def _warm(module: nn.Module) -> None:
    """Give statistics that training would fill values other than the neutral ones."""
    for name, buffer in module.named_buffers():
        if name.endswith(("running_mean", "w_avg")):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            _uniform(buffer)


def _uniform(buffer: Tensor) -> None:
    buffer.uniform_(0.8, 1.2)
