import numpy as np
import pytest

from training.metrics import (
    confusion,
    detail,
    explained_variance,
    intersection_over_union,
    landmark_error,
    psnr,
    verification_accuracy,
)


def test_landmark_error_is_in_eye_distances():
    true = np.zeros((1, 68, 2))
    true[0, 42:48, 0] = 10.0
    found = true + np.array([3.0, 4.0])
    assert landmark_error(found, true) == pytest.approx([0.5])


def test_iou_counts_both_kinds_of_mistakes_and_skips_absent_classes():
    true, found = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    scores = intersection_over_union(confusion(found, true, 3))
    assert scores[:2] == pytest.approx([1 / 2, 2 / 3])
    assert np.isnan(scores[2])


def test_confusion_has_true_classes_as_rows():
    assert confusion(np.array([1, 1]), np.array([0, 0]), 2).tolist() == [[0, 2], [0, 0]]


def test_verification_tells_clusters_from_chance():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(20), 6)
    centres = rng.standard_normal((20, 32))
    near = centres[person] + 0.3 * rng.standard_normal((120, 32))
    chance = rng.standard_normal((120, 32))
    near, chance = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (near, chance))
    assert verification_accuracy(near, person) > 0.99
    assert 0.4 < verification_accuracy(chance, person) < 0.6


def test_verification_does_not_profit_from_one_score_for_all():
    same = np.ones((40, 4)) / 2
    assert verification_accuracy(same, np.repeat(np.arange(10), 4)) == pytest.approx(0.5, abs=0.1)


def test_explained_variance_is_one_for_truth_and_zero_for_the_mean():
    true = np.random.default_rng(0).standard_normal((50, 3))
    assert explained_variance(true, true) == pytest.approx(1)
    assert explained_variance(np.broadcast_to(true.mean(0), true.shape), true) == pytest.approx(0)


def test_psnr_of_a_tenth_of_the_range():
    true = np.zeros((2, 3, 4, 4))
    assert psnr(true + 0.2, true) == pytest.approx(20)


def test_detail_is_what_blur_takes_away():
    stripes = np.tile((-1.0) ** np.arange(8), (1, 1, 8, 1))
    assert detail(stripes) == pytest.approx(4)
    assert detail(np.full((1, 3, 8, 8), 0.7)) == pytest.approx(0, abs=1e-12)
    assert detail(stripes / 2) == pytest.approx(2)
