"""Landmarks and detection, which are of our own making, and what the others promise beyond numbers."""

import pytest
import torch

from seamline.errors import InvalidInput
from seamline.networks.arcface import INPUT_SIZE, ArcFace, ArcFaceConfig, face_window
from seamline.networks.bisenet import BiSeNet, BiSeNetConfig
from seamline.networks.bisenet_v2 import BiSeNetV2
from seamline.networks.detector import (
    STRIDE,
    FaceDetector,
    FaceDetectorConfig,
    cell_centres,
    decode,
    intersection_over_union,
)
from seamline.networks.landmarks import LandmarkConfig, LandmarkNetwork
from seamline.networks.lpips import Lpips, LpipsConfig
from seamline.networks.registry import build

LANDMARKS = LandmarkConfig(input_size=64, width=4, head_width=8)


def face_map(boxes: list[tuple[float, float, float, float]], log_odds: list[float]) -> torch.Tensor:
    """What a perfect detector returns for a 128 x 96 image."""
    output = torch.zeros(1, 5, 32, 24)
    output[:, 0] = -10
    x, y = cell_centres(32, 24)
    for (left, top, right, bottom), certainty in zip(boxes, log_odds, strict=True):
        column, row = int((left + right) / 2 // STRIDE), int((top + bottom) / 2 // STRIDE)
        cx, cy = float(x[0, column]), float(y[row, 0])
        output[0, :, row, column] = torch.tensor([certainty, cx - left, cy - top, right - cx, bottom - cy])
    return output


def test_boxes_come_back_most_certain_first():
    boxes = [(10.0, 20.0, 40.0, 60.0), (50.0, 70.0, 90.0, 120.0)]
    (found,) = decode(face_map(boxes, [1.0, 3.0]))
    torch.testing.assert_close(found.boxes, torch.tensor(boxes[::-1]))
    torch.testing.assert_close(found.scores, torch.tensor([3.0, 1.0]).sigmoid())


def test_doubtful_and_doubled_faces_are_dropped():
    boxes = [(10.0, 20.0, 40.0, 60.0), (18.0, 20.0, 48.0, 60.0), (50.0, 70.0, 90.0, 120.0)]
    (found,) = decode(face_map(boxes, [2.0, 1.0, -3.0]))
    torch.testing.assert_close(found.boxes, torch.tensor(boxes[:1]))


def test_an_image_without_faces_has_none():
    (found,) = decode(face_map([], []))
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == (0,)


def test_overlap_is_shared_over_joint_area():
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0]])
    expected = torch.tensor([[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]])
    torch.testing.assert_close(intersection_over_union(boxes, boxes), expected)


def test_untrained_detector_sees_no_faces():
    torch.manual_seed(0)
    detector = FaceDetector(FaceDetectorConfig(width=4, head_width=8)).eval()
    (found,) = decode(detector(torch.rand(1, 3, 96, 64) * 2 - 1))
    assert not len(found.boxes)


def test_landmarks_are_the_means_of_their_maps():
    torch.manual_seed(0)
    network = LandmarkNetwork(LANDMARKS).eval()
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    maps = network.heatmaps(images)
    torch.testing.assert_close(maps.sum((2, 3)), torch.ones(2, 68))
    points = network(images)
    rows, columns = maps.sum(3), maps.sum(2)
    x = sum(columns[:, :, i] * (i + 0.5) / 16 for i in range(16))
    y = sum(rows[:, :, i] * (i + 0.5) / 16 for i in range(16))
    torch.testing.assert_close(points, torch.stack([x, y], dim=2))


def test_landmarks_learn_where_a_blob_is():
    torch.manual_seed(0)
    network = LandmarkNetwork(LANDMARKS)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    grid = (torch.arange(64) + 0.5) / 64
    errors = []
    for _ in range(40):
        where = torch.rand(8, 2) * 0.5 + 0.25
        x, y = grid - where[:, :1], grid - where[:, 1:]
        blobs = torch.exp(-(x[:, None, :].square() + y[:, :, None].square()) / 0.01) * 2 - 1
        error = (network(blobs[:, None].expand(-1, 3, -1, -1)) - where[:, None]).abs().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert sum(errors[-5:]) / 5 < 0.4 * errors[0]


