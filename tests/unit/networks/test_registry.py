"""Every kind builds from plain values, in small and in its public size, under the public names."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from seamline.errors import InvalidInput
from seamline.networks.registry import KINDS, build
from tests.fakes.tokenizer import sizes

GOLDEN = Path(__file__).parents[2] / "golden" / "data"
PUBLIC = {
    "e4e": "e4e_encoder",
    "parsing": "bisenet_19",
    "identity": "arcface_ir_se50",
    "perceptual": "lpips_alex",
    "s3fd": "s3fd",
    "fan4": "fan_4",
}
SMALL: dict[str, dict[str, Any]] = {
    "generator": {"resolution": 16, "z_dim": 4, "w_dim": 8, "mapping_layers": 1, "channel_max": 8},
    "e4e": {"generator_resolution": 64, "w_dim": 8, "width": 16, "units": [1, 1, 1, 1], "style_width": 8},
    "hyperstyle": {
        "input_size": 64,
        "resolution": 64,
        "channel_base": 512,
        "channel_max": 16,
        "blocks": [16, 32],
        "width": 4,
        "units": [1, 1, 1, 1],
        "code_width": 8,
        "shared_width": 4,
        "own_width": 4,
    },
    "parsing": {"width": 8, "classes": 5},
    "identity": {"width": 16, "units": [1, 1, 1, 1], "embedding": 8},
    "perceptual": {"width": 4},
    "landmarks": {"width": 4, "head_width": 8},
    "detector": {"width": 4, "head_width": 8},
    "attributes": {"names": ["smile"], "width": 4},
    "s3fd": {"width": 2},
    "fan4": {"stacks": 2, "width": 8},
    "clip": sizes(),
    "latent_transformer": {"names": ["smile", "age"], "num_ws": 6, "w_dim": 8},
}
INPUTS = {
    "generator": [(2, 6, 8)],
    "e4e": [(2, 3, 256, 256)],
    "hyperstyle": [(2, 3, 64, 64), (2, 3, 64, 64)],
    "parsing": [(2, 3, 64, 96)],
    "identity": [(2, 3, 112, 112)],
    "perceptual": [(2, 3, 64, 64), (2, 3, 64, 64)],
    "landmarks": [(2, 3, 100, 100)],
    "detector": [(2, 3, 64, 96)],
    "attributes": [(2, 3, 128, 128)],
    "s3fd": [(2, 3, 64, 96)],
    "fan4": [(2, 3, 256, 256)],
    "clip": [(2, 3, 40, 40)],
    "latent_transformer": [(2, 6, 8), (2, 2)],
}
OUTPUTS = {
    "generator": (2, 3, 16, 16),
    "e4e": (2, 10, 8),
    "hyperstyle": (2, 16, 16, 3, 3),
    "parsing": (2, 5, 64, 96),
    "identity": (2, 8),
    "perceptual": (2,),
    "landmarks": (2, 68, 2),
    "detector": (2, 5, 16, 24),
    "attributes": (2, 1),
    "s3fd": (2, 562, 5),
    "fan4": (2, 68, 64, 64),
    "clip": (2, 8),
    "latent_transformer": (2, 6, 8),
}


def shapes(kind: str, config: dict[str, Any]) -> dict[str, list[int]]:
    with torch.device("meta"):
        return {name: list(tensor.shape) for name, tensor in build(kind, config).state_dict().items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bfloat16", [False, True])
def test_small_networks_run(kind, bfloat16):
    network = build(kind, SMALL[kind]).eval()
    inputs = [torch.rand(shape) * 2 - 1 for shape in INPUTS[kind]]
    run = network.get_submodule("synthesis") if kind == "generator" else network
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        output = run(*inputs)
    if kind == "hyperstyle":
        output = output["b32.conv0.weight"]
    assert output.shape == OUTPUTS[kind]
    assert output.isfinite().all()
    assert output.dtype == torch.float32 or kind == "attributes"


@pytest.mark.parametrize("kind", KINDS)
def test_config_survives_plain_values(kind):
    config = KINDS[kind].config(**SMALL[kind])
    assert KINDS[kind].config(**json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize("kind", PUBLIC)
def test_default_sizes_are_the_public_ones(kind):
    public = json.loads((GOLDEN / f"{PUBLIC[kind]}.keys.json").read_text())["shapes"]
    assert shapes(kind, {}) == {key.removeprefix("encoder."): shape for key, shape in public.items()}


@pytest.mark.parametrize("kind", ["parsing", "perceptual"])
def test_width_leaves_the_names_alone(kind):
    assert shapes(kind, {"width": 8}).keys() == shapes(kind, {}).keys()


@pytest.mark.parametrize(("kind", "head", "millions"), [("landmarks", "points", 1.16), ("detector", "output", 0.494)])
def test_own_networks_keep_their_names_and_sizes(kind, head, millions):
    found = shapes(kind, {})
    assert {name.split(".")[0] for name in found} == {"stem", "stages", "laterals", "merge", head}
    assert found["stages.0.0.downsample.0.weight"][2:] == [1, 1]
    assert sum(math.prod(shape) for shape in found.values()) == pytest.approx(millions * 1e6, rel=0.01)


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("e4e", {"input_size": 100}, "input_size must be a power of two"),
        ("e4e", {"generator_resolution": 100}, "generator_resolution must be a power of two"),
        ("e4e", {"width": 8}, "width must be at least 16"),
        ("identity", {"units": [3, 4]}, "units must be four numbers"),
        ("identity", {"input_size": 100}, "input_size must be a multiple of 16"),
        ("parsing", {"width": 6}, "width must be a multiple of 4"),
        ("fan4", {"width": 6}, "width must be a multiple of 4"),
        ("fan4", {"stacks": 0}, "stacks must be at least 1"),
        ("landmarks", {"input_size": 100}, "input_size must be a multiple of 32"),
    ],
)
def test_impossible_sizes_are_refused(kind, config, message):
    with pytest.raises(InvalidInput, match=message) as refused:
        build(kind, config)
    assert refused.value.field == next(iter(config))


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        ("e4e", (1, 3, 128, 128), r"encoder input .*\(\*, 3, 256, 256\), got \(1, 3, 128, 128\)"),
        ("identity", (1, 3, 256, 256), r"identity input .*\(\*, 3, 112, 112\)"),
        ("parsing", (1, 1, 64, 64), "parsing input"),
        ("landmarks", (1, 3, 64, 32), "landmark input"),
        ("detector", (1, 3, 64, 60), "pad the sides to multiples of 16"),
        ("detector", (3, 64, 64), "detector input"),
    ],
)
def test_wrong_shapes_are_named(kind, shape, message):
    with pytest.raises(ValueError, match=message):
        build(kind, SMALL[kind]).eval()(torch.zeros(shape))


def test_perceptual_input_pairs_must_match():
    with pytest.raises(ValueError, match="second perceptual input"):
        build("perceptual", SMALL["perceptual"])(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 32, 32))
