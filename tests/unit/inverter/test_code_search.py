"""Searching for codes: it is plain optimisation, one picture at a time, and it ends when nothing is gained."""

from pathlib import Path

import pytest
import torch
from seamline_inverter import code_search
from seamline_inverter.code_search import SearchConfig, rate, search
from torch import Tensor

from seamline.bundles import Bundle
from seamline.errors import Cancelled, InvalidInput
from seamline.networks import Generator
from tests.fakes.bundle import tiny_bundle

CONFIG = SearchConfig(pivot_steps=12, pivot_learning_rate=0.02)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(Path(tmp_path_factory.mktemp("bundles")))


@pytest.fixture(scope="module")
def generator(bundle: Bundle) -> Generator:
    return bundle.generator().requires_grad_(False)


@pytest.fixture(scope="module")
def images(bundle: Bundle, generator: Generator) -> Tensor:
    """Drawn from codes, so that a search can get there."""
    w = torch.randn(3, bundle.w_dim, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return generator.synthesis(expanded(bundle, w))


def expanded(bundle: Bundle, w: Tensor) -> Tensor:
    return w.unsqueeze(1).expand(-1, bundle.num_ws, -1)


def found(
    bundle: Bundle, generator: Generator, images: Tensor, config: SearchConfig = CONFIG
) -> tuple[Tensor, list[float]]:
    """The codes, and the mean loss of each step."""
    losses: list[float] = []
    start = torch.zeros(len(images), bundle.w_dim)
    codes = search(generator, bundle.module("perceptual"), images, start, config, "float32", losses.append)
    return codes, losses


def test_the_loss_falls(bundle: Bundle, generator: Generator, images: Tensor) -> None:
    _, losses = found(bundle, generator, images)
    assert len(losses) == CONFIG.pivot_steps
    assert losses[-1] < 0.8 * losses[0]


def test_is_what_optimising_each_picture_alone_gives(bundle: Bundle, generator: Generator, images: Tensor) -> None:
    together, losses = found(bundle, generator, images)
    perceptual, ends = bundle.module("perceptual"), []
    for number, image in enumerate(images):
        code = torch.zeros(1, bundle.w_dim, requires_grad=True)
        adam = torch.optim.Adam([code])
        for step in range(CONFIG.pivot_steps):
            loss = perceptual(generator.synthesis(expanded(bundle, code)), image[None]).sum()
            if step == CONFIG.pivot_steps - 1:  # the last codes that were looked at are the best
                torch.testing.assert_close(together[number], code[0].detach(), rtol=1e-3, atol=1e-4)
                ends.append(loss.item())
            adam.param_groups[0]["lr"] = rate(CONFIG, step)
            adam.zero_grad()
            loss.backward()
            adam.step()
    assert losses[-1] == pytest.approx(sum(ends) / len(ends), rel=1e-3)


def test_the_rate_rises_stays_and_falls() -> None:
    config = SearchConfig(pivot_steps=100, pivot_learning_rate=1.0)
    rates = [rate(config, step) for step in range(100)]
    assert rates[0] == 0
    assert rates[5:75] == [1.0] * 70
    assert rates[87] == pytest.approx(0.53, abs=0.01)
    assert rates[99] < 0.01


def test_ends_early_where_nothing_is_gained(
    bundle: Bundle, generator: Generator, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_search, "PATIENCE", 3)
    _, losses = found(bundle, generator, images, SearchConfig(pivot_steps=40, pivot_learning_rate=1e-7))
    assert len(losses) == 3


def test_compares_large_pictures_at_a_smaller_side(
    bundle: Bundle, generator: Generator, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_search, "LARGEST_SIDE", 32)
    sides: set[int] = set()

    def noted(drawn: Tensor, goal: Tensor) -> Tensor:
        sides.update({drawn.shape[-1], goal.shape[-1]})
        return (drawn - goal).square().mean((1, 2, 3))

    start = torch.zeros(len(images), bundle.w_dim)
    search(generator, noted, images, start, SearchConfig(pivot_steps=2), "float32", lambda _: None)
    assert sides == {32}


def test_stops_within_a_step_when_it_is_told_to(bundle: Bundle, generator: Generator, images: Tensor) -> None:
    told: list[float] = []

    def stop(loss: float) -> None:
        told.append(loss)
        if len(told) == 2:
            raise Cancelled("enough")

    start = torch.zeros(len(images), bundle.w_dim)
    with pytest.raises(Cancelled):
        search(generator, bundle.module("perceptual"), images, start, CONFIG, "float32", stop)
    assert len(told) == 2


@pytest.mark.parametrize(("name", "value"), [("pivot_steps", 0), ("pivot_learning_rate", -1.0)])
def test_refuses_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=name):
        SearchConfig(**{name: value})
