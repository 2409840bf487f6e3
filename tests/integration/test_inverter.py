"""The inverter over its socket."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from seamline_inverter import checkpoint
from seamline_inverter.config import InverterConfig
from seamline_inverter.servicer import InverterServicer

from seamline.bundles import Bundle
from seamline.client import call_stage, open_channel
from seamline.errors import DigestMismatch, InvalidInput, NotFound
from seamline.inversion import Inversion
from seamline.rpc.server import started
from seamline.storage import Store, open_store
from seamline.v1.inverter_pb2 import InvertOptions, InvertRequest, InvertResult
from seamline.v1.inverter_pb2_grpc import InverterServiceStub, add_InverterServiceServicer_to_server
from seamline.v1.media_pb2 import ArtifactRef, Progress
from tests.asynchronous import asynchronous
from tests.calling import AT_ONCE
from tests.fakes.alignment import put_alignment
from tests.fakes.bundle import NAME, tiny_bundle

SERVICE = "seamline.v1.InverterService"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(Path(tmp_path_factory.mktemp("bundles")))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}")


@asynccontextmanager
async def serving(store: Store, bundle: Bundle) -> AsyncIterator[InverterServiceStub]:
    url = store.uri("x").removesuffix("/x")
    bundles = bundle.directory.parent
    config = InverterConfig(host="127.0.0.1", port=0, metrics_port=0, store=url, bundles_path=bundles)

    def register(server: grpc.aio.Server) -> None:
        add_InverterServiceServicer_to_server(InverterServicer(config, open_store(config.store)), server)

    async with (
        started(config, register, SERVICE) as ports,
        open_channel(f"127.0.0.1:{ports.grpc}") as channel,
    ):
        yield InverterServiceStub(channel)


def request(alignment: ArtifactRef, **options: Any) -> InvertRequest:
    return InvertRequest(alignment=alignment, bundle=NAME, options=InvertOptions(**options))


async def call(stub: InverterServiceStub, message: InvertRequest) -> list[Progress | InvertResult]:
    return [event async for event in call_stage(stub.Invert, message, "inverter:1", retry=AT_ONCE)]


@asynchronous
async def test_inverts_and_tells_of_its_progress(store: Store, bundle: Bundle) -> None:
    alignment = put_alignment(store, bundle)
    async with serving(store, bundle) as stub:
        *progress, result = await call(stub, request(alignment, max_passes=3))
        *_, again = await call(stub, request(alignment, max_passes=3))
    assert Inversion.open(store, result.inversion).alignment_sha256 == alignment.sha256
    assert result.passes == 3
    assert result.psnr_db > result.pivot_psnr_db
    assert {"encode", "pti"} <= result.timing.step_seconds.keys()
    steps = [message for message in progress if message.step == "pti"]
    assert (steps[-1].done, steps[-1].total) == (30, 30)
    assert steps[-1].figures["psnr_db"] == pytest.approx(result.psnr_db)
    assert again.inversion == result.inversion
    assert not again.timing.step_seconds


@asynchronous
async def test_a_call_that_was_given_up_goes_on_when_repeated(
    store: Store, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)
    message = request(put_alignment(store, bundle), max_passes=10)
    async with serving(store, bundle) as stub:
        async with aclosing(call_stage(stub.Invert, message, "inverter:1", retry=AT_ONCE)) as events:
            async for event in events:
                if event.step == "pti" and event.done > 30:
                    break
        patient = call_stage(stub.Invert, message, "inverter:1")  # the thread stops within one step
        *progress, result = [event async for event in patient]
    first = next(event for event in progress if event.step == "pti" and event.done)
    assert first.done >= 20  # not from the start
    assert result.passes == 10


@asynchronous
async def test_says_what_is_wrong_with_a_request(store: Store, bundle: Bundle) -> None:
    alignment = put_alignment(store, bundle)
    async with serving(store, bundle) as stub:
        with pytest.raises(InvalidInput, match="learning_rate") as caught:
            await call(stub, request(alignment, learning_rate=-1.0))
        assert caught.value.field == "options.learning_rate"
        with pytest.raises(NotFound, match="tiny-64"):
            await call(stub, InvertRequest(alignment=alignment, bundle="nobody"))
        with pytest.raises(DigestMismatch):
            await call(stub, request(ArtifactRef(uri=alignment.uri, sha256="0" * 64)))
        with pytest.raises(InvalidInput, match="names no alignment"):
            await call(stub, InvertRequest(bundle=NAME))
