import numpy as np
import pytest
import torch

from seamline.networks.landmarks import LandmarkConfig, LandmarkNetwork
from tests.fakes.portraits import BOX, write_portraits
from training.augment import warp_points
from training.data import Portraits
from training.landmarks import SIZE, LandmarkBatches, bells, crop_matrix, cut, face_box, loss

POINTS = np.array([[100.0, 120.0], [300.0, 320.0]], np.float32)


def test_the_face_lies_in_the_middle_of_its_crop():
    box = face_box(warp_points(POINTS, crop_matrix(POINTS, factor=2.0)))
    assert box == pytest.approx([SIZE / 4, SIZE / 4, SIZE * 3 / 4, SIZE * 3 / 4], abs=1e-3)


@pytest.mark.parametrize("side", [40, 90, 200, 420])
def test_small_and_large_faces_are_cut_alike(side):
    image = np.zeros((512, 512, 3), np.uint8)
    dot, corner = np.array([230.0, 260.0]), 250 - side / 2
    points = np.array([[corner, corner], [corner + side, corner + side], dot], np.float32)
    radius = max(2, side // 20)
    y, x = np.mgrid[:512, :512] + 0.5
    image[np.hypot(x - dot[0], y - dot[1]) < radius] = 255
    matrix = crop_matrix(points, degrees=20)
    crop = cut(image, matrix)[..., 0].astype(float)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    found = np.array([(crop * x).sum(), (crop * y).sum()]) / crop.sum()
    assert found == pytest.approx(warp_points(points, matrix)[2], abs=0.15)


def test_heat_map_targets_have_their_mean_at_the_point():
    points = torch.tensor([[[0.5, 0.25], [0.7, 0.4]]])
    maps = bells(points, 32)
    centres = (torch.arange(32) + 0.5) / 32
    assert maps.sum((2, 3)) == pytest.approx(torch.ones(1, 2))
    torch.testing.assert_close(torch.stack([maps.sum(2) @ centres, maps.sum(3) @ centres], 2), points)


def test_the_loss_is_least_at_the_truth_and_skips_points_outside(tmp_path):
    batches = LandmarkBatches(portraits=Portraits.all(write_portraits(tmp_path)), batch_size=2)
    batch = batches(0)
    assert batch["images"].shape == (2, 3, SIZE, SIZE)
    network = LandmarkNetwork(LandmarkConfig(input_size=32, width=4, head_width=8))
    with torch.no_grad():
        found = network(batch["images"])
        near = loss(network, {"images": batch["images"], "points": found})
        far = loss(network, {"images": batch["images"], "points": (found + 0.2).clamp(max=0.99)})
        lost = found.clone()
        lost[:, 0] = 5.0
        assert near < far
        assert loss(network, {"images": batch["images"], "points": lost}) < far


def test_the_fakes_box_is_their_landmarks_box(tmp_path):
    portraits = Portraits.all(write_portraits(tmp_path))
    assert face_box(portraits.rows("landmarks", np.array([0]))[0]) == pytest.approx(BOX)
