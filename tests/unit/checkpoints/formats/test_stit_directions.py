"""Strength s here is strength s of Stitch it in Time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from seamline.bundles import INSTALLED
from seamline.bundles.recipe import read_recipe
from seamline.checkpoints.formats import FORMATS
from seamline.checkpoints.formats.stit_directions import NAMES
from seamline.checkpoints.network_file import Converted
from seamline.errors import InvalidInput, NotFound

CODES = (18, 512)


def drawn(name: str, *, shape: tuple[int, ...] = (1, *CODES)) -> NDArray[np.float64]:
    return np.random.default_rng(len(name)).standard_normal(shape)


def convert(*paths: Path) -> Converted:
    return FORMATS["stit-directions"](paths)


def upstream(codes: torch.Tensor, array: NDArray[np.float64], factor: float) -> torch.Tensor:
    """What the original does: the array's first entry, half of the factor."""
    return codes + factor / 2 * torch.from_numpy(array)[0, None]


@pytest.mark.parametrize("shape", [(1, *CODES), CODES])
def test_a_strength_moves_codes_as_upstream_does(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array, codes = drawn("smile", shape=shape), torch.randn(2, *CODES)
    np.save(tmp_path / "smile.npy", array)
    converted = convert(tmp_path / "smile.npy")
    assert converted.kind == "directions"
    direction = converted.tensors["smile"]
    assert direction.dtype == torch.float32
    assert direction.shape == CODES
    torch.testing.assert_close(codes + -3 * direction, upstream(codes, array, -3).float())


def test_a_folder_gives_all_sixteen(tmp_path: Path) -> None:
    for name in NAMES:
        np.save(tmp_path / f"{name}.npy", drawn(name))
    torch.save(torch.from_numpy(drawn("age", shape=(1, *CODES))) * 2, tmp_path / "age.pt")
    (tmp_path / "age.npy").unlink()
    converted = convert(tmp_path)
    assert tuple(converted.tensors) == NAMES
    assert len(NAMES) == 16
    torch.testing.assert_close(converted.tensors["age"], torch.from_numpy(drawn("age")[0]).float())
    (tmp_path / "yaw.npy").unlink()
    with pytest.raises(NotFound, match=r"has no yaw\.npy"):
        convert(tmp_path)


def test_the_recipe_offers_each_as_an_edit() -> None:
    assert tuple(read_recipe(INSTALLED / "ffhq-1024").edits) == NAMES


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, *CODES)), r"smile\.npy: has shape \(2, 18, 512\)"),
        (np.zeros(512), r"wanted \(1, codes, w_dim\)"),
        (np.zeros((0, 512)), r"has shape \(0, 512\)"),
        (np.full((1, *CODES), np.nan), "holds NaN"),
        (np.zeros((1, *CODES), int), "no fractions"),
    ],
)
def test_what_is_no_direction_is_refused(tmp_path: Path, array: NDArray, message: str) -> None:
    np.save(tmp_path / "smile.npy", array)
    with pytest.raises(InvalidInput, match=message):
        convert(tmp_path / "smile.npy")


def test_objects_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "smile.npy", np.array([{"a": 1}], object))
    with pytest.raises(InvalidInput, match=r"smile\.npy"):
        convert(tmp_path / "smile.npy")


def test_other_names_sizes_and_repeats_are_refused(tmp_path: Path) -> None:
    for name in ("smile", "beard"):
        np.save(tmp_path / f"{name}.npy", drawn(name))
    np.save(tmp_path / "age.npy", drawn("age", shape=(1, 14, 512)))
    with pytest.raises(InvalidInput, match=r"beard is no direction of STIT; it has: age, "):
        convert(tmp_path / "beard.npy")
    with pytest.raises(InvalidInput, match=r"age\.npy: has shape \(14, 512\), smile\.npy has \(18, 512\)"):
        convert(tmp_path / "smile.npy", tmp_path / "age.npy")
    with pytest.raises(InvalidInput, match="given twice"):
        convert(tmp_path / "smile.npy", tmp_path / "smile.npy")
    with pytest.raises(InvalidInput, match="got 0 files"):
        convert()
