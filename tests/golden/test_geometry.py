"""The alignment's numbers are those of Stitch it in Time's public implementation."""

from pathlib import Path

import numpy as np
import pytest

from seamline.geometry import crop, inverse_coefficients, smooth_quads
from tests.golden.data.fill import image

SIZE = 256


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return dict(np.load(Path(__file__).parent / "data" / "geometry.npz"))


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    drawn = image("frame", (1, 3, 480, 640), 1)[0].transpose(1, 2, 0)
    return np.rint((drawn + 1) * 127.5).astype(np.uint8)


def test_quads(golden: dict[str, np.ndarray]) -> None:
    quads = smooth_quads(golden["landmarks"], center_sigma=1.0, axes_sigma=3.0)
    np.testing.assert_allclose(quads, golden["quads"], rtol=0, atol=1e-6)


def test_coefficients(golden: dict[str, np.ndarray]) -> None:
    coefficients = [inverse_coefficients(quad, SIZE) for quad in golden["quads"]]
    np.testing.assert_allclose(coefficients, golden["coefficients"], rtol=0, atol=1e-8)


@pytest.mark.parametrize(("name", "index"), [("crop0", 0), ("crop_last", -1)])
def test_crops(golden: dict[str, np.ndarray], frame: np.ndarray, name: str, index: int) -> None:
    ours = crop(frame, golden["quads"][index], SIZE)
    assert np.abs(ours.astype(int) - golden[name]).max() <= 1
