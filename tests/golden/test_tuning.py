"""Tuning one frame at a time, in order and in float32, gives the losses and images of Stitch it in Time."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from seamline_inverter.in_memory import tune
from seamline_inverter.locality import LocalityConfig, locality_terms
from seamline_inverter.pivotal_tuning import TuningConfig
from seamline_stitcher.stitching_tuning import Goal, StitchingConfig, stitch
from torch import Tensor

from seamline.editing.edit import EditedCodes
from seamline.networks import Generator, GeneratorConfig
from seamline.networks.lpips import Lpips, LpipsConfig
from tests.golden.data.fill import draw, image
from tests.golden.networks import DATA, Golden, lpips_state_dict

SEED = 1
LOSS_TOLERANCE = 1e-3
# Adam divides by the gradients' size, so rounding grows from step to step: inputs multiplied by 1 + 1e-7 move
# the perceptual part by up to 2e-3 after 30 updates, the loss by 7e-4, and single pixels by 1e-2. The golden numbers
# are themselves 1.9e-3 and 2.9e-4 away from the same tuning in float64.
PERCEPTUAL_TOLERANCE = 4e-3
IMAGE_TOLERANCE = 1e-2
PASSES, LEARNING_RATE = 10, 3e-3


@dataclass
class Tuned:
    """A generator before and after pivotal tuning, and what was seen on the way."""

    original: Generator
    generator: Generator
    lpips: Lpips
    pivots: Tensor
    targets: Tensor
    losses: Tensor


def drawn(name: str, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(draw(name, shape, SEED))


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(DATA / "tuning_64.npz") as stored:
        return {key: torch.from_numpy(stored[key]) for key in stored.files}


@pytest.fixture(scope="module")
def tuned() -> Tuned:
    checkpoint = Golden("stylegan2_ada_64")
    original = Generator(GeneratorConfig(**checkpoint.keys["args"]))
    original.load_state_dict(checkpoint.state_dict())
    original.requires_grad_(False)
    lpips = perceptual()
    targets = torch.from_numpy(image("targets", (3, 3, 64, 64), SEED))
    pivots = original.mapping(drawn("z", (3, 512)), psi=0.7) + 0.3 * drawn("pivots", (3, 10, 512))
    done = tune(original, lpips, pivots, targets, TuningConfig(max_passes=PASSES, learning_rate=LEARNING_RATE))
    losses = torch.stack([done.total, done.l2, done.perceptual], -1)
    return Tuned(original, done.generator, lpips, pivots, targets, losses)


def perceptual() -> Lpips:
    network = Lpips(LpipsConfig())
    network.load_state_dict(lpips_state_dict(Golden("lpips_alex"), network))
    return network.eval().requires_grad_(False)


def test_loss_of_every_frame_and_pass(tuned: Tuned, golden: dict[str, Tensor]) -> None:
    error = ((tuned.losses - golden["pti_losses"]) / golden["pti_losses"]).abs().amax((0, 1))
    assert error[:2].max() < LOSS_TOLERANCE
    assert error[2] < PERCEPTUAL_TOLERANCE


def test_first_pass_is_not_yet_moved_by_rounding(tuned: Tuned, golden: dict[str, Tensor]) -> None:
    torch.testing.assert_close(tuned.losses[0], golden["pti_losses"][0], rtol=1e-4, atol=0)


def test_tuned_generator_draws_the_frames(tuned: Tuned, golden: dict[str, Tensor]) -> None:
    assert relative_rms(tuned.generator.synthesis(tuned.pivots), golden["pti_images"]) < IMAGE_TOLERANCE


def test_locality_terms(tuned: Tuned, golden: dict[str, Tensor]) -> None:
    z = drawn("locality_z", (1, 512))
    terms = locality_terms(tuned.generator, tuned.original, tuned.pivots[:1], z, tuned.lpips, LocalityConfig())
    torch.testing.assert_close(torch.stack(terms), golden["locality"], rtol=LOSS_TOLERANCE, atol=0)


def test_stitching_loss_of_every_step_and_the_image(tuned: Tuned, golden: dict[str, Tensor]) -> None:
    codes = tuned.pivots[:1] + 0.5 * drawn("edit", (1, 10, 512))
    edit = tuned.generator.synthesis(codes)
    content, border = masks()
    goal = Goal(codes=EditedCodes(codes=codes), source=tuned.targets[:1], edit=edit, border=border, content=content)
    losses: list[Tensor] = []
    stitched = stitch(
        tuned.generator,
        goal,
        StitchingConfig(max_steps=20),
        lambda border, total: losses.append(torch.cat([border, total])),
    )
    assert relative_rms(edit, golden["edited"]) < IMAGE_TOLERANCE
    torch.testing.assert_close(torch.stack(losses), golden["stitch_losses"], rtol=LOSS_TOLERANCE, atol=0)
    assert relative_rms(stitched.images, golden["stitched"]) < IMAGE_TOLERANCE
    assert stitched.steps == [20]


def relative_rms(result: Tensor, golden: Tensor) -> float:
    """Root mean square of the difference in units of that of the golden values."""
    return ((result - golden).square().mean() / golden.square().mean()).sqrt().item()


def masks() -> tuple[Tensor, Tensor]:
    content, around = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    content[..., 16:48, 16:48] = 1
    around[..., 10:54, 10:54] = 1
    return content, around - content
