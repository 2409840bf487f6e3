import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from seamline_aligner.shots import shots, signature

RNG = np.random.default_rng(3)


def scene(hue: int, count: int) -> list[NDArray[np.uint8]]:
    """Frames of one place: a textured picture of some hue, which the camera pans over, with noise."""
    texture = cv2.GaussianBlur(RNG.uniform(0, 255, (120, 320)).astype(np.float32), (0, 0), 6)
    value = cv2.normalize(texture, None, 40, 220, cv2.NORM_MINMAX)
    hsv = np.stack([np.full_like(value, hue), np.full_like(value, 140), value], -1).astype(np.uint8)
    wide = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    frames = [wide[:, 4 * shift : 4 * shift + 160] for shift in range(count)]
    return [np.clip(frame + RNG.normal(0, 4, frame.shape), 0, 255).astype(np.uint8) for frame in frames]


def found(frames: list[NDArray[np.uint8]]) -> list[tuple[int, int]]:
    return shots(np.stack([signature(frame) for frame in frames]))


def test_cuts_are_found_to_the_frame() -> None:
    assert found(scene(10, 14) + scene(70, 9) + scene(130, 12)) == [(0, 14), (14, 23), (23, 35)]


def test_a_cut_near_an_end_is_found() -> None:
    assert found(scene(10, 2) + scene(70, 9)) == [(0, 2), (2, 11)]


def test_a_panning_camera_and_a_walker_are_no_cut() -> None:
    frames = scene(10, 30)
    for number, frame in enumerate(frames):
        frame[20:110, 5 * number : 5 * number + 40] = (30, 200, 60)
    assert found(frames) == [(0, 30)]


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_no_cut(length: int) -> None:
    frames = scene(10, 20)
    for number in range(8, 8 + length):
        frames[number] = np.full_like(frames[number], 250)
    assert found(frames) == [(0, 20)]


def test_one_frame_is_one_shot() -> None:
    assert found(scene(10, 1)) == [(0, 1)]
