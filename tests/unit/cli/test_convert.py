"""`seamline bundles convert` at the command line."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from seamline.checkpoints import describe
from seamline.checkpoints.formats import FORMATS
from seamline.cli.app import app
from seamline.errors import InvalidInput, NotFound
from seamline.networks.registry import build


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["bundles", "convert", *map(str, arguments)], catch_exceptions=False)
    return result.stdout


def test_a_checkpoint_becomes_a_file(tmp_path: Path) -> None:
    torch.save(build("fan4", {"stacks": 1, "width": 4}).state_dict(), tmp_path / "fan.pth.tar")
    out = tmp_path / "bundle" / "fan4.safetensors"
    assert run("fan4", tmp_path / "fan.pth.tar", "-o", out).strip() == str(out)
    assert (describe(out).kind, describe(out).source) == ("fan4", "fan.pth.tar")
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_the_formats_are_listed() -> None:
    listed = run("--formats")
    assert all(name[:14] in listed for name in FORMATS)


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"FORMAT FILE\.\.\. -o OUT"):
        run("fan4", "a.pth")
    with pytest.raises(InvalidInput, match="there is no format 'fan5'; there are: stylegan2-ada"):
        run("fan5", "a.pth", "-o", tmp_path / "out.safetensors")
    with pytest.raises(InvalidInput, match="is a directory; name a file in it"):
        run("fan4", "a.pth", "-o", tmp_path)
    with pytest.raises(NotFound, match=r"a\.pth: No such file"):
        run("fan4", tmp_path / "a.pth", "-o", tmp_path / "out.safetensors")
    assert list(tmp_path.iterdir()) == []
