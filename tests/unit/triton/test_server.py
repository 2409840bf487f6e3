"""Networks that run on a server: the same numbers, and every way in which the server can fail."""

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import torch
from prometheus_client import REGISTRY

from seamline.bundles import Bundle, load_bundle, put_defaults
from seamline.errors import InvalidInput, Precondition, SeamlineError, ServiceUnavailable
from seamline.exporting.bundle import signature_of
from seamline.exporting.signatures import MODELS, draw
from seamline.networks.arcface import face_window
from seamline.rpc.tls import Tls
from seamline.triton import remote
from seamline.triton.server import TritonServer
from tests.certificates import Authority
from tests.fakes.bundle import NAME, tiny_bundle
from tests.fakes.triton_server import BundleServer, serving


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def server(bundle: Bundle) -> Iterator[BundleServer]:
    with serving(bundle) as running:
        yield running


def seen_from_afar(bundle: Bundle, server: BundleServer, **patience: float) -> Bundle:
    """The same bundle, with its networks on the server."""
    return over(bundle, TritonServer(server.endpoint, **{"patience_seconds": 20.0, **patience}))


def over(bundle: Bundle, triton: TritonServer) -> Bundle:
    return load_bundle(bundle.name, bundle.directory.parent, server=triton)


def sample(name: str, model: str) -> float:
    value = REGISTRY.get_sample_value(f"seamline_triton_{name}", {"model": model})
    assert value is not None  # every label set exists before anything happens
    return value


def crops(count: int, side: int = 64) -> torch.Tensor:
    return torch.rand((count, 3, side, side), generator=torch.Generator().manual_seed(count)) * 2 - 1


@pytest.mark.parametrize("name", MODELS)
def test_every_model_gives_what_it_gives_in_this_process(bundle: Bundle, server: BundleServer, name: str) -> None:
    afar, inputs = seen_from_afar(bundle, server), draw(signature_of(bundle, name), 3, 1)
    torch.testing.assert_close(afar.infer(name, *inputs), bundle.infer(name, *inputs), rtol=1e-5, atol=1e-5)
    assert sorted(server.batches) == [(name, 1), (name, 2)]  # of at most the server's largest batch


@pytest.mark.parametrize("name", ["landmarks", "attributes", "clip"])
def test_larger_crops_are_reduced_as_the_network_does(bundle: Bundle, server: BundleServer, name: str) -> None:
    images = crops(2, 96)
    found = seen_from_afar(bundle, server).infer(name, images)
    torch.testing.assert_close(found, bundle.infer(name, images), rtol=1e-5, atol=1e-5)


def test_the_networks_weights_are_not_read_here(bundle: Bundle, server: BundleServer, tmp_path: Path) -> None:
    bare = tiny_bundle(tmp_path)
    for file in bare.directory.glob("*.safetensors"):
        file.unlink()
    assert bare.digest == bundle.digest
    afar = seen_from_afar(bare, server)
    assert afar.infer("identity", face_window(crops(2, 256))).shape == (2, 16)


def test_rows_of_a_message_are_limited(bundle: Bundle, server: BundleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "LARGEST_MESSAGE", 2 * 3 * 64 * 64 * 4)
    images = crops(5)
    found = seen_from_afar(bundle, server).infer("parsing", images)
    torch.testing.assert_close(found, bundle.infer("parsing", images), rtol=1e-5, atol=1e-5)
    assert sorted(rows for _, rows in server.batches) == [1, 2, 2]


def test_an_empty_batch_asks_nothing(bundle: Bundle, server: BundleServer) -> None:
    assert seen_from_afar(bundle, server).infer("parsing", crops(0)).shape == (0, 1, 64, 64)
    assert server.batches == []


