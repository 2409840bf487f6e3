"""`seamline bundles` as it is typed, against a server on loopback."""

import os
from dataclasses import replace
from functools import partial

import pytest
import torch
from typer.testing import CliRunner

from seamline.bundles import NetworkSource, load_bundle, put_directions, put_network, write_bundle
from seamline.bundles.download import download
from seamline.bundles.fetch import downloads
from seamline.bundles.manifest import read_manifest
from seamline.bundles.recipe import read_recipe
from seamline.cli.arguments import cache_directory
from seamline.cli.bundles import bundles_app
from seamline.errors import DigestMismatch, InvalidInput, NotFound, Precondition
from seamline.networks.registry import build
from seamline.storage.local import LocalStore
from tests.fakes.file_server import Served, serving
from tests.fakes.recipe import plain_formats, small_recipe

ALL = ("--accept-licence", "all")


@pytest.fixture
def served():
    with serving(Served(files={})) as server:
        yield server


@pytest.fixture
def small(tmp_path, served, monkeypatch):
    made = small_recipe(tmp_path, served.url)
    served.files = dict(made.files)
    monkeypatch.setattr("seamline.bundles.install.FORMATS", plain_formats())
    monkeypatch.setenv("SEAMLINE_BUNDLES", str(made.bundles))
    monkeypatch.setenv("SEAMLINE_CACHE", str(tmp_path / "cache"))
    return made


def run(*words: object):
    return CliRunner().invoke(bundles_app, [str(word) for word in words])


def done(*words: object) -> str:
    result = run(*words)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def complaint(kind: type[Exception], *words: object) -> str:
    error = run(*words).exception
    assert isinstance(error, kind), error
    return str(error)


def left(directory) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def weights(directory) -> set[str]:
    return {path.name for path in directory.glob("*.safetensors")}


def test_a_fetched_bundle_can_be_loaded_used_shown_and_verified(small, served):
    done("fetch", "small-64", *ALL)
    bundle = load_bundle("small-64", small.bundles)
    assert bundle.module("generator") is not None
    assert set(bundle.directions) == {"smile"}
    assert bundle.relevance.beta == 0.25
    assert bundle.defaults["invert"] == {"max_passes": 4}
    image = torch.rand(1, 3, 64, 64)
    assert (bundle.infer("perceptual", image, image) == 0).all()
    manifest = bundle.manifest
    assert manifest.networks["generator"].source == "https://example.org/generator"
    assert set(manifest.originals) == set(small.files)
    assert weights(small.directory) == {entry.file for entry in manifest.files().values()}
    assert "installed" in done("list")
    shown = done("show", "small-64")
    assert "CC0-1.0" in shown
    assert "edits: smile" in shown
    assert "5 files are as they should be" in done("verify", "small-64")


def test_two_fetches_give_the_same_bytes(small):
    done("fetch", "small-64", *ALL)
    first = load_bundle("small-64", small.bundles).digest
    (small.directory / "installed.toml").unlink()
    done("fetch", "small-64", *ALL)
    assert load_bundle("small-64", small.bundles).digest == first


def test_a_recipe_is_listed_and_shown_before_it_is_fetched(small):
    assert "to be fetched" in done("list")
    shown = done("show", "small-64")
    assert "generator.pt" in shown
    assert "clip (optional)" in shown
    assert "edits: smile" in shown
    assert "run `seamline bundles fetch small-64`" in complaint(Precondition, "verify", "small-64")
    assert "run `seamline bundles fetch small-64`" in complaint(Precondition, "pack", "small-64", "-o", "x.tar")


def test_licences_are_shown_and_nothing_is_fetched_before_they_are_accepted(small, served):
    result = run("fetch", "small-64", "--accept-licence", "clip", "--accept-licence", "relevance")
    assert isinstance(result.exception, Precondition)
    assert "licences of generator, perceptual, directions have to be accepted" in str(result.exception)
    assert "--accept-licence generator" in str(result.exception)
    assert served.asked == []
    assert left(small.directory) == ["bundle.toml"]
    assert "small-64 has generator, clip" in complaint(InvalidInput, "fetch", "small-64", "--accept-licence", "klip")


def test_somebody_at_a_terminal_is_asked(small, monkeypatch):
    monkeypatch.setattr("seamline.cli.bundle_fetch.is_interactive", lambda: True)
    refused = CliRunner().invoke(bundles_app, ["fetch", "small-64"], input="n\n")
    assert isinstance(refused.exception, Precondition)
    assert left(small.directory) == ["bundle.toml"]
    assert CliRunner().invoke(bundles_app, ["fetch", "small-64"], input="y\n").exit_code == 0


