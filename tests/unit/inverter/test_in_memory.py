"""Pivotal tuning of pictures at hand."""

from pathlib import Path

import pytest
import torch
from seamline_inverter.in_memory import tune
from seamline_inverter.pivotal_tuning import PivotalTuning, TuningConfig

from seamline.bundles import Bundle
from seamline.errors import InvalidInput
from tests.fakes.bundle import tiny_bundle

CONFIG = TuningConfig(max_passes=3, learning_rate=3e-3)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(Path(tmp_path_factory.mktemp("bundles")))


@pytest.fixture(scope="module")
def faces(bundle: Bundle) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.Generator().manual_seed(5)
    pivots = bundle.latent_avg + 0.3 * torch.randn(3, bundle.num_ws, bundle.w_dim, generator=drawn)
    return pivots, torch.rand(3, 3, 64, 64, generator=drawn) * 2 - 1


def test_frames_are_taken_one_by_one_in_their_order(bundle: Bundle, faces: tuple[torch.Tensor, torch.Tensor]) -> None:
    pivots, images = faces
    tuned = tune(bundle.generator(), bundle.module("perceptual"), pivots, images, CONFIG)
    by_hand = PivotalTuning(bundle.generator(), bundle.module("perceptual"), CONFIG)
    for turn in range(3):
        for frame in range(3):
            seen = by_hand.update(pivots[[frame]], images[[frame]], torch.tensor([frame]))
            for name in ("total", "l2", "perceptual"):
                assert getattr(tuned, name)[turn, frame] == getattr(seen, name)[0]
    for one, other in zip(tuned.generator.parameters(), by_hand.generator.parameters(), strict=True):
        assert torch.equal(one, other)
        assert not one.requires_grad


def test_the_generator_that_is_given_stays(bundle: Bundle, faces: tuple[torch.Tensor, torch.Tensor]) -> None:
    generator = bundle.generator()
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    tune(generator, bundle.module("perceptual"), *faces, TuningConfig(max_passes=1))
    assert all(torch.equal(tensor, before[name]) for name, tensor in generator.state_dict().items())


def test_ends_with_the_pass_that_meets_the_target(bundle: Bundle, faces: tuple[torch.Tensor, torch.Tensor]) -> None:
    perceptual = bundle.module("perceptual")
    every = tune(bundle.generator(), perceptual, *faces, CONFIG)
    psnr = (10 * torch.log10(4 / every.l2)).mean(1)
    target = ((psnr[0] + psnr[1]) / 2).item()
    config = TuningConfig(max_passes=3, learning_rate=3e-3, target_psnr_db=target)
    assert len(tune(bundle.generator(), perceptual, *faces, config).total) == 2


def test_a_tuning_that_diverges_is_refused(bundle: Bundle, faces: tuple[torch.Tensor, torch.Tensor]) -> None:
    pivots, images = faces
    with pytest.raises(InvalidInput, match="diverged"):
        tune(bundle.generator(), bundle.module("perceptual"), pivots, images * float("inf"), CONFIG)
