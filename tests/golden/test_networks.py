"""Every network computes what its public original does, with weights drawn by rule in the public format."""

import numpy as np
import pytest
import torch

from seamline.networks.arcface import ArcFace, ArcFaceConfig
from seamline.networks.bisenet import BiSeNet, BiSeNetConfig
from seamline.networks.bisenet_v2 import BiSeNetV2
from seamline.networks.e4e import E4eConfig, E4eEncoder
from seamline.networks.lpips import Lpips, LpipsConfig
from seamline.networks.stylegan2 import Generator, GeneratorConfig
from tests.golden.networks import DATA, TOLERANCE, Golden, relative_error


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def stylegan2() -> Golden:
    return Golden("stylegan2_ada_64")


@pytest.fixture(scope="module")
def generator(stylegan2: Golden) -> Generator:
    return stylegan2.load(lambda: Generator(GeneratorConfig(**stylegan2.keys["args"])))


def test_mapping_truncates_towards_the_average(stylegan2: Golden, generator: Generator):
    ws = generator.mapping(stylegan2.outputs["z"], psi=0.7)
    assert relative_error(ws, stylegan2.outputs["ws_psi07"]) < TOLERANCE


@pytest.mark.parametrize("noise", ["const", "none"])
def test_synthesis_draws_the_image(stylegan2: Golden, generator: Generator, noise):
    image = generator.synthesis(stylegan2.outputs["wplus"], noise=noise)
    assert relative_error(image, stylegan2.outputs[f"image_{noise}"]) < TOLERANCE


def test_styles_are_those_of_s_space(stylegan2: Golden, generator: Generator):
    styles = generator.styles(stylegan2.outputs["wplus"])
    assert [style.shape[1] for style in styles] == stylegan2.outputs["style_sizes"].tolist()
    assert relative_error(torch.cat(styles, dim=1), stylegan2.outputs["styles0"]) < TOLERANCE


def test_edited_styles_draw_the_edited_image(stylegan2: Golden, generator: Generator):
    styles = [style + 0.1 for style in generator.styles(stylegan2.outputs["wplus"])]
    image = generator.synthesis_from_styles(styles)
    assert relative_error(image, stylegan2.outputs["image_styles_plus_0p1"]) < TOLERANCE


def test_weights_per_sample_draw_the_same_image(stylegan2: Golden, generator: Generator):
    image = generator.synthesis(stylegan2.outputs["wplus"], weights=generator.per_sample_weights(3))
    assert relative_error(image, stylegan2.outputs["image_const"]) < TOLERANCE


def test_encoder_predicts_the_codes():
    golden = Golden("e4e_encoder", prefix="encoder.")
    network = golden.load(lambda: E4eEncoder(E4eConfig()))
    codes = network(golden.image("e4e", (2, 3, 256, 256)))
    assert relative_error(codes, golden.outputs["codes"]) < TOLERANCE


def test_identity_network_embeds():
    golden = Golden("arcface_ir_se50")
    network = golden.load(lambda: ArcFace(ArcFaceConfig()))
    embedding = network(golden.image("arcface", (2, 3, 112, 112)))
    assert relative_error(embedding, golden.outputs["embedding"]) < TOLERANCE


def test_parsing_network_classifies_pixels():
    golden = Golden("bisenet_19")
    network = golden.load(lambda: BiSeNet(BiSeNetConfig()))
    (logits,) = network.logits(golden.image("bisenet", (1, 3, 512, 512)))
    assert relative_error(logits[:, :, ::8, ::8], golden.outputs["logits_s8"]) < TOLERANCE
    agreement = (logits.argmax(1)[:, ::4, ::4] == golden.outputs["argmax_s4"]).float().mean()
    assert agreement > 0.9999


def test_second_version_of_the_parsing_network():
    golden = Golden("bisenet_v2_19")
    network = golden.load(lambda: BiSeNetV2(BiSeNetConfig(version=2)))
    with torch.no_grad():
        logits, *others = network.logits(golden.image("bisenet_v2", (1, 3, 256, 256)), auxiliary=True)
    assert relative_error(logits[:, :, ::8, ::8], golden.outputs["logits_s8"]) < TOLERANCE
    for index, other in enumerate(others):
        assert relative_error(other[:, :, ::16, ::16], golden.outputs[f"auxiliary_{index}_s16"]) < TOLERANCE


def test_perceptual_distance():
    golden = Golden("lpips_alex")
    network = Lpips(LpipsConfig()).eval()
    network.load_state_dict(lpips_state_dict(golden, network))
    distance = network(golden.image("lpips_a", (3, 3, 128, 128)), golden.image("lpips_b", (3, 3, 128, 128)))
    assert relative_error(distance, golden.outputs["distance"]) < TOLERANCE


def lpips_state_dict(golden: Golden, network: Lpips) -> dict[str, torch.Tensor]:
    """Drawn convolutions, the published channel weights, and the constants that the network sets itself."""
    state = {key: value for key, value in golden.state_dict().items() if key.startswith("net.")}
    with np.load(DATA / "lpips_alex_lin.npz") as published:
        for key in published.files:
            state[key] = torch.from_numpy(published[key])
            state[key.replace("lin", "lins.", 1)] = state[key]
    constants = {"scaling_layer.shift", "scaling_layer.scale"}
    return {key: value for key, value in network.state_dict().items() if key in constants} | state
