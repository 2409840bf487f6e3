"""Masks of crops of any size, and the feathered edge."""

import numpy as np
import pytest
import torch
from seamline_stitcher.masks import TOP_FADE, MaskConfig, dilate, face_masks, faded, feathered, scaled


def parsing(size: int) -> torch.Tensor:
    """A face (class 1) in the middle, under a hat (class 18), before a background (class 0)."""
    classes = torch.zeros(1, 1, size, size)
    classes[..., size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = 1
    classes[..., : size // 2, :] = 18
    return classes


@pytest.mark.parametrize("size", [64, 256, 512])
def test_lengths_follow_the_size_of_the_crop(size: int) -> None:
    masks = face_masks(parsing(size), size, MaskConfig())
    ring = scaled(50, size)
    row = masks.border[0, 0, 5 * size // 8]
    assert row.sum() == 2 * ring
    assert row[size // 4 - ring : size // 4].all()
    assert scaled(50, 512) == 25


def test_content_and_border_share_no_pixel_and_make_up_the_full_mask() -> None:
    masks = face_masks(parsing(64), 64, MaskConfig())
    torch.testing.assert_close(masks.content + masks.border, masks.full)
    assert masks.content[0, 0, 16:32].sum() == 0  # the hat is not face


def test_what_an_edit_adds_belongs_to_the_face() -> None:
    config, edited = MaskConfig(), parsing(64)
    edited[..., 8:16, 24:40] = 17  # hair that was not there
    source, both = face_masks(parsing(64), 64, config), face_masks(parsing(64), 64, config, edited)
    assert not source.full[0, 0, 6:16, 26:38].any()
    assert both.content[0, 0, 9:31, 26:38].all()  # the hair and the hat below it
    torch.testing.assert_close(both.content + both.border, both.full)
    assert (both.full >= source.full).all()


def test_what_an_edit_takes_away_stays_to_be_filled() -> None:
    gone = torch.zeros(1, 1, 64, 64)
    source, both = (face_masks(parsing(64), 64, MaskConfig(), edited) for edited in (None, gone))
    assert torch.equal(both.full, source.full)


def test_masks_are_enlarged_to_larger_crops() -> None:
    masks = face_masks(parsing(64), 128, MaskConfig())
    assert masks.full.shape == (1, 1, 128, 128)
    assert masks.full.mean().item() == pytest.approx(
        face_masks(parsing(64), 64, MaskConfig()).full.mean().item(), abs=0.03
    )


def test_feather_is_zero_outside_the_full_mask_and_one_inside() -> None:
    full = face_masks(parsing(256), 256, MaskConfig()).full
    opacity = feathered(full, 25)
    assert opacity.dtype == np.uint8
    assert not opacity[full[:, 0].numpy() == 0].any()
    assert opacity[0, 160, 128] == 255
    assert len(np.unique(opacity)) > 10


def test_feather_fades_towards_the_edges_of_the_crop() -> None:
    opacity = feathered(torch.ones(1, 1, 256, 256), 25)
    assert max(opacity[0, 0].max(), opacity[0, :, -1].max()) <= 2


def test_dilation_with_a_square() -> None:
    mask = torch.zeros(1, 1, 9, 9)
    mask[..., 4, 4] = 1
    assert dilate(mask, 2)[0, 0, 2:7, 2:7].sum() == dilate(mask, 2).sum() == 25
    assert torch.equal(dilate(mask, 0), mask)


def test_an_edit_of_hair_comes_in_from_the_upper_edge() -> None:
    opacity = np.full((2, 128, 128), 200, np.uint8)
    common = torch.zeros(2, 1, 128, 128)
    common[0, :, 3:, 30:98] = 1  # of the first rows parsing was unsure
    made = faded(opacity, common).astype(int)
    middle = made[0, :, 64]
    assert middle[0] <= 2
    assert (np.diff(middle) >= 0).all()
    assert np.diff(middle).max() < 20  # no line across the head
    assert (made[0, scaled(TOP_FADE, 128) :] == 200).all()
    assert (made[0, :, :24] == 200).all()  # beside what both show, nothing fades
    assert (made[1] == 200).all()
