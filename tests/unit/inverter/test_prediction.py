"""One generator for several pictures: predicted filters, and a short tuning."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from seamline_inverter.pivotal_tuning import PivotalTuning, TuningConfig
from seamline_inverter.prediction import (
    BATCH,
    RATE,
    UPDATES,
    crop_batches,
    hypernetwork_of,
    predict,
    refinements,
    tune_to_crops,
)
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


def looked(hypernetwork: HyperStyle, generator: Generator, images: Tensor, codes: Tensor) -> Mapping[str, Tensor]:
    """The filters after all passes."""
    made = list(refinements(hypernetwork, generator, images, codes, "float32"))
    assert len(made) == PASSES + 1
    assert made[0][0] == {}
    return made[-1][0]


def test_one_picture_gets_its_own_filters(
    hypernetwork: HyperStyle, generator: Generator, images: Tensor, codes: Tensor
) -> None:
    shared = looked(hypernetwork, generator, images[:1], codes[:1])
    own = refine(hypernetwork, generator, images[:1], codes[:1])
    assert shared.keys() == own.keys()
    for name, weight in shared.items():
        torch.testing.assert_close(weight, own[name][0], rtol=1e-4, atol=1e-5)


def test_several_pictures_get_the_mean_of_what_each_pass_says(
    hypernetwork: HyperStyle, generator: Generator, images: Tensor, codes: Tensor
) -> None:
    weights = looked(hypernetwork, generator, images, codes)
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


def test_each_passs_error_is_of_what_its_filters_draw(
    hypernetwork: HyperStyle, generator: Generator, images: Tensor, codes: Tensor
) -> None:
    for weights, found in refinements(hypernetwork, generator, images, codes, "float32"):
        drawn = generator.synthesis(codes, weights=weights)
        assert found == pytest.approx((drawn - images).square().mean().item(), rel=1e-5)


def test_tells_of_every_drawing_and_stops_when_told(
    bundle: Bundle, generator: Generator, images: Tensor, codes: Tensor
) -> None:
    told: list[int] = []

    def stop() -> None:
        told.append(1)
        if len(told) == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        predict(hypernetwork_of(bundle), bundle.generator(), images, codes, "float32", stop)
    assert len(told) == 2


CHANGED, CHANNELS = "b16.conv1.weight", 16


def slanted(filters: Tensor, slant: float) -> Tensor:
    """Filters (O, I, 3, 3) whose last inputs count for more: what demodulation does not undo."""
    return filters * (1 + slant * torch.linspace(-1, 1, filters.shape[1]))[:, None, None]


class Slants:
    """In the place of a hypernetwork: slants the filters `CHANGED` by so much in each pass, whatever the pictures."""

    def __init__(self, *steps: float) -> None:
        self._steps = iter(steps)

    def __call__(self, images: Tensor, drawn: Tensor) -> dict[str, Tensor]:
        offset = slanted(torch.ones(1, CHANNELS, 1, 1), next(self._steps)) - 1
        return {CHANGED: offset.expand(len(images), -1, -1, -1, -1)}


@pytest.mark.parametrize("better", range(PASSES + 1))
def test_passes_go_on_while_they_draw_better(bundle: Bundle, generator: Generator, codes: Tensor, better: int) -> None:
    filters, drawings = generator.synthesis.get_parameter(CHANGED), []
    goal = slanted(filters, 0.1 * better)
    with torch.no_grad():
        images = generator.synthesis(codes, weights={CHANGED: goal})
    made = bundle.generator().requires_grad_(False)
    offered = Slants(*[0.1] * better, 1.0)
    predict(offered, made, images, codes, "float32", lambda: drawings.append(1))  # pyright: ignore[reportArgumentType]
    assert len(drawings) == min(better + 2, PASSES + 1)
    torch.testing.assert_close(made.synthesis.get_parameter(CHANGED), goal, rtol=1e-4, atol=1e-5)


def test_says_which_bundle_has_no_hypernetwork_and_what_to_do(tmp_path: Path) -> None:
    bundle = bundle_without("hyperstyle", tmp_path)
    with pytest.raises(Precondition, match=r"tiny-64 has no hypernetwork.*ask for pti") as caught:
        hypernetwork_of(bundle)
    assert caught.value.field == "options.method"


def error(generator: Generator, images: Tensor, codes: Tensor) -> float:
    with torch.no_grad():
        return (generator.synthesis(codes) - images).square().mean().item()


def test_every_update_looks_at_few_crops_and_all_crops_are_looked_at() -> None:
    batches = crop_batches(16, seed=1)
    assert len(batches) == UPDATES
    assert {len(batch) for batch in batches} == {BATCH}
    looked = torch.cat(batches).bincount()
    assert looked.min() == looked.max() == UPDATES * BATCH // 16
    assert [len(batch) for batch in crop_batches(1, seed=None)] == [1] * UPDATES


def test_tuning_to_crops_brings_them_closer_by_ever_smaller_steps(
    bundle: Bundle, images: Tensor, codes: Tensor
) -> None:
    made = bundle.generator()
    tuning = PivotalTuning(made, bundle.module("perceptual"), TuningConfig(learning_rate=2e-3))
    before, weight = error(made, images, codes), made.synthesis.get_parameter("b16.conv1.weight")
    steps, last = [], weight.detach().clone()
    for figures in tune_to_crops(tuning, images, codes, crop_batches(len(images), seed=1)):
        assert len(figures.frames) == BATCH
        steps.append((weight.detach() - last).abs().max().item())
        last = weight.detach().clone()
    assert len(steps) == UPDATES
    assert steps[0] == pytest.approx(RATE * 2e-3, rel=0.01)  # Adam's first step is its rate
    assert steps[-1] < 0.05 * steps[0]
    assert error(made, images, codes) < 0.8 * before