@pytest.mark.parametrize(
    ("name", "inputs", "said"),
    [
        ("e4e", [torch.zeros(1, 3, 32, 32)], "e4e's images: expected shape"),
        ("detector", [torch.zeros(1, 3, 64, 70)], "width must be a multiple of"),
        ("attributes", [torch.zeros(3, 64, 64)], "expected shape"),
        ("clip_text", [torch.zeros(1, 16)], "expected int64"),
        ("perceptual", [torch.zeros(2, 3, 64, 64), torch.zeros(1, 3, 64, 64)], "second has 1 rows"),
    ],
)
def test_wrong_input_is_not_sent(
    bundle: Bundle, server: BundleServer, name: str, inputs: list[torch.Tensor], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        seen_from_afar(bundle, server).infer(name, *inputs)
    assert server.batches == []


def test_a_network_that_the_bundle_has_not_is_named(bundle: Bundle, server: BundleServer) -> None:
    with pytest.raises(InvalidInput, match="has no wings"):
        seen_from_afar(bundle, server).frozen("wings")


def test_another_bundle_on_the_server_is_named_with_ours(bundle: Bundle, server: BundleServer, tmp_path: Path) -> None:
    changed = tiny_bundle(tmp_path)
    put_defaults(changed.directory, "invert", {"max_passes": 1})
    changed = load_bundle(NAME, tmp_path)
    with pytest.raises(Precondition) as raised:
        seen_from_afar(changed, server).infer("e4e", crops(1))
    assert bundle.digest[:12] in str(raised.value)
    assert changed.digest[:12] in str(raised.value)
    assert raised.value.metadata["endpoint"] == server.endpoint
    assert server.batches == []


def test_a_model_that_the_server_has_not_is_to_be_exported(bundle: Bundle, server: BundleServer) -> None:
    server.missing.add("e4e")
    with pytest.raises(Precondition, match=rf"has no model {NAME}\.e4e .*run seamline triton export {NAME}"):
        seen_from_afar(bundle, server).infer("e4e", crops(1))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda output: output[:, :-1], r"answered float32 \(2, 9, 16\) where .* \(2, 10, 16\)"),
        (lambda output: output[:1], r"answered float32 \(1, 10, 16\)"),
        (lambda output: output.astype(np.float64), "answered float64"),
        (lambda output: output * np.array([[[1]], [[np.nan]]], np.float32), "not finite, first in row 1 of 2"),
        (lambda output: np.full_like(output, np.inf), "not finite, first in row 0 of 2"),
    ],
)
def test_an_answer_that_cannot_be_the_networks_is_refused(bundle: Bundle, server: BundleServer, spoil, said) -> None:
    server.spoil = spoil
    with pytest.raises(Precondition, match=said) as raised:
        seen_from_afar(bundle, server).infer("e4e", crops(2))
    assert raised.value.metadata == {"endpoint": server.endpoint, "model": f"{NAME}.e4e"}


def test_what_the_server_cannot_compute_is_told(bundle: Bundle, server: BundleServer) -> None:
    server.fail = [grpc.StatusCode.INTERNAL]
    with pytest.raises(SeamlineError, match=rf"failed on model {NAME}\.e4e \(asked to fail\)") as raised:
        seen_from_afar(bundle, server).infer("e4e", crops(1))
    assert type(raised.value) is SeamlineError


def test_a_model_whose_process_has_ended_may_live_elsewhere(bundle: Bundle, server: BundleServer) -> None:
    server.fail, server.says = [grpc.StatusCode.INTERNAL], "Stub process 'tiny-64.e4e_0_0' is not healthy."
    with pytest.raises(ServiceUnavailable, match=r"lost the process of model .*restart the server"):
        seen_from_afar(bundle, server).infer("e4e", crops(1))


def test_a_server_that_is_down_is_named_and_found_again(bundle: Bundle, server: BundleServer) -> None:
    afar, images = seen_from_afar(bundle, server, patience_seconds=0.0), crops(1)
    wanted = seen_from_afar(bundle, server).infer("e4e", images)
    server.stop()
    with pytest.raises(ServiceUnavailable, match=rf"Triton at {server.endpoint} does not answer for model {NAME}\.e4e"):
        afar.infer("e4e", images)
    server.start()
    patient = seen_from_afar(bundle, server)
    assert torch.equal(patient.infer("e4e", images), wanted)
    _eventually(lambda: afar.infer("e4e", images), wanted)  # with its old channel, which is in backoff


def test_a_server_that_ends_at_work_is_asked_again(bundle: Bundle, server: BundleServer) -> None:
    afar, images = seen_from_afar(bundle, server), crops(1)
    wanted, before = bundle.infer("e4e", images), sample("retries_total", "e4e")
    server.open.clear()
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(afar.infer, "e4e", images)
        assert server.asked.wait(30)
        server.stop()
        server.digest = "0" * 64
        server.start()
        with pytest.raises(Precondition, match="000000000000"):  # which bundle it has is looked up again
            answer.result(30)
        server.digest = bundle.digest
        torch.testing.assert_close(threads.submit(afar.infer, "e4e", images).result(30), wanted)
    assert sample("retries_total", "e4e") > before


