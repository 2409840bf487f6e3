"""Services whose networks run on a server: the one setting, and what callers see when the server is away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import grpc
import pytest
from seamline_metrics.config import MetricsConfig
from seamline_metrics.servicer import MetricsServicer

from seamline.bundles import Bundle
from seamline.client import call_stage, open_channel
from seamline.errors import ServiceUnavailable
from seamline.rpc import bundles
from seamline.rpc.server import started
from seamline.storage import open_store
from seamline.triton.server import TritonServer
from seamline.v1.metrics_pb2 import ScoreRequest, ScoreResult
from seamline.v1.metrics_pb2_grpc import MetricsServiceStub, add_MetricsServiceServicer_to_server
from tests.asynchronous import asynchronous
from tests.calling import AT_ONCE
from tests.fakes.alignment import put_alignment
from tests.fakes.bundle import tiny_bundle
from tests.fakes.stitched import put_stitched
from tests.fakes.triton_server import serving


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


@asynccontextmanager
async def metrics(folder: Path, bundle: Bundle, endpoint: str) -> AsyncIterator[str]:
    directory = bundle.directory.parent
    ports = {"host": "127.0.0.1", "port": 0, "metrics_port": 0, "drain_seconds": 0}
    config = MetricsConfig(**ports, store=folder.as_uri(), bundles_path=directory, triton=endpoint)

    def register(server: grpc.aio.Server) -> None:
        add_MetricsServiceServicer_to_server(MetricsServicer(config, open_store(config.store)), server)

    async with started(config, register, "seamline.v1.MetricsService") as bound:
        yield f"127.0.0.1:{bound.grpc}"


async def scored(endpoint: str, request: ScoreRequest) -> ScoreResult:
    async with open_channel(endpoint) as channel:
        events = call_stage(MetricsServiceStub(channel).Score, request, endpoint, retry=AT_ONCE)
        return [event async for event in events][-1]


def edited(folder: Path, bundle: Bundle) -> ScoreRequest:
    store = open_store(folder.as_uri())
    alignment = put_alignment(store, bundle)
    return ScoreRequest(alignment=alignment, stitched=[put_stitched(store, alignment, (0, 10))], bundle=bundle.name)


@asynchronous
async def test_a_service_has_its_networks_run_by_the_server(bundle: Bundle, tmp_path: Path) -> None:
    here, afar = tmp_path / "here", tmp_path / "afar"
    async with metrics(here, bundle, "") as service:
        wanted = await scored(service, edited(here, bundle))
    with serving(bundle) as server:
        async with metrics(afar, bundle, server.endpoint) as service:
            found = await scored(service, edited(afar, bundle))
    assert {name for name, _ in server.batches} == {"identity", "attributes", "landmarks"}
    for score in ("tl_id", "tg_id", "identity_similarity"):
        assert getattr(found, score) == pytest.approx(getattr(wanted, score), abs=1e-4)


@asynchronous
async def test_a_call_is_unavailable_while_the_server_is_and_goes_on_by_itself(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "TritonServer", partial(TritonServer, patience_seconds=0.2))
    request = edited(tmp_path, bundle)
    with serving(bundle) as server:
        async with metrics(tmp_path, bundle, server.endpoint) as service:
            server.stop()
            with pytest.raises(ServiceUnavailable) as raised:
                await scored(service, request)
            server.start()
            for attempt in range(20):  # its channel waits up to a second before it connects anew
                try:
                    result = await scored(service, request)
                    break
                except ServiceUnavailable:
                    assert attempt < 19
    assert raised.value.metadata["endpoint"] == server.endpoint
    assert raised.value.metadata["model"] == f"{bundle.name}.identity"
    assert result.tl_id > 0