def test_cut_connections_and_one_damaged_answer_are_survived(small, served, monkeypatch):
    monkeypatch.setattr("seamline.bundles.fetch.download", partial(download, sleep=lambda _: None))
    served.cuts, served.damaged = [1000, 1000, 10_000], 1
    done("fetch", "small-64", *ALL)
    assert "as they should be" in done("verify", "small-64")


def test_a_file_that_stays_damaged_leaves_nothing(small, served):
    served.files["clip.pt"] = served.files["clip.pt"][:-1] + b"?"
    assert "clip.pt: sha256 is" in complaint(DigestMismatch, "fetch", "small-64", *ALL)
    assert left(small.directory) == ["bundle.toml"]


def test_another_address_is_tried_where_one_is_gone_or_serves_another_file(small, served, tmp_path):
    recipe, here = small.directory / "bundle.toml", f'"{served.url}/clip.pt"'
    recipe.write_text(recipe.read_text().replace(here, f'"{served.url}/old.pt", {here}'))
    done("fetch", "small-64", *ALL)
    assert ("old.pt", "") in served.asked
    served.files["old.pt"], served.asked = small.files["clip.pt"][::-1], []
    done("fetch", "small-64", *ALL, "--to", tmp_path / "other")
    assert [path for path, _ in served.asked if path in ("old.pt", "clip.pt")] == ["old.pt", "clip.pt"]


def test_what_an_interrupted_fetch_got_is_not_fetched_again(small, served):
    taken = served.files.pop("perceptual.pt")
    complaint(NotFound, "fetch", "small-64", *ALL)
    assert left(small.directory) == ["bundle.toml"]
    served.files["perceptual.pt"], served.asked = taken, []
    done("fetch", "small-64", *ALL)
    assert [path for path, _ in served.asked] == ["perceptual.pt", "directions.pt", "relevance.pt"]


def test_a_file_that_cannot_be_converted_leaves_the_bundle_as_it_was(small):
    done("fetch", "small-64", *ALL)
    before = {path.name: path.read_bytes() for path in small.directory.iterdir()}
    recipe = small.directory / "bundle.toml"
    recipe.write_text(recipe.read_text().replace('format = "plain-perceptual"', 'format = "plain-clip"'))
    complaint(InvalidInput, "fetch", "small-64", *ALL)
    after = {path.name: path.read_bytes() for path in small.directory.iterdir()}
    assert after | {"bundle.toml": b""} == before | {"bundle.toml": b""}


def test_an_undocumented_digest_is_recorded_and_held_against_the_next_fetch(small, served):
    done("fetch", "small-64", *ALL)
    manifest, _ = read_manifest(small.directory)
    assert manifest.originals["perceptual.pt"].size == len(small.files["perceptual.pt"])
    for path in small.directory.glob("perceptual-*"):
        path.unlink()
    served.files["perceptual.pt"] = served.files["perceptual.pt"][:-4] + bytes(4)
    assert "perceptual.pt: sha256 is" in complaint(DigestMismatch, "fetch", "small-64", *ALL)


def test_only_what_is_missing_is_fetched_again(small, served):
    done("fetch", "small-64", *ALL)
    (path,) = small.directory.glob("clip-*")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    faults = run("verify", "small-64")
    assert faults.exit_code == 1
    assert "sha256 is" in faults.output
    assert "run `seamline bundles fetch small-64`" in faults.output
    before, served.asked = load_bundle("small-64", small.bundles).digest, []
    done("fetch", "small-64", *ALL)
    assert [path for path, _ in served.asked] == ["clip.pt", "relevance.pt"]
    assert load_bundle("small-64", small.bundles).digest == before
    assert "as they should be" in done("verify", "small-64")
    served.asked = []
    done("fetch", "small-64")
    assert served.asked == []


def test_what_somebody_else_put_into_the_bundle_stays(small):
    done("fetch", "small-64", *ALL, "--without", "relevance")
    parsing = NetworkSource(module=build("parsing", {"width": 4}), config={"width": 4}, licence="-", source="-")
    put_network(small.directory, "parsing", parsing)
    bundle = load_bundle("small-64", small.bundles)
    put_directions(small.directory, {"age": bundle.directions["smile"]}, [replace(bundle.edits["smile"], name="age")])
    done("fetch", "small-64", *ALL)
    bundle = load_bundle("small-64", small.bundles)
    assert bundle.module("parsing") is not None
    assert set(bundle.directions) == {"age"}
    assert bundle.relevance.beta == 0.25
    assert bundle.manifest.recipe == read_recipe(small.directory).digest