def test_embeddings_have_unit_length():
    network = ArcFace(ArcFaceConfig(width=16, units=(1, 1, 1, 1), embedding=8)).eval()
    lengths = network(torch.rand(3, 3, 112, 112)).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(3))


def test_parsing_normalizes_to_imagenet_and_trains_three_heads():
    network = BiSeNet(BiSeNetConfig(width=8, classes=4))
    white = network.normalize(torch.ones(1, 3, 2, 2))
    torch.testing.assert_close(white[0, :, 0, 0], torch.tensor([2.2489, 2.4286, 2.6400]), rtol=0, atol=1e-4)
    heads = network.heads(torch.rand(2, 3, 64, 64))
    assert [tuple(head.shape) for head in heads] == [(2, 4, 64, 64)] * 3
    sum(head.square().mean() for head in heads).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_bundle_may_have_either_version_of_the_parsing_network():
    network = build("parsing", {"width": 8, "classes": 4, "version": 2})
    assert isinstance(network, BiSeNetV2)
    heads = network.heads(torch.rand(2, 3, 64, 96))
    assert [tuple(head.shape) for head in heads] == [(2, 4, 64, 96)] * 5
    sum(head.square().mean() for head in heads).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert isinstance(build("parsing", {"width": 8}), BiSeNet)
    with pytest.raises(InvalidInput, match="version"):
        build("parsing", {"version": 3})


def test_distance_is_zero_only_for_equal_images_and_has_finite_gradients():
    torch.manual_seed(0)
    network = Lpips(LpipsConfig(width=4)).eval()
    first, second = torch.rand(2, 3, 64, 64) * 2 - 1, torch.rand(2, 3, 64, 64) * 2 - 1
    assert not network(first, first).any()
    assert (network(first, second) > 0).all()
    with torch.no_grad():
        network.net.slice1[0].bias.fill_(-100)  # every feature dies
    first.requires_grad_()
    network(first, second).sum().backward()
    assert first.grad is not None
    assert first.grad.isfinite().all()


def test_features_of_a_fixed_target_can_be_kept():
    network = Lpips(LpipsConfig(width=4)).eval()
    first, second = torch.rand(2, 2, 3, 64, 64).unbind()
    kept = network.features(second)
    torch.testing.assert_close(network.distance(network.features(first), kept), network(first, second))


@pytest.mark.parametrize("height", [1, 3])
def test_cell_centres_lie_in_the_middle_of_their_cells(height):
    x, y = cell_centres(height, 2)
    assert x.tolist() == [[2.0, 6.0]]
    assert y[-1].item() == height * STRIDE - 2


@pytest.mark.parametrize("size", [64, 256, 512])
def test_the_window_is_the_face_of_a_256_pixel_crop(size):
    rows = torch.linspace(-1, 1, size).reshape(1, 1, size, 1).expand(1, 3, size, size)
    columns = rows.transpose(2, 3)
    down, across = face_window(rows), face_window(columns)
    assert down.shape == (1, 3, INPUT_SIZE, INPUT_SIZE)
    # Edges of the window, as shares of the crop: rows 35 to 223, columns 32 to 220, of 256.
    half_pixel = 188 / 112 / 2
    for image, first, last in ((down[0, 0, :, 50], 35, 223), (across[0, 0, 50], 32, 220)):
        assert image[0] == pytest.approx(2 * (first + half_pixel) / 256 - 1, abs=0.02)
        assert image[-1] == pytest.approx(2 * (last - half_pixel) / 256 - 1, abs=0.02)


def test_the_identity_networks_window_is_that_of_e4e():
    pictures = torch.zeros(1, 3, 256, 256)
    pictures[:, :, 35:223, 32:220] = 1
    assert torch.equal(face_window(pictures), torch.ones(1, 3, 112, 112))
    assert face_window(torch.zeros(2, 3, 64, 64)).shape == (2, 3, 112, 112)
