import csv

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from seamline.bundles import load_bundle
from seamline.cli.directions import directions_app, read_labels
from seamline.editing.measure import STEPS
from seamline.errors import InvalidInput
from tests.fakes.bundle import tiny_bundle


@pytest.fixture
def name(tmp_path, monkeypatch):
    monkeypatch.setenv("SEAMLINE_BUNDLES", str(tmp_path))
    return tiny_bundle(tmp_path).name


def run(*words: object):
    return CliRunner().invoke(directions_app, [str(word) for word in words], catch_exceptions=True)


def test_a_fitted_direction_is_written_measured_and_installed(tmp_path, name):
    out = tmp_path / "direction.safetensors"
    before = load_bundle(name, tmp_path).directions
    done = run("fit", "--attribute", "eye_ratio", "--condition", "age", "--samples", 160, "--bundle", name, "-o", out,
               "--install")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "faces that follow every step" in done.output
    bundle = load_bundle(name, tmp_path)
    assert load_file(out)["eye_ratio"].shape == (bundle.num_ws, bundle.w_dim)
    assert list(bundle.edits) == ["smile", "age", "eye_ratio"]
    assert (bundle.directions["smile"] == before["smile"]).all()
    bundle.check_edits([("eye_ratio", 3.0)])


def test_labels_of_ones_own_make_an_edit_that_the_bundle_cannot_read(tmp_path, name):
    labels, out = tmp_path / "labels.csv", tmp_path / "freckles.safetensors"
    with labels.open("w", newline="") as lines:
        csv.writer(lines).writerows([("index", "label"), *((index, index % 2) for index in range(60))])
    done = run("fit", "--attribute", "freckles", "--labels", labels, "--bundle", name, "-o", out)
    assert done.exit_code == 0, done.output
    assert "freckles" in load_file(out)


def test_faces_to_label_are_drawn_by_their_index(tmp_path, name):
    assert run("draw", "--samples", 2, "--bundle", name, "-o", tmp_path / "faces").exit_code == 0
    assert Image.open(tmp_path / "faces" / "1.png").size == (64, 64)


def test_what_cannot_be_fitted_is_said_at_once(tmp_path, name):
    def complaint(*words: object) -> str:
        error = run("fit", "--bundle", name, *words).exception
        assert isinstance(error, InvalidInput)
        return str(error)

    assert "give --out" in complaint("--attribute", "age")
    assert "reads no 'hat'" in complaint("--attribute", "hat", "--install")
    assert "reads no 'hat'" in complaint("--attribute", "age", "--condition", "hat", "--install")
    assert "cannot be an edit's name" in complaint("--attribute", "a b", "--install")


@pytest.mark.parametrize(
    "text", ["", "index,label\n", "face,label\n1,2\n", "index,label\nx,1\n", "index,label\n-1,1\n"]
)
def test_wrong_labels_name_the_file(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"labels\.csv") as caught:
        read_labels(path)
    assert caught.value.field == "--labels"


def test_a_direction_found_without_labels_is_shown_and_becomes_an_edit(tmp_path, name):
    done = run("discover", "--count", 2, "--layers", "0-1", "--bundle", name, "-o", tmp_path / "found")
    assert done.exit_code == 0, done.output
    file = tmp_path / "found" / "directions.safetensors"
    width, height = Image.open(tmp_path / "found" / "sheet.png").size
    assert width > 2 * 64
    assert height > len(STEPS) * 64
    assert run("install", file, 2, "--as", "pose", "--bundle", name).exit_code == 0
    bundle = load_bundle(name, tmp_path)
    assert torch.allclose(bundle.directions["pose"], load_file(file)["2"], rtol=1e-3, atol=1e-5)  # float16 there
    bundle.check_edits([("pose", -3.0)])


def test_what_is_no_direction_of_the_bundle_is_not_installed(tmp_path, name):
    def complaint(*words: object) -> str:
        error = run("install", *words, "--bundle", name).exception
        assert isinstance(error, InvalidInput)
        return str(error)

    file = tmp_path / "found.safetensors"
    broken = torch.full_like(load_bundle(name, tmp_path).directions["age"], torch.nan)
    save_file({"1": torch.zeros(1, 3), "2": broken}, file)
    assert "has no direction '3', only 1, 2" in complaint(file, "3", "--as", "pose")
    assert "is (1, 3); tiny-64 needs" in complaint(file, "1", "--as", "pose")
    assert "all finite" in complaint(file, "2", "--as", "pose")
    assert "cannot be an edit's name" in complaint(file, "1", "--as", "../pose")
    assert "cannot be read" in complaint(tmp_path / "nothing", "1", "--as", "pose")
    assert "first-last" in str(run("discover", "--layers", "some", "--bundle", name, "-o", tmp_path).exception)
    assert list(load_bundle(name, tmp_path).edits) == ["smile", "age"]
