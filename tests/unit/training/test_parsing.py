import numpy as np
import pytest
import torch
import torch.nn.functional as F

from seamline.networks.bisenet import BiSeNet, BiSeNetConfig
from tests.fakes.portraits import write_portraits
from training.data import Portraits
from training.parsing import CLASSES, ParsingLoss, aligned, class_weights, evaluate, overlay, soft_iou_loss


def test_soft_iou_is_zero_for_the_truth_and_grows_with_the_mistakes():
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[:, :4] = 3
    right = F.one_hot(labels, 5).movedim(3, 1) * 40.0
    worse, worst = right.clone(), right.roll(4, 2)
    worse[:, :, 3] = right[:, :, 4]
    assert soft_iou_loss(right, labels) == pytest.approx(0, abs=1e-5)
    assert 0.1 < soft_iou_loss(worse, labels) < soft_iou_loss(worst, labels) == pytest.approx(1, abs=1e-5)


def test_labels_are_taken_where_aligned_corners_sample():
    labels = torch.arange(8)[None, None].expand(1, 8, 8)
    logits, picked = aligned(torch.zeros(1, 19, 2, 2), labels, 4)
    assert logits.shape == (1, 19, 4, 4)
    assert picked[0, 0].tolist() == [0, 2, 5, 7]


def test_rare_classes_weigh_more_and_the_mean_pixel_one(tmp_path):
    portraits = Portraits.all(write_portraits(tmp_path))
    weights = class_weights(portraits)
    labels = portraits.rows("parsing", np.arange(16))[:, ::4, ::4]
    assert weights[1] > weights[0] > 0
    assert weights[torch.from_numpy(labels).long()].mean() == pytest.approx(1, abs=1e-4)
    assert weights[2:].abs().sum() == 0


def test_a_few_steps_learn_the_square(tmp_path):
    torch.manual_seed(0)
    portraits = Portraits.all(write_portraits(tmp_path))
    network = BiSeNet(BiSeNetConfig(width=4))
    images = torch.from_numpy(portraits.rows("images", np.arange(16))).permute(0, 3, 1, 2) / 127.5 - 1
    batch = {"images": images, "parsing": torch.from_numpy(portraits.rows("parsing", np.arange(16))).long()}
    loss, optimiser = ParsingLoss(class_weights(portraits)), torch.optim.Adam(network.parameters(), lr=1e-2)
    values = []
    for _ in range(12):
        value = loss(network, batch)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.7 * values[0]
    figures = evaluate(network.eval(), portraits, count=4)
    assert set(figures) == {"miou", "iou_background", "iou_skin"}


def test_the_overlay_has_a_colour_per_class():
    labels = np.arange(len(CLASSES), dtype=np.uint8)[None, :, None].repeat(len(CLASSES), 2)
    sheet = overlay(np.zeros((1, len(CLASSES), len(CLASSES), 3), np.uint8), labels)
    assert len(np.unique(sheet[:, 0], axis=0)) == len(CLASSES)
