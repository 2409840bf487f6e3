import numpy as np
import pytest
from seamline_metrics.identity import consistency, similarity


def _dense(source, edited):
    """R = E / S with whole matrices, as the paper has it."""
    source, edited = (e / np.linalg.norm(e, axis=1, keepdims=True) for e in (source, edited))
    return (edited @ edited.T) / (source @ source.T)


def _person(count, dimensions=32, seed=0, spread=0.3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=dimensions) + spread * rng.normal(size=(count, dimensions))


@pytest.mark.parametrize("count", [2, 3, 600])  # the last takes more than one block
def test_agrees_with_the_whole_matrices(count):
    source, edited = _person(count), _person(count, seed=1)
    ratio = _dense(source, edited)
    found = consistency(source, edited)
    off_diagonal = ~np.eye(count, dtype=bool)
    assert found.tl_id == pytest.approx(np.diagonal(ratio, 1).mean())
    assert found.tg_id == pytest.approx(ratio[off_diagonal].mean())
    np.testing.assert_allclose(found.overall, ratio.mean(1, where=off_diagonal))
    np.testing.assert_allclose(found.local[1:-1], (np.diagonal(ratio, 1)[1:] + np.diagonal(ratio, 1)[:-1]) / 2)
    assert found.local[0] == pytest.approx(ratio[0, 1])
    assert found.local[-1] == pytest.approx(ratio[-2, -1])


def test_an_edit_that_keeps_all_similarities_is_ideal():
    source = _person(20)
    turned = source @ np.linalg.qr(np.random.default_rng(5).normal(size=(32, 32)))[0]
    found = consistency(source, 3.0 * turned)
    assert found.tl_id == pytest.approx(1.0)
    assert found.tg_id == pytest.approx(1.0)


def test_one_odd_frame_shows_at_its_place():
    source = _person(9)
    edited = source.copy()
    edited[4] = _person(1, seed=7)[0]
    found = consistency(source, edited)
    assert np.argmin(found.local) == 4
    assert np.argmin(found.overall) == 4
    np.testing.assert_allclose(found.local[[0, 1, 2, 6, 7, 8]], 1.0)
    assert found.tl_id < 0.95


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_frames_to_compare_are_consistent(count):
    found = consistency(_person(count), _person(count, seed=1))
    assert (found.tl_id, found.tg_id, len(found.local)) == (1.0, 1.0, count)


def test_similarity_is_the_cosine_of_each_frame():
    source = np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 1.0]])
    edited = np.array([[5.0, 0.0], [0.0, 3.0], [-1.0, -1.0]])
    np.testing.assert_allclose(similarity(source, edited), [1.0, 0.0, -1.0], atol=1e-12)
