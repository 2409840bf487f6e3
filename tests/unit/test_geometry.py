from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from seamline.geometry import crop, face_axes, paste, paste_sampled, quads_from_axes, smooth_quads

HEIGHT, WIDTH, SIZE = 120, 160, 48
RNG = np.random.default_rng(7)
NOISE = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
BLOBS = gaussian_filter(RNG.standard_normal((HEIGHT, WIDTH, 3)), (5, 5, 0))
SOFT = np.clip(128 + 900 * BLOBS, 0, 255).astype(np.uint8)
FACE = RNG.uniform(-30, 30, (5, 68, 2)) + np.array((80, 60))

angles = st.floats(-np.pi, np.pi)
positions = st.tuples(st.floats(45, WIDTH - 45), st.floats(45, HEIGHT - 45))


def square(center: tuple[float, float], half: float, angle: float) -> np.ndarray:
    x = half * np.array([np.cos(angle), np.sin(angle)])
    return quads_from_axes(np.array(center), x, np.array([-x[1], x[0]]))


@given(positions, angles, st.floats(0.7, 1.3))
@settings(max_examples=15, deadline=None)
def test_crop_is_pils_quad_transform(center: tuple[float, float], angle: float, scale: float) -> None:
    quad = square(center, SIZE / 2 * scale, angle)
    pil = Image.fromarray(NOISE).transform(
        (SIZE, SIZE),
        Image.Transform.QUAD,
        tuple((quad + 0.5).ravel()),
        Image.Resampling.BILINEAR,
    )
    assert np.abs(crop(NOISE, quad, SIZE).astype(int) - np.asarray(pil)).max() <= 1


@given(positions, angles, st.floats(0.85, 1.3))
@settings(max_examples=15, deadline=None)
def test_pasting_back_what_was_cut_out_changes_little(center: tuple[float, float], angle: float, scale: float) -> None:
    quad = square(center, SIZE / 2 * scale, angle)
    back = paste(SOFT, crop(SOFT, quad, SIZE), quad, np.ones((SIZE, SIZE), np.float32))
    error = np.abs(back.astype(int) - SOFT)
    assert error.mean() < 0.3
    assert error.max() <= 8


def test_a_sampled_paste_is_pils() -> None:
    """Bilinear sampling weighted by the mask, then one blend, each rounded to grey levels."""
    quad, mask = square((83.3, 61.7), SIZE / 2 * 0.8, 0.2), np.zeros((SIZE, SIZE), np.uint8)
    mask[8:40, 8:40] = 255
    mask[8:40, 8:20] = 90
    face = RNG.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    whole = paste_sampled(SOFT, face, quad, mask).astype(int)
    corner, right, down = quad[0], (quad[3] - quad[0]) / SIZE, (quad[1] - quad[0]) / SIZE
    x, y = 83, 62
    u, v = np.linalg.solve(np.stack([right, down], 1), np.array([x, y]) - corner) - 0.5
    left, top = int(np.floor(u)), int(np.floor(v))
    weights = np.outer((top + 1 - v, v - top), (left + 1 - u, u - left))
    alpha = (weights * mask[top : top + 2, left : left + 2]).sum() / 255
    colour = (weights[..., None] * face[top : top + 2, left : left + 2]).sum((0, 1))
    assert alpha == pytest.approx(1, abs=1e-6)
    assert np.abs(whole[y, x] - colour).max() <= 1.5
    assert np.array_equal(whole[:20], SOFT[:20])


@given(positions, angles, st.floats(0.4, 2.5))
@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize("pasted", [paste, paste_sampled])
def test_pixels_that_the_mask_leaves_out_are_the_source(
    pasted: Callable[..., np.ndarray], center: tuple[float, float], angle: float, scale: float
) -> None:
    quad = square(center, SIZE / 2 * scale, angle)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[12:36, 12:36] = 255
    back = pasted(NOISE, np.full((SIZE, SIZE, 3), 77, np.uint8), quad, mask)
    grid = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), -1) - np.array(center)
    inside = np.abs(grid @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]))
    half, margin = SIZE / 4 * scale, max(scale, 2.0) + 0.5
    outside, core = (inside > half + margin).any(-1), (inside < half - margin).all(-1)
    assert np.array_equal(back[outside], NOISE[outside])
    assert np.all(back[core] == 77)


def test_paste_leaves_its_input_alone() -> None:
    frame = NOISE.copy()
    paste(frame, np.zeros((SIZE, SIZE, 3), np.uint8), square((80, 60), 24, 0.3), np.ones((SIZE, SIZE)))
    assert np.array_equal(frame, NOISE)


@given(st.tuples(st.floats(-500, 500), st.floats(-500, 500)), angles)
@settings(max_examples=15, deadline=None)
def test_quads_move_and_turn_with_the_face(shift: tuple[float, float], angle: float) -> None:
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    moved = smooth_quads(FACE @ turn + np.array(shift))
    np.testing.assert_allclose(moved, smooth_quads(FACE) @ turn + np.array(shift), atol=1e-9)


def test_quads_are_squares_and_smoother_than_the_face() -> None:
    quads = smooth_quads(FACE)
    sides = np.linalg.norm(np.roll(quads, 1, axis=1) - quads, axis=-1)
    np.testing.assert_allclose(sides, sides[:, :1].repeat(4, 1))
    raw = smooth_quads(FACE, 0.0, 0.0)
    np.testing.assert_array_equal(raw, quads_from_axes(*face_axes(FACE)))
    assert np.abs(np.diff(quads, axis=0)).mean() < 0.5 * np.abs(np.diff(raw, axis=0)).mean()


def test_crop_repeats_the_border_outside_the_picture() -> None:
    frame = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    frame[:, -1] = 200
    beyond = crop(frame, square((WIDTH + 100, 60), 24, 0.0), SIZE)
    assert np.all(beyond == 200)


@pytest.mark.parametrize("center", [(0, 0), (WIDTH, 60), (80, HEIGHT), (-300, -300)])
def test_paste_is_clipped_to_the_picture(center: tuple[float, float]) -> None:
    quad = square(center, 24, 0.4)
    back = paste(SOFT, crop(SOFT, quad, SIZE), quad, np.ones((SIZE, SIZE)))
    assert back.shape == SOFT.shape
    assert np.abs(back.astype(int) - SOFT).max() <= 8


@pytest.mark.parametrize("ratio", [2.0, 3.3, 5.0])
def test_a_face_much_larger_than_the_crop_does_not_alias(ratio: float) -> None:
    frame = np.zeros((400, 400, 3), np.uint8)
    frame[:, ::2] = 255
    made = crop(frame, square((200, 200), 32 * ratio, 0.0), 64)
    assert made.std() < 0.35 * 127.5
    assert abs(made.mean() - 127.5) < 3


@pytest.mark.parametrize("half", [20.0, 60.0])
def test_a_crop_much_larger_than_the_face_does_not_alias(half: float) -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    frame = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    made = paste(frame, stripes, square((80, 60), half, 0.0), np.ones((256, 256)))
    region = made[int(60 - half) + 2 : int(60 + half) - 2, int(80 - half) + 2 : int(80 + half) - 2]
    assert region.std() < 0.35 * 127.5
