"""What is found in bundles that are there, missing, and damaged."""

import shutil

import pytest

from seamline.diagnosis.bundle import bundle_digest, check_bundle
from seamline.v1.diagnostics_pb2 import CheckOutcome
from tests.fakes.bundle import NAME
from tests.fakes.few_networks import few_networks

OK, FAULT = CheckOutcome.CHECK_OUTCOME_OK, CheckOutcome.CHECK_OUTCOME_FAULT


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bundles")
    few_networks(directory, ("parsing", "landmarks", "detector"))
    return directory


@pytest.fixture
def bundles(whole, tmp_path):
    """One to damage."""
    return shutil.copytree(whole, tmp_path / "bundles")


def test_a_whole_bundle(bundles):
    found = check_bundle(NAME, bundles)
    assert found.outcome == OK
    assert bundle_digest(NAME, bundles)[:12] in found.finding


def test_a_bundle_that_is_not_there_is_named_with_those_that_are(bundles):
    found = check_bundle("nope", bundles)
    assert (found.outcome, bundle_digest("nope", bundles)) == (FAULT, "")
    assert "no bundle 'nope'" in found.finding
    assert NAME in found.finding
    assert "SEAMLINE_BUNDLES" in found.remedy


def test_no_name_is_the_default(bundles):
    assert "avatar-256" in check_bundle("", bundles).finding


def test_a_flipped_bit_is_found(bundles):
    path = bundles / NAME / "parsing.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    found = check_bundle(NAME, bundles)
    assert (found.outcome, bool(found.remedy)) == (FAULT, True)
    assert str(path) in found.finding


def test_every_file_that_is_missing_or_cut_is_named(bundles):
    (bundles / NAME / "detector.safetensors").unlink()
    (bundles / NAME / "landmarks.safetensors").write_bytes(b"cut")
    found = check_bundle(NAME, bundles)
    assert found.outcome == FAULT
    assert "detector.safetensors: is missing" in found.finding
    assert "landmarks.safetensors: has 3 bytes" in found.finding


def test_a_manifest_that_cannot_be_read(bundles):
    (bundles / NAME / "bundle.toml").write_text("name =")
    found = check_bundle(NAME, bundles)
    assert found.outcome == FAULT
    assert "bundle.toml" in found.finding
