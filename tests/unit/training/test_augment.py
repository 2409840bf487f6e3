import numpy as np
import pytest

from training.augment import Spread, colour_matrix, jitter, photometric, warp, warp_points


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_points_move_with_their_picture(rng):
    spread = Spread(degrees=30, log_scale=0.3, shift=0.1)
    for _ in range(5):
        image = np.zeros((64, 64, 3), np.uint8)
        image[28:32, 40:44] = 255
        matrix = jitter(64, spread, rng)
        moved = warp(image, matrix, 64)[..., 0].astype(float)
        y, x = np.mgrid[:64, :64] + 0.5
        found = np.array([(moved * x).sum(), (moved * y).sum()]) / moved.sum()
        assert warp_points(np.array([[42.0, 30.0]], np.float32), matrix)[0] == pytest.approx(found, abs=0.3)


def test_label_maps_keep_their_values(rng):
    labels = np.zeros((32, 32), np.uint8)
    labels[8:20, 8:20] = 17
    moved = warp(labels, jitter(32, Spread(degrees=20), rng), 32, labels=True)
    assert set(np.unique(moved)) == {0, 17}


def test_photometric_changes_pictures_but_keeps_what_is_on_them(rng):
    image = np.zeros((96, 96, 3), np.uint8)
    image[32:64, 32:64] = 200
    for _ in range(30):
        seen = photometric(image, rng)
        assert seen.shape == image.shape
        assert seen.dtype == np.uint8
        assert seen[40:56, 40:56].mean() > seen[:16, :16].mean() + 50


def test_colours_keep_mid_grey_but_for_brightness(rng):
    for _ in range(20):
        matrix = colour_matrix(rng)
        grey = matrix @ [128, 128, 128, 1]
        assert np.ptp(grey) < 1e-2
        assert abs(grey[0] - 128) <= 30


def test_no_spread_moves_nothing(rng):
    matrix = jitter(64, Spread(degrees=0, log_scale=0, shift=0), rng)
    assert matrix == pytest.approx(np.eye(2, 3))
