"""One generator for several pictures without optimising: predicted filters, and layers to RGB in closed form."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from seamline_inverter.prediction import fit, hypernetwork_of, predicted_weights
from seamline_inverter.rgb_fit import fit_rgb
from torch import Tensor

from seamline.bundles import Bundle
from seamline.errors import Cancelled, Precondition
from seamline.networks import Generator
from seamline.networks.hyperstyle import PASSES, HyperStyle, refine
from tests.fakes.bundle import tiny_bundle
from tests.fakes.lesser_bundle import bundle_without


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(Path(tmp_path_factory.mktemp("bundles")))


@pytest.fixture(scope="module")
def generator(bundle: Bundle) -> Generator:
    return bundle.generator().requires_grad_(False)


@pytest.fixture(scope="module")
def hypernetwork(bundle: Bundle) -> HyperStyle:
    """The bundle's, its last matrices no longer 0."""
    network = hypernetwork_of(bundle)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("output.1.weight", "w1", "b1")):
                parameter.copy_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(6)))
    return network


@pytest.fixture(scope="module")
def codes(bundle: Bundle) -> Tensor:
    drawn = torch.randn(4, bundle.num_ws, bundle.w_dim, generator=torch.Generator().manual_seed(3))
    return bundle.latent_avg + 0.3 * drawn


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(4)) * 2 - 1


def ignore() -> None:
    pass


def test_one_picture_gets_its_own_filters(
    hypernetwork: HyperStyle, generator: Generator, images: Tensor, codes: Tensor
) -> None:
    shared = predicted_weights(hypernetwork, generator, images[:1], codes[:1], "float32", ignore)
    own = refine(hypernetwork, generator, images[:1], codes[:1])
    assert shared.keys() == own.keys()
    for name, weight in shared.items():
        torch.testing.assert_close(weight, own[name][0], rtol=1e-4, atol=1e-5)


def test_several_pictures_get_the_mean_of_what_each_pass_says(
    hypernetwork: HyperStyle, generator: Generator, images: Tensor, codes: Tensor
) -> None:
    weights = predicted_weights(hypernetwork, generator, images, codes, "float32", ignore)
    filters = dict(generator.synthesis.named_parameters())
    offsets = {name: torch.zeros(()) for name in weights}
    for _ in range(PASSES):
        now = {name: filters[name] * (1 + offset) for name, offset in offsets.items()}
        seen = [
            hypernetwork(image[None], generator.synthesis(code[None], weights=now))
            for image, code in zip(images, codes, strict=True)
        ]
        offsets = {name: offset + sum(one[name][0] for one in seen) / len(seen) for name, offset in offsets.items()}
    for name, weight in weights.items():
        assert not torch.equal(weight, filters[name]), name
        torch.testing.assert_close(weight, filters[name] * (1 + offsets[name]), rtol=1e-4, atol=1e-4)


def test_tells_of_every_pass_and_stops_when_told(
    hypernetwork: HyperStyle, generator: Generator, images: Tensor, codes: Tensor
) -> None:
    passes: list[int] = []

    def stop() -> None:
        passes.append(1)
        if len(passes) == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        predicted_weights(hypernetwork, generator, images, codes, "float32", stop)
    assert len(passes) == 2


def made_by(hypernetwork: HyperStyle, bundle: Bundle, images: Tensor, codes: Tensor) -> Generator:
    made = bundle.generator().requires_grad_(False)
    fit(hypernetwork, made, images, codes, "float32", ignore)
    return made


def test_predicted_filters_are_kept_where_they_draw_better(
    hypernetwork: HyperStyle, bundle: Bundle, generator: Generator, images: Tensor, codes: Tensor
) -> None:
    weights = predicted_weights(hypernetwork, generator, images, codes, "float32", ignore)
    with torch.no_grad():
        goal = generator.synthesis(codes, weights=weights)  # what prediction from `images` would draw
    offered = PredictsAlways(weights, dict(generator.synthesis.named_parameters()))
    made = made_by(offered, bundle, goal, codes)  # pyright: ignore[reportArgumentType]
    for name, weight in weights.items():
        torch.testing.assert_close(made.synthesis.get_parameter(name), weight, rtol=1e-3, atol=1e-4)


