"""The generator computes what its public original does, part by part; test_conversions.py has the other networks."""

import pytest
import torch

from seamline.networks.stylegan2 import Generator, GeneratorConfig
from tests.golden.networks import TOLERANCE, Golden, relative_error


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
