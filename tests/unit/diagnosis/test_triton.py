"""What is found of a Triton server and its models."""

from collections.abc import Iterator

import pytest

from seamline.bundles import Bundle
from seamline.diagnosis.triton import NEEDED, NOT_ASKED, check_triton
from seamline.exporting.signatures import MODELS
from seamline.rpc.tls import Tls
from seamline.v1.diagnostics_pb2 import Check, CheckOutcome
from tests.fakes.bundle import NAME
from tests.fakes.few_networks import few_networks
from tests.fakes.triton_server import BundleServer, serving

OK, WARNING, FAULT = (
    CheckOutcome.CHECK_OUTCOME_OK,
    CheckOutcome.CHECK_OUTCOME_WARNING,
    CheckOutcome.CHECK_OUTCOME_FAULT,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    kinds = ("detector", "landmarks", "parsing", "perceptual", "latent_transformer")
    return few_networks(tmp_path_factory.mktemp("bundles"), kinds)


@pytest.fixture
def server(bundle: Bundle) -> Iterator[BundleServer]:
    with serving(bundle) as running:
        yield running


def checked(server: BundleServer, bundle: Bundle) -> Check:
    return check_triton(server.endpoint, Tls(), NAME, bundle.directory.parent)


def test_a_server_that_has_every_model(server: BundleServer, bundle: Bundle) -> None:
    server.missing = set(NOT_ASKED)
    found = checked(server, bundle)
    assert (found.outcome, found.subject) == (OK, "triton")
    assert "serves 4 models" in found.finding
    assert {*NEEDED, *NOT_ASKED} <= set(MODELS)


def test_a_model_that_few_edits_need_is_a_warning(server: BundleServer, bundle: Bundle) -> None:
    server.missing = {"latent_transformer"}
    found = checked(server, bundle)
    assert found.outcome == WARNING
    assert f"{NAME}.latent_transformer" in found.finding
    assert "seamline triton export" in found.remedy


def test_models_that_are_missing_are_named(server: BundleServer, bundle: Bundle) -> None:
    server.missing = {"landmarks", "parsing"}
    found = checked(server, bundle)
    assert found.outcome == FAULT
    assert f"{server.endpoint} has no model {NAME}.landmarks" in found.finding
    assert "as wrong: parsing" in found.finding
    assert "seamline triton export" in found.remedy


def test_models_of_another_bundle(server: BundleServer, bundle: Bundle) -> None:
    server.digest = "a" * 64
    found = checked(server, bundle)
    assert found.outcome == FAULT
    assert "a" * 12 in found.finding
    assert bundle.digest[:12] in found.finding


def test_a_server_that_is_down(server: BundleServer, bundle: Bundle) -> None:
    server.stop()
    found = checked(server, bundle)
    assert found.outcome == FAULT
    assert f"{server.endpoint} does not answer" in found.finding
    assert "SEAMLINE_TRITON" in found.remedy


def test_tls_without_authorities(bundle: Bundle) -> None:
    found = check_triton("grpcs://127.0.0.1:1", Tls(), NAME, bundle.directory.parent)
    assert found.outcome == FAULT
    assert "SEAMLINE_TLS_CA" in found.finding
