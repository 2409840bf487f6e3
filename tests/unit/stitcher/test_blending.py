"""The landmarks' outline in a crop, and Poisson blending inside it."""

import numpy as np
import pytest
from seamline_stitcher.blending import outline, poisson

from seamline.errors import Precondition

SIZE = 96
QUAD = np.array([[20.0, 30.0], [20.0, 222.0], [212.0, 222.0], [212.0, 30.0]])
"""A crop that shows every second pixel of the frame."""


def seam() -> tuple[np.ndarray, np.ndarray]:
    """A crop (SIZE, SIZE, 3) and its edit, which is brighter all over and has a mark in the middle."""
    y, x = np.mgrid[:SIZE, :SIZE]
    waves = 110 + 25 * np.sin(x / 9) * np.cos(y / 7)
    source = np.stack([waves, waves + 10, waves - 10], axis=-1)
    edit = source + np.array([45, 30, -30])
    edit[40:56, 40:56] += 20
    return source.round().astype(np.uint8), edit.round().astype(np.uint8)


def disc(radius: float) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    return np.where(x**2 + y**2 < radius**2, 255, 0).astype(np.uint8)


def step(picture: np.ndarray, mask: np.ndarray) -> float:
    """Mean difference of neighbouring pixels, across the mask's edge, in grey levels."""
    inside = mask > 0
    across = [(inside[:, 1:] != inside[:, :-1], np.diff(picture.astype(int), axis=1))]
    across.append((inside[1:] != inside[:-1], np.diff(picture.astype(int), axis=0)))
    return float(np.concatenate([np.abs(difference[edge]) for edge, difference in across]).mean())


def test_poisson_hides_a_seam_that_pasting_shows() -> None:
    (source, edit), mask = seam(), disc(30)
    blended = poisson(edit[None], source[None], mask[None])[0]
    pasted = np.where(mask[..., None] > 0, edit, source)
    assert step(pasted, mask) > 20
    assert step(blended, mask) < step(source, mask) + 3


def test_poisson_keeps_what_the_edit_drew() -> None:
    (source, edit), mask = seam(), disc(30)
    blended = poisson(edit[None], source[None], mask[None])[0].astype(int)
    mark = blended[44:52, 44:52].mean() - blended[44:52, 32:38].mean()
    wanted = edit[44:52, 44:52].mean() - edit[44:52, 32:38].mean()
    assert mark == pytest.approx(wanted, abs=5)


def test_poisson_leaves_all_else_alone_and_every_crop_to_itself() -> None:
    source, edit = seam()
    masks = np.stack([disc(30), disc(12), np.zeros((SIZE, SIZE), np.uint8)])
    blended = poisson(np.stack([edit] * 3), np.stack([source] * 3), masks)
    assert all(
        np.array_equal(picture[mask == 0], source[mask == 0]) for picture, mask in zip(blended, masks, strict=True)
    )
    assert (blended[0] != source).any()
    assert np.array_equal(blended[2], source)
    assert np.array_equal(blended[1], poisson(edit[None], source[None], masks[1:2])[0])


@pytest.mark.parametrize("corner", [(0, 0), (0, SIZE - 20), (SIZE - 9, 3)])
def test_poisson_at_the_edges_of_the_crop(corner: tuple[int, int]) -> None:
    (source, edit), mask = seam(), np.zeros((SIZE, SIZE), np.uint8)
    mask[corner[0] : corner[0] + 20, corner[1] : corner[1] + 20] = 255
    blended = poisson(edit[None], source[None], mask[None])[0]
    assert np.array_equal(blended[mask == 0], source[mask == 0])


def test_the_outline_is_where_the_landmarks_are() -> None:
    box = np.array([[60.0, 80.0], [160.0, 80.0], [160.0, 180.0], [60.0, 180.0]])
    landmarks = np.concatenate([box, np.tile(box.mean(0), (64, 1))])
    mask = outline(landmarks, QUAD, SIZE, 0)
    # (60 - 20) / 2 = 20 to (160 - 20) / 2 = 70, and (80 - 30) / 2 = 25 to 75.
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert (columns[0], columns[-1], rows[0], rows[-1]) == pytest.approx((20, 70, 25, 75), abs=1)
    assert set(np.unique(mask)) == {0, 255}
    grown = outline(landmarks, QUAD, SIZE, 5)
    assert np.flatnonzero(grown.any(0))[[0, -1]] == pytest.approx((15, 75), abs=1)


def test_landmarks_outside_the_crop_are_cut_off() -> None:
    around = 1e6 * np.stack([np.cos(np.arange(68)), np.sin(np.arange(68))], axis=-1)
    mask = outline(around, QUAD, SIZE, 3)
    assert mask[1:-1, 1:-1].all()
    assert not mask[0].any()
    assert not mask[:, -1].any()
    assert not outline(around.clip(900, 1000), QUAD, SIZE, 0).any()


def test_an_alignment_without_landmarks_is_refused() -> None:
    with pytest.raises(Precondition, match="landmarks, which an imported alignment lacks"):
        outline(np.full((68, 2), np.nan), QUAD, SIZE, 3)