def test_an_optional_source_may_be_missing_or_unwanted(small, served):
    del served.files["clip.pt"]
    told = done("fetch", "small-64", *ALL)
    assert "clip is left out" in told
    assert "relevance is left out: it is of no use without clip" in told
    assert set(read_manifest(small.directory)[0].files()) == {"generator", "perceptual", "directions"}
    served.files = dict(small.files)
    done("fetch", "small-64", *ALL, "--without", "relevance")
    assert set(read_manifest(small.directory)[0].files()) == {"generator", "perceptual", "clip", "directions"}
    done("fetch", "small-64", *ALL, "--without", "clip")
    assert set(read_manifest(small.directory)[0].files()) == {"generator", "perceptual", "directions"}
    assert len(weights(small.directory)) == 3
    assert "only clip, relevance" in complaint(InvalidInput, "fetch", "small-64", "--without", "generator")


def test_a_mirror_and_a_directory_serve_the_same_files(small, served, tmp_path):
    served.files = {f"mirror/v1/{name}": content for name, content in small.files.items()}
    done("fetch", "small-64", *ALL, "--from", f"{served.url}/mirror/v1", "--to", tmp_path / "one")
    files = tmp_path / "files"
    files.mkdir()
    for name, content in small.files.items():
        (files / name).write_bytes(content)
    served.asked = []
    told = done("fetch", "small-64", *ALL, "--from", files, "--to", tmp_path / "two")
    assert f"SEAMLINE_BUNDLES={tmp_path / 'two'}" in told
    assert served.asked == []
    assert left(files) == sorted(small.files)
    digests = {load_bundle("small-64", tmp_path / place).digest for place in ("one", "two")}
    assert len(digests) == 1
    assert left(small.directory) == ["bundle.toml"]


def test_a_bucket_serves_the_files(small, tmp_path, monkeypatch):
    bucket = LocalStore(tmp_path / "bucket")
    for name, content in small.files.items():
        bucket.put(name, content)
    monkeypatch.setattr("seamline.bundles.fetch.open_store", lambda url: bucket)
    done("fetch", "small-64", *ALL, "--from", "s3://weights/v1")
    assert "as they should be" in done("verify", "small-64")


@pytest.mark.parametrize("place", ["ftp://host/dir", "/no/such/directory", "gopher:x"])
def test_other_places_are_refused(small, place):
    assert "http://, https:// or s3://" in complaint(InvalidInput, "fetch", "small-64", *ALL, "--from", place)


def test_a_web_page_in_place_of_a_file_says_how_to_get_it_by_hand(small, served):
    served.html = True
    told = complaint(Precondition, "fetch", "small-64", *ALL)
    assert "Google Drive" in told
    assert "https://example.org/generator in a browser, put it into a directory, and add --from DIRECTORY" in told


def test_two_fetches_at_once_are_refused(small):
    with downloads(cache_directory(), read_recipe(small.directory)):
        assert "another process is fetching" in complaint(Precondition, "fetch", "small-64", *ALL)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_where_the_recipe_cannot_be_written_the_bundle_goes_among_the_users_own(small, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    small.directory.chmod(0o555)
    done("fetch", "small-64", *ALL)
    assert load_bundle("small-64", tmp_path / "data" / "seamline" / "bundles")


def test_there_is_nothing_to_fetch_for_a_bundle_that_ships_its_networks(small):
    write_bundle(small.bundles / "tiny-64", name="tiny-64", resolution=64)
    assert "nothing to fetch" in complaint(InvalidInput, "fetch", "tiny-64", *ALL)
    assert "nobody" in complaint(NotFound, "fetch", "nobody", *ALL)


def test_a_format_that_is_unknown_is_named_before_anything_is_fetched(small, served):
    path = small.directory / "bundle.toml"
    path.write_text(path.read_text().replace("plain-clip", "fancy-clip"))
    assert "there is no format 'fancy-clip'" in complaint(InvalidInput, "fetch", "small-64", *ALL)
    assert served.asked == []


def test_a_packed_bundle_is_unpacked_elsewhere_and_is_the_same(small, tmp_path):
    done("fetch", "small-64", *ALL)
    done("pack", "small-64", "-o", tmp_path / "one.tar")
    done("pack", "small-64", "-o", tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    done("unpack", tmp_path / "one.tar", "--to", tmp_path / "there")
    done("unpack", tmp_path / "one.tar", "--to", tmp_path / "there")
    there, here = (load_bundle("small-64", place) for place in (tmp_path / "there", small.bundles))
    assert there.digest == here.digest
    assert left(there.directory) == left(here.directory)
    assert set(there.directions) == {"smile"}
