"""Frame packs lose nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seamline.errors import InvalidInput
from seamline.storage import decode_frames, encode_frames


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from([1, 3]),
    st.integers(0, 99),
    st.booleans(),
)
def test_any_frames_come_back_bit_by_bit(n: int, height: int, width: int, channels: int, seed: int, flat: bool) -> None:
    frames = noise((n, height, width, channels), seed)
    if flat:
        frames[:] = frames[0, 0, 0]
    got = decode_frames(encode_frames(frames))
    assert got.dtype == np.uint8
    assert np.array_equal(got, frames)


@pytest.mark.parametrize(
    "shape", [(2, 481, 355, 3), (1, 541, 961, 3), (1, 1, 900, 3), (1, 900, 1, 1), (2, 512, 512, 1)]
)
def test_real_sizes_come_back_bit_by_bit(shape: tuple[int, ...]) -> None:
    frames = noise(shape)
    assert np.array_equal(decode_frames(encode_frames(frames)), frames)


def test_every_colour_comes_back() -> None:
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    frames = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    assert np.array_equal(decode_frames(encode_frames(frames)), frames)


def test_the_same_frames_give_the_same_bytes_also_when_they_lie_otherwise_in_memory() -> None:
    frames = noise((3, 64, 48, 3))
    strided = np.ascontiguousarray(frames[:, ::-1, ::-1, ::-1])[:, ::-1, ::-1, ::-1]
    assert encode_frames(frames) == encode_frames(frames) == encode_frames(strided)


def test_smooth_pictures_take_less_than_half() -> None:
    y, x = np.mgrid[0:128, 0:128]
    frame = np.stack([x + y, x, y], axis=-1).astype(np.uint8)[None]
    assert len(encode_frames(frame)) < frame.nbytes / 2


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((0, 4, 4, 3), np.uint8),
        np.zeros((1, 0, 4, 3), np.uint8),
        np.zeros((1, 4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.uint8),
        np.zeros((1, 4, 4, 3), np.float32),
    ],
)
def test_other_arrays_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="a frame pack takes uint8 frames"):
        encode_frames(frames)


@pytest.mark.parametrize("keep", [0, 10, 200, 600])
def test_other_bytes_are_refused(keep: int) -> None:
    whole = encode_frames(noise((2, 32, 32, 3)))
    with pytest.raises(InvalidInput, match="frame pack"):
        decode_frames(whole[:keep])
    with pytest.raises(InvalidInput, match="frame pack"):
        decode_frames(b"\xff" * keep)
