"""`seamline bundles import-stit`, from the run's folder to the file that `--from` takes."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from seamline.bundles import load_bundle
from seamline.cli.bundles import bundles_app
from seamline.cli.inverted import read_inverted
from seamline.errors import InvalidInput, SeamlineError
from seamline.inversion import Inversion
from seamline.storage import open_store
from seamline.storage.reference import sha256_of
from seamline.video import probe
from tests.fakes.stit import RUN, bundle_of, small_generator, tuned, write_frames, write_options, write_run

PIVOTS = torch.randn(2, 10, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with a run, and a bundle `small` to import it with."""
    monkeypatch.setenv("SEAMLINE_BUNDLES", str(tmp_path / "bundles"))
    monkeypatch.setenv("SEAMLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    bundle_of(small_generator(), tmp_path / "bundles")
    write_run(tmp_path / "STIT", tuned(small_generator().state_dict()), PIVOTS)
    write_frames(tmp_path / "STIT" / "video_frames", 2)
    return tmp_path


def run(*arguments: str) -> str:
    given = ["import-stit", "STIT", "--bundle", "small", *arguments]
    result = CliRunner().invoke(bundles_app, given, catch_exceptions=True)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_a_run_becomes_a_file_and_a_video(folder: Path) -> None:
    write_options(folder / "STIT")
    assert run("--run", RUN).strip() == "obama.json"
    bundle, inverted = read_inverted(folder / "obama.json")
    assert bundle == "small"
    assert probe(folder / "obama.mp4").frame_count == 2
    store = open_store((folder / "cache" / "store").as_uri())
    assert store.exists(f"videos/{sha256_of(folder / 'obama.mp4')}/source.mp4")
    inversion = Inversion.open(store, inverted.inversion)
    assert inversion.alignment_sha256 == inverted.alignment.sha256
    assert inversion.bundle_digest == load_bundle("small", folder / "bundles").digest
    torch.testing.assert_close(inversion.pivots(0)[1], PIVOTS)


def test_video_rate_place_and_store_can_be_chosen(folder: Path) -> None:
    store = (folder / "own").as_uri()
    chosen = ("--video", "STIT/video_frames", "--fps", "30000/1001", "-o", "runs/my.json", "--store", store)
    run("--run", RUN, *chosen)
    assert probe(folder / "runs" / "my.mp4").fps == pytest.approx(29.97, abs=0.01)
    _, inverted = read_inverted(folder / "runs" / "my.json")
    assert inverted.inversion.uri.startswith(store)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--run", "biden"), "runs that it has: obama"),
        (("--run", RUN), "name the video, or the folder of its frames, with --video"),
        (("--run", RUN, "--video", "STIT/video_frames", "--fps", "0"), "--fps must be frames a second"),
        (("--run", RUN, "--video", "STIT/video_frames", "--start-frame", "1"), "has 2 frames, the run was made from 2"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(SeamlineError, match=message):
        run(*arguments)
    assert not (folder / "obama.json").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"bundle": "small", "alignment": 3}', json.dumps({"a": 1})])
def test_other_files_are_no_inversions(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(InvalidInput, match=r"run\.json: says nothing of an inversion .* import-stit"):
        read_inverted(tmp_path / "run.json")
    with pytest.raises(InvalidInput, match="says nothing of an inversion"):
        read_inverted(tmp_path / "absent.json")
