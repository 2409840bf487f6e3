import numpy as np
import pytest
import torch

from seamline.networks.detector import FaceDetector, FaceDetectorConfig, decode
from tests.fakes.portraits import write_portraits
from training.data import Portraits
from training.detector import _score, distance_iou, loss, targets
from training.scenes import SceneConfig, Scenes, background

BOXES = torch.tensor([[20.0, 24.0, 60.0, 70.0], [90.0, 100.0, 104.0, 114.0]])


def test_targets_decode_to_the_boxes_they_were_made_of():
    target = targets(BOXES, 40)
    output = torch.cat([(target[:1] * 0.98 + 0.01).logit(), target[1:5]])[None]
    found = decode(output)[0]
    torch.testing.assert_close(found.boxes.sort(0).values, BOXES.sort(0).values)


def test_a_scene_without_faces_asks_for_none():
    assert targets(torch.zeros(0, 4), 8).abs().sum() == 0


def test_the_loss_is_lower_for_the_right_answer():
    target = targets(BOXES, 40)[None]
    right = torch.cat([(target[:, :1] * 0.98 + 0.01).logit(), target[:, 1:5].clamp(min=1)], 1)

    def value(output):
        return loss(lambda images: output, {"images": torch.zeros(1), "targets": target})

    assert value(right) < 0.1
    assert value(torch.cat([right[:, :1], right[:, 1:] * 2], 1)) > value(right) + 0.5
    assert value(torch.cat([-right[:, :1], right[:, 1:]], 1)) > value(right) + 0.5


def test_gradients_reach_every_weight():
    network = FaceDetector(FaceDetectorConfig(width=4, head_width=8))
    batch = {"images": torch.randn(2, 3, 160, 160), "targets": targets(BOXES, 40).expand(2, -1, -1, -1)}
    loss(network, batch).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_iou_of_distances():
    a, b = torch.tensor([1.0, 1, 1, 1]), torch.tensor([1.0, 1, 3, 1])
    assert float(distance_iou(a[None, :, None, None], b[None, :, None, None])) == pytest.approx(0.5)


def test_scoring_counts_hits_misses_and_false_alarms():
    target = targets(BOXES, 40)
    perfect = decode(torch.cat([(target[:1] * 0.98 + 0.01).logit(), target[1:5]])[None])
    true = [BOXES.numpy()]
    assert _score(perfect, true)[:2] == (1.0, 0.0)
    assert _score(perfect, [true[0][:1]])[:2] == (1.0, 1.0)
    assert _score(perfect, [true[0] + 300])[:2] == (0.0, 2.0)
    assert _score(perfect, [np.zeros((0, 4), np.float32)])[1] == 2.0


def test_boxes_lie_where_the_faces_were_pasted(tmp_path):
    portraits = Portraits.all(write_portraits(tmp_path))
    scenes = Scenes(portraits=portraits, config=SceneConfig(size=160, smallest=30, largest=60))
    rng = np.random.default_rng(0)
    canvas = np.zeros((160, 160, 3), np.uint8)
    for _ in range(6):
        picture, box = scenes._put(canvas, [], 40.0, rng)
        assert box is not None
        y, x = np.nonzero(picture.max(2) > 60)
        x0, y0, x1, y1 = np.clip(box, 0, 160)
        inside = (x > x0 - 14) & (x < x1 + 14) & (y > y0 - 14) & (y < y1 + 14)
        assert inside.mean() > 0.85


def test_scenes_hold_as_many_boxes_as_asked_at_most(tmp_path):
    scenes = Scenes(portraits=Portraits.all(write_portraits(tmp_path)))
    rng = np.random.default_rng(0)
    counts = [len(scenes.draw(rng, faces=3)[1]) for _ in range(5)]
    assert max(counts) <= 3
    assert sum(counts) >= 5
    assert len(scenes.draw(rng, faces=0)[1]) == 0


def test_backgrounds_differ():
    rng = np.random.default_rng(0)
    one, two = background(64, rng), background(64, rng)
    assert one.shape == (64, 64, 3)
    assert (one != two).mean() > 0.5
