"""Latent transformers of Yao et al., a file for each attribute."""

from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from seamline.checkpoints.formats import FORMATS
from seamline.checkpoints.network_file import load_network, write_converted
from seamline.errors import InvalidInput
from seamline.networks.latent_transformer import LatentTransformer

L, D = 4, 8


def state(seed: int = 0, *, layers: int = L) -> dict[str, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    shapes = {f"dense.{layer}.weight": (D, D) for layer in range(layers)}
    shapes |= {f"dense.{layer}.bias": (D,) for layer in range(layers)}
    return {key: torch.randn(shape, generator=draws) for key, shape in shapes.items()}


def convert(folder: Path, files: dict[str, Any]) -> LatentTransformer:
    for name, found in files.items():
        torch.save(found, folder / name)
    write_converted(folder / "out.safetensors", FORMATS["latent-transformer"]([folder / name for name in files]))
    loaded = load_network(folder / "out.safetensors")
    assert isinstance(loaded, LatentTransformer)
    return loaded


def upstream(found: dict[str, Tensor], codes: Tensor, strength: float) -> Tensor:
    """What the original does: every code through its own equalised layer, times the strength, added."""
    moved = [
        code @ (found[f"dense.{layer}.weight"] / sqrt(D)).T + found[f"dense.{layer}.bias"]
        for layer, code in enumerate(codes.unbind(1))
    ]
    return codes + strength * torch.stack(moved, 1)


def test_every_file_is_an_edit_with_stits_name_and_sign(tmp_path: Path) -> None:
    files = {f"tnet_{number}.pth.tar": state(number) for number in (31, 20, 15, 39)}
    loaded = convert(tmp_path, files | {"my_own.pt": state(7)})
    assert loaded.config.names == ("smile", "gender", "eyeglasses", "age", "my_own")
    codes = torch.randn(2, L, D)
    signs = {"tnet_31.pth.tar": 1, "tnet_20.pth.tar": 1, "tnet_15.pth.tar": 1, "tnet_39.pth.tar": -1}
    for column, (name, sign) in enumerate(signs.items()):
        strengths = torch.zeros(2, 5)
        strengths[:, column] = 1.5
        torch.testing.assert_close(loaded(codes, strengths), upstream(files[name], codes, sign * 1.5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found | {"dense.0.bias": torch.zeros(D, 1)}, "wanted 1 dimensions"),
        (lambda found: {key: found[key] for key in found if key != "dense.2.weight"}, r"dense\.2\.weight is missing"),
        (lambda found: found | {"dense.1.weight": torch.zeros(D, D + 1)}, r"has shape \(8, 9\)"),
        (lambda found: found | {"dense.1.weight": torch.full((D, D), torch.inf)}, "infinity"),
        (lambda found: found | {"fcs.0.weight": torch.zeros(1)}, r"fcs\.0\.weight is unknown"),
        (lambda found: [*found.values()], "no table of names"),
    ],
)
def test_other_checkpoints_are_refused(tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=rf"tnet_31\.pth\.tar: .*{message}"):
        convert(tmp_path, {"tnet_31.pth.tar": change(state())})


def test_names_and_sizes_must_fit(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"tnet_40.*attributes 0 to 39"):
        convert(tmp_path, {"tnet_40.pth.tar": state()})
    with pytest.raises(InvalidInput, match="smile is given twice"):
        convert(tmp_path, {"tnet_31.pth.tar": state(), "smile.pt": state()})
    with pytest.raises(InvalidInput, match="differ in size"):
        convert(tmp_path, {"tnet_31.pth.tar": state(), "age.pt": state(layers=3)})
