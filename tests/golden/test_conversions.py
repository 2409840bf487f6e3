"""Checkpoints in the official layouts, drawn by rule and converted by the command, compute the golden numbers."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from seamline.checkpoints import load_network
from seamline.cli.app import app
from seamline.networks import Generator, GeneratorConfig, Lpips, LpipsConfig
from tests.fakes.foreign import as_pickle, persistent_generator
from tests.golden.networks import TOLERANCE, Golden, lpips_state_dict, relative_error

Convert = Callable[..., nn.Module]


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


@pytest.fixture
def convert(tmp_path: Path) -> Iterator[Convert]:
    """Writes checkpoints, and gives the network that the command makes of them."""

    def run(name: str, **checkpoints: Callable[[Path], Any]) -> nn.Module:
        paths = [tmp_path / stem.replace("__", ".") for stem in checkpoints]
        for path, write in zip(paths, checkpoints.values(), strict=True):
            write(path)
        out = tmp_path / "out.safetensors"
        result = CliRunner().invoke(app, ["bundles", "convert", name, *map(str, paths), "-o", str(out)])
        assert result.exit_code == 0, result.output
        return load_network(out)

    yield run
    shutil.rmtree(tmp_path)  # pytest would keep gigabytes


def saved(value: Any, **options: Any) -> Callable[[Path], None]:
    return lambda path: torch.save(value, path, **options)


def old(value: Any) -> Callable[[Path], None]:
    return saved(value, _use_new_zipfile_serialization=False)


def ffhq_pkl(state: dict[str, Tensor]) -> Callable[[Path], int]:
    generator = persistent_generator(state)
    snapshot = {"G": None, "D": None, "G_ema": generator, "augment_pipe": None, "training_set_kwargs": {}}
    with torch.inference_mode(False):
        content = as_pickle(snapshot)
    return lambda path: path.write_bytes(content)


def test_stylegan2_ada(convert: Convert) -> None:
    golden = Golden("stylegan2_ada_64")
    generator = convert("stylegan2-ada", ffhq__pkl=ffhq_pkl(golden.state_dict()))
    assert isinstance(generator, Generator)
    assert generator.config == GeneratorConfig(**golden.keys["args"])
    outputs = golden.outputs
    assert relative_error(generator.mapping(outputs["z"], psi=0.7), outputs["ws_psi07"]) < TOLERANCE
    for noise in ("const", "none"):
        image = generator.synthesis(outputs["wplus"], noise=noise)
        assert relative_error(image, outputs[f"image_{noise}"]) < TOLERANCE
    styles = [style + 0.1 for style in generator.styles(outputs["wplus"])]
    assert relative_error(generator.synthesis_from_styles(styles), outputs["image_styles_plus_0p1"]) < TOLERANCE


def test_a_generator_of_another_seed(convert: Convert) -> None:
    golden = Golden("stylegan2_ada_64")
    golden.keys["seed"] = 2
    drawn = golden.load(lambda: Generator(GeneratorConfig(**golden.keys["args"])))
    converted = convert("stylegan2-ada", ffhq__pkl=ffhq_pkl(golden.state_dict()))
    wanted = drawn.synthesis(golden.outputs["wplus"])
    assert relative_error(converted.get_submodule("synthesis")(golden.outputs["wplus"]), wanted) < TOLERANCE
    assert relative_error(wanted, golden.outputs["image_const"]) > 0.1


def test_e4e(convert: Convert) -> None:
    golden = Golden("e4e_encoder", prefix="encoder.")
    average = torch.randn(18, 512)
    state = {f"encoder.{key}": tensor for key, tensor in golden.state_dict().items()}
    checkpoint = {"state_dict": state, "latent_avg": average, "opts": {"encoder_type": "Encoder4Editing"}}
    encoder = convert("e4e", e4e_ffhq_encode__pt=saved(checkpoint))
    assert torch.equal(encoder.get_buffer("latent_avg"), average)
    assert relative_error(encoder(golden.image("e4e", (2, 3, 256, 256))), golden.outputs["codes"]) < TOLERANCE


def test_ir_se50(convert: Convert) -> None:
    golden = Golden("arcface_ir_se50")
    state = {key: tensor for key, tensor in golden.state_dict().items() if not key.endswith("num_batches_tracked")}
    network = convert("ir-se50", model_ir_se50__pth=old(state))
    assert relative_error(network(golden.image("arcface", (2, 3, 112, 112))), golden.outputs["embedding"]) < TOLERANCE


def test_bisenet(convert: Convert) -> None:
    golden = Golden("bisenet_19")
    network: Any = convert("bisenet", i79999_iter__pth=old(golden.state_dict()))
    (logits,) = network.logits(golden.image("bisenet", (1, 3, 512, 512)))
    assert relative_error(logits[:, :, ::8, ::8], golden.outputs["logits_s8"]) < TOLERANCE
    assert (logits.argmax(1)[:, ::4, ::4] == golden.outputs["argmax_s4"]).float().mean() > 0.9999


def test_bisenet_v2(convert: Convert) -> None:
    golden = Golden("bisenet_v2_19")
    network: Any = convert("bisenet", model_final_v2__pth=saved(golden.state_dict()))
    logits, *others = network.logits(golden.image("bisenet_v2", (1, 3, 256, 256)), auxiliary=True)
    assert relative_error(logits[:, :, ::8, ::8], golden.outputs["logits_s8"]) < TOLERANCE
    for index, other in enumerate(others):
        assert relative_error(other[:, :, ::16, ::16], golden.outputs[f"auxiliary_{index}_s16"]) < TOLERANCE


@pytest.mark.parametrize("files", ["whole", "two"])
def test_lpips(convert: Convert, files: str) -> None:
    golden = Golden("lpips_alex")
    whole = lpips_state_dict(golden, Lpips(LpipsConfig()))
    if files == "whole":
        network = convert("lpips-alex", lpips__pth=saved(whole))
    else:
        alexnet = {
            f"features.{key.split('.', 2)[2]}": tensor for key, tensor in whole.items() if key.startswith("net.")
        }
        classifier = {"classifier.6.weight": torch.zeros(1000, 4096), "classifier.6.bias": torch.zeros(1000)}
        lins = {key: tensor for key, tensor in whole.items() if key.startswith("lin") and not key.startswith("lins")}
        network = convert("lpips-alex", alexnet__pth=old(alexnet | classifier), alex__pth=old(lins))
    pair = [golden.image(name, (3, 3, 128, 128)) for name in ("lpips_a", "lpips_b")]
    assert relative_error(network(*pair), golden.outputs["distance"]) < TOLERANCE


def test_s3fd(convert: Convert) -> None:
    golden = Golden("s3fd")
    network = convert("s3fd", s3fd__pth=old(golden.state_dict()))
    anchors = network(golden.image("s3fd", (1, 3, 128, 160)))
    for column in range(5):
        assert relative_error(anchors[..., column], golden.outputs["anchors"][..., column]) < TOLERANCE


def test_fan4(convert: Convert) -> None:
    golden = Golden("fan_4")
    network = convert("fan4", fan__tar=old(golden.state_dict()))
    heatmaps = network(golden.image("fan4", (1, 3, 256, 256)))
    assert relative_error(heatmaps[:, :, ::4, ::4], golden.outputs["heatmaps_s4"]) < TOLERANCE
