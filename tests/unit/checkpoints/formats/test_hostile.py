"""Whatever is given to a format: nothing in it is run, and nothing half-written stays."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seamline.checkpoints.formats import FORMATS
from seamline.checkpoints.network_file import write_converted
from seamline.checkpoints.stit_run import read_run
from seamline.errors import InvalidInput

FILES = {
    "hyperstyle": ("hyperstyle_ffhq.pt",),
    "clip": ("ViT-B-32.pt", "bpe_simple_vocab_16e6.txt.gz"),
    "styleclip": ("fs3.npy", "S_mean_std"),
    "stit-directions": ("age.npy", "smile.npy"),
    "latent-transformer": ("tnet_31.pth.tar",),
}


class Command:
    """Runs a command when it is unpickled by anything that runs what pickles say."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def plain(path: Path, mark: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": Command(mark)}))


def archive(path: Path, mark: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(2), "x": Command(mark)}}, path)


def swapped(path: Path, mark: Path) -> None:
    torch.save(
        {"latent_avg": torch.zeros(18, 512), "state_dict": {"encoder.input_layer.0.weight": torch.ones(1)}}, path
    )


def cut(path: Path, mark: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(4096)}}, path)
    path.write_bytes(path.read_bytes()[:9000])


@pytest.mark.parametrize("write", [plain, archive, swapped, cut])
@pytest.mark.parametrize("name", FILES)
def test_no_format_runs_or_takes_it(tmp_path: Path, name: str, write: Callable[[Path, Path], None]) -> None:
    paths = [tmp_path / file for file in FILES[name]]
    for path in paths:
        write(path, tmp_path / "mark")
    with pytest.raises(InvalidInput, match="|".join(FILES[name])) as refused:
        write_converted(tmp_path / "out.safetensors", FORMATS[name](paths))
    if write in (plain, archive):
        assert "system" in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES[name])


@pytest.mark.parametrize("write", [plain, archive, swapped, cut])
def test_no_run_is_taken_up(tmp_path: Path, write: Callable[[Path, Path], None]) -> None:
    write(tmp_path / "model_obama.pt", tmp_path / "mark")
    with pytest.raises(InvalidInput, match=r"model_obama\.pt"):
        read_run(tmp_path, "obama")
    assert [path.name for path in tmp_path.iterdir()] == ["model_obama.pt"]
