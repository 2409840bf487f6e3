import numpy as np
import torch

from seamline.networks.e4e import E4eConfig, E4eEncoder
from seamline.networks.stylegan2 import Generator
from tests.fakes.portraits import write_portraits
from training.data import Portraits
from training.encoder import augment, code_loss, loss_of, train
from training.generator import config_for


def tiny(parameters):
    torch.manual_seed(0)
    return E4eEncoder(
        E4eConfig(input_size=64, generator_resolution=64, w_dim=parameters, width=16, units=(1, 1, 1, 1), style_width=8)
    ).train()


def test_the_code_loss_is_least_at_the_known_code():
    z = torch.randn(3, 5)
    exact = z[:, None].expand(-1, 4, -1)
    assert float(code_loss(exact, z)) == 0 < float(code_loss(exact + 0.5, z)) < float(code_loss(exact + 1, z))


def test_augmented_pictures_stay_in_range_and_near():
    images = torch.rand(4, 3, 16, 16) * 2 - 1
    seen = augment(images, torch.Generator().manual_seed(1))
    assert seen.shape == images.shape
    assert float(seen.abs().max()) <= 1
    assert 0 < float((seen - images).abs().mean()) < 0.15


def test_training_lowers_the_code_loss_and_resumes(tmp_path):
    data, held_out = Portraits.split(write_portraits(tmp_path / "portraits", count=40))
    encoder = tiny(data.parameters)
    rng = torch.Generator().manual_seed(0)
    batch = data.batch(np.arange(16), 64)
    before = float(loss_of(encoder, None, batch, rng).detach())
    train(encoder, None, data, held_out, 20 * 32, tmp_path / "checkpoint.pt", seed=1)
    assert float(loss_of(encoder, None, batch, rng).detach()) < before
    again = train(tiny(data.parameters), None, data, held_out, 20 * 32, tmp_path / "checkpoint.pt", seed=1)
    assert all(torch.isfinite(parameter).all() for parameter in again.parameters())


def test_with_a_generator_the_pictures_count_too(tmp_path):
    data, _ = Portraits.split(write_portraits(tmp_path, count=8))
    encoder, rng = tiny(data.parameters).eval(), torch.Generator()
    generator = Generator(config_for(64, data.parameters)).requires_grad_(False)
    batch = data.batch(np.arange(4), 64)
    codes = float(loss_of(encoder, None, batch, rng.manual_seed(0)).detach())
    both = loss_of(encoder, generator, batch, rng.manual_seed(0))
    assert float(both.detach()) > codes
    both.backward()
    assert all(parameter.grad is not None for parameter in encoder.styles.parameters())