def test_refusals_that_pass_are_repeated_within_limits(bundle: Bundle, server: BundleServer) -> None:
    images, count = crops(1), sample("request_duration_seconds_count", "e4e")
    server.fail = [grpc.StatusCode.UNAVAILABLE] * 2
    seen_from_afar(bundle, server).infer("e4e", images)
    assert sample("request_duration_seconds_count", "e4e") == count + 1  # repeats included
    server.fail = [grpc.StatusCode.UNAVAILABLE] * 100
    start = time.monotonic()
    with pytest.raises(ServiceUnavailable):
        seen_from_afar(bundle, server, patience_seconds=0.5).infer("e4e", images)
    assert time.monotonic() - start < 20


def test_a_slow_server_is_given_up(bundle: Bundle, server: BundleServer) -> None:
    afar, images = seen_from_afar(bundle, server, answer_seconds=0.5), crops(1)
    server.open.clear()
    with pytest.raises(ServiceUnavailable, match=r"did not answer for model tiny-64\.e4e in time"):
        afar.infer("e4e", images)
    server.open.set()
    _eventually(lambda: afar.infer("e4e", images), seen_from_afar(bundle, server).infer("e4e", images))


def test_calls_can_be_encrypted_and_show_a_certificate(bundle: Bundle, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    ours, theirs = authority.issue("service"), authority.issue("triton")
    tls = Tls(certificate=str(theirs.certificate), key=str(theirs.key), client_ca=str(authority.certificate))
    with serving(bundle, tls.server_credentials()) as server:
        known = Tls(ca=str(authority.certificate), certificate=str(ours.certificate), key=str(ours.key))
        images = crops(1)
        found = over(bundle, TritonServer(f"grpcs://{server.endpoint}", known)).infer("e4e", images)
        torch.testing.assert_close(found, bundle.infer("e4e", images), rtol=1e-5, atol=1e-5)
        for stranger in (Tls(ca=str(authority.certificate)), Tls(ca=str(Authority(tmp_path, "other").certificate))):
            asked = TritonServer(f"grpcs://{server.endpoint}", stranger, patience_seconds=0.0)
            with pytest.raises(ServiceUnavailable):
                over(bundle, asked).infer("e4e", images)


def test_encryption_needs_to_know_whom_to_trust() -> None:
    with pytest.raises(InvalidInput, match="set SEAMLINE_TLS_CA"):
        TritonServer("grpcs://triton:8001")


def test_without_its_package_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tritonclient.grpc", None)
    with pytest.raises(Precondition, match=r"pip install 'seamline\[triton\]'"):
        TritonServer("triton:8001")


def test_threads_share_a_server(bundle: Bundle, server: BundleServer) -> None:
    afar = seen_from_afar(bundle, server)
    batches = [crops(count) for count in range(1, 9)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda images: afar.infer("e4e", images), batches))
    for images, codes in zip(batches, found, strict=True):
        torch.testing.assert_close(codes, bundle.infer("e4e", images), rtol=1e-5, atol=1e-5)


def test_what_is_computed_afar_can_be_learned_from(bundle: Bundle, server: BundleServer) -> None:
    weight = torch.ones(16, requires_grad=True)
    (seen_from_afar(bundle, server).infer("e4e", crops(1)) * weight).sum().backward()
    assert weight.grad is not None


def test_a_bundle_with_a_server_is_another_than_one_without(bundle: Bundle, server: BundleServer) -> None:
    triton = TritonServer(server.endpoint)
    afar = load_bundle(NAME, bundle.directory.parent, server=triton)
    assert afar is load_bundle(NAME, bundle.directory.parent, server=triton)
    assert afar is not load_bundle(NAME, bundle.directory.parent)


def _eventually(call, wanted: torch.Tensor) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            assert torch.equal(call(), wanted)
            return
        except ServiceUnavailable:
            assert time.monotonic() < deadline
            threading.Event().wait(0.05)
