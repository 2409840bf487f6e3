"""Tuning in batches: it learns, it does the same each time, and it can be taken up again."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from seamline_inverter.locality import LocalityConfig
from seamline_inverter.pivotal_tuning import PivotalTuning, TuningConfig, psnr_db
from torch import Tensor

from seamline.bundles import Bundle
from seamline.errors import InvalidInput
from tests.fakes.alignment import drawn_frame
from tests.fakes.bundle import tiny_bundle

FAST = TuningConfig(learning_rate=5e-3, batch_size=3, seed=0, precision="bfloat16")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(Path(tmp_path_factory.mktemp("bundles")))


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    return np.stack([drawn_frame(number)[:64, :64] for number in range(7)])


@pytest.fixture(scope="module")
def pivots(bundle: Bundle) -> Tensor:
    drawn = torch.randn(7, bundle.num_ws, bundle.w_dim, generator=torch.Generator().manual_seed(3))
    return bundle.latent_avg + 0.3 * drawn


def passes(tuning: PivotalTuning, numbers: range, pivots: Tensor, crops: NDArray[np.uint8]) -> Iterator[float]:
    for number in numbers:
        seen = [figures.psnr_db for figures in tuning.run_group(number, pivots, crops)]
        yield torch.cat(seen).mean().item()


def start(bundle: Bundle, config: TuningConfig = FAST) -> PivotalTuning:
    return PivotalTuning(bundle.generator(), bundle.module("perceptual"), config)


def test_learns_the_frames(bundle: Bundle, pivots: Tensor, crops: NDArray[np.uint8]) -> None:
    psnr = list(passes(start(bundle), range(8), pivots, crops))
    assert psnr[-1] > psnr[0] + 2


def test_every_frame_is_seen_once_in_a_pass(bundle: Bundle, pivots: Tensor, crops: NDArray[np.uint8]) -> None:
    batches = [figures.frames.tolist() for figures in start(bundle).run_group(0, pivots, crops)]
    assert [len(batch) for batch in batches] == [3, 2, 2]
    assert sorted(frame for batch in batches for frame in batch) == list(range(7))


def test_goes_on_bit_for_bit_after_a_checkpoint(bundle: Bundle, pivots: Tensor, crops: NDArray[np.uint8]) -> None:
    whole = start(bundle)
    straight = list(passes(whole, range(3), pivots, crops))
    first = start(bundle)
    list(passes(first, range(2), pivots, crops))
    state = {name: tensor.clone() for name, tensor in first.state().items()}
    second = start(bundle)
    second.restore(state)
    assert list(passes(second, range(2, 3), pivots, crops)) == straight[2:]
    for name, tensor in whole.state().items():
        assert torch.equal(tensor, second.state()[name]), name


def test_leaves_the_mapping_alone(bundle: Bundle, pivots: Tensor, crops: NDArray[np.uint8]) -> None:
    tuning = start(bundle)
    before = {name: tensor.clone() for name, tensor in tuning.generator.mapping.state_dict().items()}
    list(passes(tuning, range(1), pivots, crops))
    for name, tensor in tuning.generator.mapping.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_locality_holds_the_generator_away_from_the_pivots(
    bundle: Bundle, pivots: Tensor, crops: NDArray[np.uint8]
) -> None:
    strong = LocalityConfig(alpha=3.0, l2_weight=100.0, psi=1.0)
    configs = (FAST, TuningConfig(learning_rate=5e-3, batch_size=3, seed=0, locality=strong))
    free, held = (start(bundle, config) for config in configs)
    for tuning in (free, held):
        list(passes(tuning, range(6), pivots, crops))
    elsewhere = bundle.latent_avg + 1.0
    with torch.no_grad():
        before = bundle.generator().synthesis(elsewhere[None])
        moved = [(t.generator.synthesis(elsewhere[None]) - before).square().mean().item() for t in (free, held)]
    assert moved[1] < 0.5 * moved[0]


def test_psnr_of_images_that_span_two() -> None:
    torch.testing.assert_close(psnr_db(torch.tensor([4.0, 0.04])), torch.tensor([0.0, 20.0]))


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_passes", 0), ("learning_rate", float("nan")), ("learning_rate", -1.0), ("target_psnr_db", -3.0)],
)
def test_refuses_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=name) as caught:
        TuningConfig(**{name: value})
    assert caught.value.field == f"options.{name}"
