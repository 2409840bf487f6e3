from dataclasses import replace

import pytest
import torch

from tests.fakes.portraits import write_portraits
from training.data import Portraits
from training.discriminator import DETAIL, Adversary, bands
from training.generator import SCHEDULES, Stage, config_for, loss_weights, picture_loss

SMALL = replace(SCHEDULES[0], resolution=16, images=160, batch=4, ema=0.9)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    return Portraits.split(write_portraits(tmp_path_factory.mktemp("portraits"), count=16))


def stage(portraits, out, schedule=SMALL, before=None):
    return Stage(schedule, portraits[0].parameters, before, out, seed=1, device=CPU)


def loss_of(generator, data):
    batch = data.batch(torch.arange(8).numpy(), 16)
    image = generator.synthesis(generator.mapping(batch.z), "none")
    return float(picture_loss(image, batch.images, loss_weights(batch.parsing, 16)).detach())


def test_training_brings_pictures_closer_to_the_portraits(portraits, tmp_path):
    run = stage(portraits, tmp_path)
    before = loss_of(run.average, portraits[0])
    trained = run.train(*portraits, tmp_path)
    assert loss_of(trained, portraits[0]) < 0.6 * before
    assert not any(parameter.requires_grad for parameter in trained.parameters())


def test_w_is_z(portraits, tmp_path):
    z = torch.randn(3, portraits[0].parameters)
    torch.testing.assert_close(stage(portraits, tmp_path).average.mapping(z)[:, 5], z)


def test_the_next_stage_starts_with_what_the_one_before_drew(portraits, tmp_path):
    before = stage(portraits, tmp_path).train(*portraits, tmp_path)
    finer = stage(portraits, tmp_path / "none", replace(SMALL, resolution=32), before).average
    z = torch.randn(2, portraits[0].parameters)
    small = before.synthesis(before.mapping(z), "none")
    large = finer.synthesis(finer.mapping(z), "none")
    assert float((torch.nn.functional.avg_pool2d(large, 2) - small).abs().mean()) < 0.1 * float(small.std())


def test_a_broken_run_goes_on_from_its_checkpoint(portraits, tmp_path):
    whole = stage(portraits, tmp_path / "a")
    (tmp_path / "a").mkdir()
    expected = whole.train(*portraits, tmp_path / "a")
    again = stage(portraits, tmp_path / "a")
    assert again.seen == SMALL.images
    for one, other in zip(again.average.parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_finish_trains_both_sides(portraits, tmp_path):
    finish = replace(SMALL, name="finish", images=24, adversarial=0.5)
    run = stage(portraits, tmp_path, finish)
    before = [parameter.clone() for parameter in run._adversary.module.parameters()]
    run.train(*portraits, tmp_path)
    moved = [not torch.equal(a, b) for a, b in zip(before, run._adversary.module.parameters(), strict=True)]
    assert all(moved)
    assert stage(portraits, tmp_path, finish).seen == 24


def blurred(images):
    return torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(images, 4), scale_factor=4, mode="bilinear")


def edges(generator, count=8):
    """Pictures (count, 3, 32, 32) of one colour above and another below a slanting edge."""
    colours = torch.rand(count, 3, 2, generator=generator) * 2 - 1
    rows, columns = torch.arange(32)[:, None], torch.arange(32)
    slope = torch.randn(count, 1, 1, generator=generator)
    place = torch.randint(8, 24, (count, 1, 1), generator=generator)
    above = (rows + slope * (columns - 16) < place).float()[:, None]
    return colours[:, :, :1, None] * above + colours[:, :, 1:, None] * (1 - above)


def test_bands_hold_the_picture_and_tell_blur_from_sharpness():
    images = edges(torch.Generator().manual_seed(0))
    found = bands(images)
    energy = found[:, :3].square().sum() + found[:, 3:].square().sum() / DETAIL**2
    torch.testing.assert_close(energy, images.square().sum())
    assert bands(blurred(images))[:, 3:].square().sum() < 0.5 * found[:, 3:].square().sum()
    assert not bands(torch.full((1, 3, 8, 8), 0.4))[:, 3:].any()


def test_the_adversary_learns_to_tell_blurred_pictures_from_sharp_ones():
    torch.manual_seed(0)
    generator, adversary = torch.Generator().manual_seed(1), Adversary(config_for(32, 4), CPU)
    for step in range(60):
        images = edges(generator)
        adversary.learn(images, blurred(images), step)
    unseen = edges(generator, 64)
    with torch.no_grad():
        real, fake = (adversary.module(images)[0].mean((1, 2, 3)) for images in (unseen, blurred(unseen)))
    assert (real > fake).float().mean() > 0.9


def test_the_adversarys_gradient_leads_towards_the_real_picture():
    torch.manual_seed(0)
    adversary = Adversary(config_for(16, 4), CPU)
    real = torch.randn(4, 3, 16, 16)
    image = real + 0.3 * torch.randn_like(real)
    slope = adversary.gradient(image, real)
    assert slope.shape == image.shape
    assert float((slope * (image - real)).sum()) > 0