def test_predicted_filters_are_dropped_where_they_draw_worse(
    bundle: Bundle, generator: Generator, codes: Tensor
) -> None:
    with torch.no_grad():
        images = generator.synthesis(codes)
    filters = dict(generator.synthesis.named_parameters())
    wrong = {name: filters[name] * 3 + 1 for name in ("b16.conv1.weight", "b32.conv1.weight")}
    made = made_by(PredictsAlways(wrong, filters), bundle, images, codes)  # pyright: ignore[reportArgumentType]
    for name in wrong:
        assert torch.equal(made.synthesis.get_parameter(name), filters[name])


class PredictsAlways:
    """In the place of a hypernetwork: its passes come to given filters, whatever the pictures."""

    def __init__(self, weights: Mapping[str, Tensor], filters: Mapping[str, Tensor]) -> None:
        self._offsets = {name: (weight / filters[name] - 1) / PASSES for name, weight in weights.items()}

    def __call__(self, images: Tensor, drawn: Tensor) -> dict[str, Tensor]:
        return {name: offset.expand(len(images), *offset.shape) for name, offset in self._offsets.items()}


def test_says_which_bundle_has_no_hypernetwork_and_what_to_do(tmp_path: Path) -> None:
    bundle = bundle_without("hyperstyle", tmp_path)
    with pytest.raises(Precondition, match=r"tiny-64 has no hypernetwork.*ask for pti") as caught:
        hypernetwork_of(bundle)
    assert caught.value.field == "options.method"


def error(generator: Generator, images: Tensor, codes: Tensor) -> float:
    with torch.no_grad():
        return (generator.synthesis(codes) - images).square().mean().item()


def changed(bundle: Bundle) -> Generator:
    """The bundle's generator with other layers to RGB."""
    generator = bundle.generator().requires_grad_(False)
    for number, block in enumerate(generator.synthesis.blocks):
        seed = torch.Generator().manual_seed(number)
        block.torgb.weight += 0.5 * torch.randn(block.torgb.weight.shape, generator=seed)
    generator.synthesis.blocks[-1].torgb.bias += 0.2
    return generator


def test_finds_the_layers_to_rgb_that_pictures_were_drawn_with(bundle: Bundle, codes: Tensor) -> None:
    made, goal = bundle.generator(), changed(bundle)
    with torch.no_grad():
        images = goal.synthesis(codes)
    before = error(made, images, codes)
    fit_rgb(made, images, codes, "float32")
    assert error(made, images, codes) < 0.1 * before


def test_changes_nothing_else(bundle: Bundle, images: Tensor, codes: Tensor) -> None:
    made = bundle.generator()
    fit_rgb(made, images, codes, "float32")
    for name, parameter in bundle.generator().synthesis.named_parameters():
        if "torgb" not in name or "affine" in name:
            assert torch.equal(parameter, made.synthesis.get_parameter(name)), name


def test_leaves_a_generator_that_is_right_alone(bundle: Bundle, codes: Tensor) -> None:
    made = bundle.generator()
    with torch.no_grad():
        images = made.synthesis(codes)
    fit_rgb(made, images, codes, "float32")
    assert error(made, images, codes) < 1e-9


def test_what_is_added_stays_where_the_codes_go(bundle: Bundle, codes: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.no_grad():
        images = bundle.generator().synthesis(codes) + 0.5 * torch.sin(torch.arange(64) / 9.0)
    elsewhere, kept = codes + 0.5, []
    for stillness in (0.0, 3.0):
        monkeypatch.setattr("seamline_inverter.rgb_fit.STILLNESS", stillness)
        made, plain = bundle.generator(), bundle.generator()
        fit_rgb(made, images, codes, "float32")
        with torch.no_grad():
            added = [made.synthesis(place) - plain.synthesis(place) for place in (codes, elsewhere)]
        kept.append((added[1] - added[0]).square().mean().item())
    assert kept[1] < 0.8 * kept[0]
