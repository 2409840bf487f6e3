import numpy as np
import pytest
import torch

from seamline.networks.lpips import Lpips, LpipsConfig
from tests.fakes.portraits import write_portraits
from training.aligned import to_tensor
from training.data import Portraits
from training.judgements import DAMAGES, Judgements
from training.perceptual import TYPICAL_DISTANCE, calibrate, channel_distances, fit_weights, set_weights


def test_weights_go_to_the_channels_that_tell():
    rng = torch.Generator().manual_seed(0)
    better, worse = (torch.rand(300, 4, generator=rng) + 0.5 for _ in range(2))
    worse[:, 2] = better[:, 2] * 2
    weights = fit_weights(better, worse)
    assert (weights >= 0).all()
    assert weights[2] > 3 * weights[[0, 1, 3]].max()
    assert (worse @ weights > better @ weights).float().mean() > 0.97


def test_stored_weights_give_the_same_distance_as_the_fitted_sum():
    network = Lpips(LpipsConfig(width=4)).eval()
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 255, (2, 3, 64, 64, 3)).astype(np.uint8)
    channels = channel_distances(network, first, second)
    weights = torch.rand(channels.shape[1])
    set_weights(network, weights)
    with torch.no_grad():
        torch.testing.assert_close(network(to_tensor(first), to_tensor(second)), channels @ weights)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_grows_with_its_strength(damage):
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 255, (16, 16, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    errors = [
        np.abs(damage(image, strength, np.random.default_rng(1)).astype(float) - image).mean()
        for strength in (0.05, 0.4, 1.0)
    ]
    assert errors[0] < errors[1] < errors[2]


def test_judgements_are_the_same_every_time(tmp_path):
    portraits = Portraits.all(write_portraits(tmp_path))
    one, two = (Judgements(count=4).draw(portraits) for _ in range(2))
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
    assert one[0].shape == (4, 256, 256, 3)


def test_calibrated_distances_are_about_those_of_lpips(tmp_path):
    torch.manual_seed(0)
    portraits = Portraits.all(write_portraits(tmp_path))
    network = Lpips(LpipsConfig(width=4)).eval()
    judgements = Judgements(count=6)
    calibrate(network, portraits, judgements)
    reference, better, worse = judgements.draw(portraits)
    with torch.no_grad():
        typical = network(to_tensor(reference[:-1]), to_tensor(reference[1:]))
        near, far = (network(to_tensor(reference), to_tensor(other)) for other in (better, worse))
    assert typical.mean() == pytest.approx(TYPICAL_DISTANCE, rel=1e-3)
    assert (near < far).float().mean() > 0.6
