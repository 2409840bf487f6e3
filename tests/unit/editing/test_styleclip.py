"""Directions from texts, against StyleCLIP's formula written out channel by channel."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from seamline.bundles import Bundle, Relevance, load_bundle, put_relevance
from seamline.bundles.relevance import style_layers
from seamline.editing.edit import Text
from seamline.editing.prompt_templates import TEMPLATES
from seamline.editing.styleclip import (
    SUGGESTED_CHANNELS,
    channel_steps,
    check_text,
    default_beta,
    style_direction,
    text_direction,
)
from seamline.errors import InvalidInput, Precondition
from seamline.networks.stylegan2 import SynthesisLayer, ToRgb
from tests.fakes.bundle import tiny_bundle

GLASSES = Text(neutral="face", target="face with glasses", beta=0.3)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    made = tiny_bundle(tmp_path_factory.mktemp("bundles"))
    channels = sum(layer.inputs for layer in style_layers(made.generator()) if isinstance(layer, SynthesisLayer))
    rng = torch.Generator().manual_seed(3)
    relevance = Relevance(
        embeddings=F.normalize(torch.randn(channels, 8, generator=rng), dim=1),
        mean=torch.randn(channels, generator=rng),
        std=torch.rand(channels, generator=rng) + 0.5,
        beta=0.25,
    )
    put_relevance(made.directory, relevance, "tests")
    return load_bundle(made.name, made.directory.parent)


def written_out(bundle: Bundle, text: Text) -> list[list[float]]:
    """The direction as the paper has it, a number at a time."""
    clip, relevance = bundle.module("clip"), bundle.relevance
    ends = []
    for words in (text.neutral, text.target):
        prompts = [clip.encode_texts([template.replace("{}", words)])[0].tolist() for template in TEMPLATES]
        mean = [sum(column) / len(prompts) for column in zip(*prompts, strict=True)]
        norm = math.sqrt(sum(value**2 for value in mean))
        ends.append([value / norm for value in mean])
    step = [there - here for here, there in zip(*ends, strict=True)]
    length = math.sqrt(sum(value**2 for value in step))
    similar = [
        sum(a * b / length for a, b in zip(row, step, strict=True)) for row in relevance.embeddings.double().tolist()
    ]
    kept = [value if abs(value) >= text.beta else 0.0 for value in similar]
    largest = max(abs(value) for value in kept)
    moves = iter([value / largest * std for value, std in zip(kept, relevance.std.tolist(), strict=True)])
    layers = style_layers(bundle.generator())
    return [
        [next(moves) if isinstance(layer, SynthesisLayer) else 0.0 for _ in range(layer.inputs)] for layer in layers
    ]


def test_the_direction_is_the_papers(bundle: Bundle) -> None:
    found = style_direction(bundle, GLASSES)
    expected = written_out(bundle, GLASSES)
    assert any(value for layer in expected for value in layer)
    assert any(not value for layer in expected for value in layer)
    for step, values in zip(found, expected, strict=True):
        torch.testing.assert_close(step, torch.tensor(values), atol=1e-4, rtol=1e-3)


def test_to_rgb_is_left_alone_and_the_picture_changes(bundle: Bundle) -> None:
    generator = bundle.generator()
    direction = style_direction(bundle, GLASSES)
    layers = style_layers(generator)
    assert [len(step) for step in direction] == [layer.inputs for layer in layers]
    assert not any(step.any() for layer, step in zip(layers, direction, strict=True) if isinstance(layer, ToRgb))
    styles = generator.styles(bundle.latent_avg[None])
    edited = [style + 3 * step for style, step in zip(styles, direction, strict=True)]
    with torch.no_grad():
        change = generator.synthesis_from_styles(edited) - generator.synthesis_from_styles(styles)
    assert change.abs().max() > 1e-3


def test_a_higher_beta_moves_fewer_channels_and_the_strongest_as_far(bundle: Bundle) -> None:
    wide, narrow = (
        torch.cat(style_direction(bundle, Text(neutral="face", target="old face", beta=beta))) for beta in (0.1, 0.5)
    )
    assert 0 < narrow.count_nonzero() < wide.count_nonzero()
    torch.testing.assert_close(narrow[narrow != 0], wide[narrow != 0])


def test_no_step_is_longer_than_the_bundles_longest(bundle: Bundle, tmp_path: Path) -> None:
    published = style_direction(bundle, GLASSES)
    length = float((_convolutions(bundle, published) / bundle.relevance.std).norm())
    for longest, expected in ((length / 3, 1 / 3), (2 * length, 1)):
        bounded = tiny_bundle(tmp_path / f"{longest:g}")
        put_relevance(bounded.directory, replace(bundle.relevance, longest_step=longest), "tests")
        found = style_direction(load_bundle(bounded.name, bounded.directory.parent), GLASSES)
        for step, as_published in zip(found, published, strict=True):
            torch.testing.assert_close(step, expected * as_published)


def _convolutions(bundle: Bundle, direction: list[torch.Tensor]) -> torch.Tensor:
    layers = style_layers(bundle.generator())
    return torch.cat([step for step, layer in zip(direction, layers, strict=True) if isinstance(layer, SynthesisLayer)])


def test_stits_directions_are_in_units_of_the_styles(bundle: Bundle) -> None:
    plain, scaled = (style_direction(bundle, GLASSES, in_deviations=unit) for unit in (False, True))
    convolutions = [isinstance(layer, SynthesisLayer) for layer in style_layers(bundle.generator())]
    moved = [_convolutions(bundle, steps) for steps in (plain, scaled)]
    assert moved[0].abs().max() == 1
    torch.testing.assert_close(moved[1], moved[0] * bundle.relevance.std)
    assert not any(step.any() for step, is_convolution in zip(plain, convolutions, strict=True) if not is_convolution)


def test_there_are_eighty_prompts() -> None:
    assert len(TEMPLATES) == len(set(TEMPLATES)) == 80
    assert all(template.count("{}") == 1 for template in TEMPLATES)


def test_the_suggested_beta_leaves_about_as_many_channels_as_promised(bundle: Bundle) -> None:
    embeddings = F.normalize(torch.randn(500, 16, generator=torch.Generator().manual_seed(1)), dim=1)
    wanted = F.normalize(torch.ones(16), dim=0)
    with pytest.raises(InvalidInput, match="use beta") as failed:
        channel_steps(embeddings, wanted, 1.0)
    assert failed.value.field == "beta"
    suggested = float(str(failed.value).split()[-1])
    left = int(channel_steps(embeddings, wanted, suggested).count_nonzero())
    assert SUGGESTED_CHANNELS <= left <= SUGGESTED_CHANNELS + 10


@pytest.mark.parametrize(
    ("text", "field", "reason"),
    [
        (Text(neutral="face", target=" ", beta=0.2), "target", "empty"),
        (Text(neutral="", target="face", beta=0.2), "neutral", "empty"),
        (Text(neutral="face", target="old " * 51, beta=0.2), "target", "204 characters, of 200"),
        (Text(neutral="face", target="old " * 30, beta=0.2), "target", "tokens"),
        (Text(neutral="face", target="face with a mohawk", beta=0.2), "target", "never met 'mohawk'"),
        (Text(neutral="Old face", target="old  face", beta=0.2), "target", "mean the same"),
        (Text(neutral="face", target="old face", beta=1.01), "beta", "from 0 to 1"),
        (Text(neutral="face", target="old face", beta=-0.1), "beta", "from 0 to 1"),
        (Text(neutral="face", target="old face", beta=float("nan")), "beta", "from 0 to 1"),
        (Text(neutral="face", target="old face", beta=1.0), "beta", "use beta"),
    ],
)
def test_a_text_that_cannot_be_used_is_explained(bundle: Bundle, text: Text, field: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as failed:
        check_text(text, bundle, "edits[2].text")
    assert failed.value.field == f"edits[2].text.{field}"


def test_a_text_that_can_be_used_passes(bundle: Bundle) -> None:
    check_text(GLASSES, bundle, "edits[0].text")
    assert default_beta(bundle) == 0.25


def test_texts_that_mean_the_same_are_told(bundle: Bundle) -> None:
    with pytest.raises(InvalidInput, match="mean the same"):
        text_direction(bundle, "face", "FACE")


def test_a_bundle_that_is_not_prepared_says_how_to(tmp_path) -> None:
    plain = tiny_bundle(tmp_path)
    with pytest.raises(Precondition, match="seamline styleclip prepare --bundle tiny-64"):
        check_text(GLASSES, plain, "edits[0].text")
