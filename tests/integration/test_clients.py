"""Clients of the editor over real sockets: tokens over TLS, rights, quotas, and what each is told."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import REGISTRY
from seamline_editor.config import EditorConfig
from seamline_editor.servicer import EditorServicer

from seamline.bundles import load_bundle
from seamline.client import Client, Retry, open_channel
from seamline.errors import Forbidden, InvalidInput, QuotaExceeded, Unauthenticated
from seamline.rpc.errors import retry_seconds
from seamline.rpc.server import started
from seamline.rpc.tls import Tls
from seamline.storage import open_store, put_object
from seamline.v1.diagnostics_pb2 import DiagnoseRequest
from seamline.v1.diagnostics_pb2_grpc import DiagnosticsServiceStub
from seamline.v1.editor_pb2 import EditVideoResult, ListEditsRequest
from seamline.v1.editor_pb2_grpc import EditorServiceStub, add_EditorServiceServicer_to_server
from seamline.v1.media_pb2 import ArtifactRef
from tests.asynchronous import asynchronous
from tests.calling import SERVING, health_of
from tests.certificates import Authority
from tests.fakes.alignment import HEIGHT, WIDTH, put_alignment
from tests.fakes.bundle import tiny_bundle
from tests.fakes.stages import Stages, served
from tests.unit.video.films import film

SERVICE = "seamline.v1.EditorService"
AT_ONCE = Retry(connect_seconds=10, repeats=0, patience_seconds=0)
SMILE = {"smile": 2.0}


def entry(name: str, more: str = "") -> str:
    """A client whose token is its name and "-token"."""
    return f'[clients.{name}]\ntokens = ["{hashlib.sha256(f"{name}-token".encode()).hexdigest()}"]\n{more}\n'


class World(NamedTuple):
    """An editor that listens, and what its stages and its callers share."""

    endpoint: str
    stages: Stages
    video: ArtifactRef
    tls: Tls

    def client(self, name: str = "shop", retry: Retry = AT_ONCE) -> Client:
        return Client(self.endpoint, tls=self.tls, token=f"{name}-token", retry=retry)

    async def edit(self, client: Client, edits: Any = SMILE) -> Any:
        return [event async for event in client.edit_video(self.video, edits, bundle="tiny-64")][-1]

    def channel(self, token: str = "") -> grpc.aio.Channel:
        return open_channel(self.endpoint, tls=self.tls, token=token)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("bundles")
    tiny_bundle(directory)
    return directory


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return film(tmp_path_factory.mktemp("clip") / "clip.mp4", count=10, size=(WIDTH, HEIGHT), sound="aac")


@pytest.fixture
def clients(tmp_path: Path) -> Path:
    return tmp_path / "clients.toml"


@pytest.fixture
def world(tmp_path: Path, bundles: Path, clip: Path, clients: Path):
    """Makes a World; `async with world(entry("shop")) as w`."""
    store = open_store((tmp_path / "store").as_uri())
    video = put_object(store, "videos/clip/source.mp4", clip)

    @asynccontextmanager
    async def make(text: str, **settings: object) -> AsyncIterator[World]:
        clients.write_text(text)
        async with AsyncExitStack() as stack:
            stages = Stages(store, put_alignment(store, load_bundle("tiny-64", bundles)))
            endpoint = await stack.enter_async_context(served(stages, **settings.pop("of_stages", {})))
            tls = settings.pop("caller", Tls())
            bound = await stack.enter_async_context(editor(tmp_path / "store", bundles, clients, endpoint, **settings))
            yield World(f"127.0.0.1:{bound.grpc}", stages, video, tls)

    return make


def editor(directory: Path, bundles: Path, clients: Path, stages: str, **settings: object):
    given = {
        "host": "127.0.0.1",
        "port": 0,
        "metrics_port": 0,
        "drain_seconds": 0,
        "store": directory.as_uri(),
        "bundles_path": bundles,
        "clients": str(clients),
        **dict.fromkeys(("aligner", "inverter", "stitcher", "metrics"), stages),
        **settings,
    }
    config = EditorConfig(**given)

    def register(server: grpc.aio.Server) -> None:
        add_EditorServiceServicer_to_server(EditorServicer(config, open_store(config.store)), server)

    return started(config, register, SERVICE)


@asynchronous
async def test_a_client_with_its_token_edits_over_tls_and_the_log_names_it(
    world, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path / "authority")
    issued = authority.issue()
    shown = {"tls_certificate": str(issued.certificate), "tls_key": str(issued.key)}
    caplog.set_level(logging.DEBUG, "seamline")
    async with world(entry("shop"), **shown, caller=Tls(ca=str(authority.certificate))) as w:
        async with w.client() as client:
            assert isinstance(await w.edit(client), EditVideoResult)
        async with w.client("stranger") as client:
            with pytest.raises(Unauthenticated, match="nobody has this token"):
                await w.edit(client)
    calls = [vars(record) for record in caplog.records if getattr(record, "method", "").endswith("EditVideo")]
    assert [(call["code"], call.get("client")) for call in calls] == [("OK", "shop"), ("UNAUTHENTICATED", None)]
    assert not [record for record in caplog.records if "-token" in str(vars(record))]


@asynchronous
async def test_nothing_but_health_is_told_without_a_token(world) -> None:
    async with world(entry("shop")) as w:
        assert await health_of(w.endpoint) == SERVING
        assert await health_of(w.endpoint, SERVICE) == SERVING
        async with w.channel() as channel:
            editing: Any = EditorServiceStub(channel)
            asked = [
                editing.ListEdits(ListEditsRequest()),
                DiagnosticsServiceStub(channel).Diagnose(DiagnoseRequest()),  # pyright: ignore[reportArgumentType]
            ]
            for call in asked:
                with pytest.raises(grpc.aio.AioRpcError, match="has no token") as caught:
                    await call
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
            call = reflection.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
            with pytest.raises(grpc.aio.AioRpcError, match="has no token"):
                await call.read()
        assert w.stages.calls == []


@asynchronous
async def test_rights_are_per_client(world) -> None:
    async with world(entry("shop") + entry("operator", 'may = ["diagnose"]')) as w:
        async with w.client() as client:
            assert (await client.list_edits("tiny-64")).bundle == "tiny-64"
            with pytest.raises(Forbidden, match="client shop may not erase"):
                await client.erase(w.video)
        assert open_store(w.video.uri.partition("/videos/")[0]).exists("videos/clip/source.mp4")
        async with w.channel("operator-token") as channel:
            response = await DiagnosticsServiceStub(channel).Diagnose(DiagnoseRequest(alone=True))  # pyright: ignore
            assert response.services


@asynchronous
async def test_calls_at_a_time_are_counted_until_they_end_in_whatever_way(world) -> None:
    async with world(entry("shop", "concurrent_calls = 1") + entry("lab")) as w, w.client() as client:
        w.stages.hold = "invert"
        first = asyncio.ensure_future(w.edit(client))
        await w.stages.held.wait()
        with pytest.raises(QuotaExceeded, match="client shop may have 1 calls at a time") as caught:
            await w.edit(client)
        assert caught.value.retry_seconds == 5.0
        async with w.client("lab") as other:
            assert (await other.list_edits("tiny-64")).edits  # what one uses is nothing to another
        w.stages.hold = ""
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        while w.stages.cancelled < 1:
            await asyncio.sleep(0.01)
        for _ in range(2):
            assert isinstance(await w.edit(client), EditVideoResult)


@asynchronous
async def test_a_used_up_quota_says_when_to_come_back_and_no_caller_sleeps_an_hour(world) -> None:
    async with world(entry("shop", "calls_per_hour = 2")) as w, w.channel("shop-token") as channel:
        for _ in range(2):
            async with w.client() as client:
                await client.list_edits("tiny-64")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await EditorServiceStub(channel).ListEdits(ListEditsRequest())  # pyright: ignore[reportGeneralTypeIssues]
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert 3500 < (retry_seconds(caught.value) or 0) <= 3600
        async with w.client(retry=Retry(patience_seconds=600)) as patient:
            with pytest.raises(QuotaExceeded, match=r"2 calls an hour: again in 3\d\d\d s"):
                await w.edit(patient)


@asynchronous
async def test_minutes_of_video_are_counted_once_for_each_work(world) -> None:
    async with world(entry("shop", "video_minutes_per_day = 0.02")) as w, w.client() as client:
        w.stages.duration_seconds = 1.0
        for _ in range(2):
            assert isinstance(await w.edit(client), EditVideoResult)
        with pytest.raises(QuotaExceeded, match=r"0\.02 minutes of video a day"):
            await w.edit(client, {"smile": 1.0})
        assert [stage for stage, _ in w.stages.calls][-1] == "align"  # nothing came after it


@asynchronous
async def test_a_token_that_is_taken_out_is_refused_without_a_restart(world, clients: Path) -> None:
    async with world(entry("shop")) as w, w.client() as client:
        await client.list_edits("tiny-64")
        clients.write_text(entry("lab"))
        with pytest.raises(Unauthenticated):
            await client.list_edits("tiny-64")


@asynchronous
async def test_the_editor_calls_stages_that_ask_for_its_certificate_and_takes_up_a_renewed_one(
    world, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "authority")
    stage, own = authority.issue("stage"), authority.issue("own", "backend.example", "127.0.0.1")
    of_stages = {
        "tls_certificate": str(stage.certificate),
        "tls_key": str(stage.key),
        "tls_client_ca": str(authority.certificate),
        "tls_client_names": "editor.example",
    }
    of_editor = {
        "tls_certificate": str(own.certificate),
        "tls_key": str(own.key),
        "tls_ca": str(authority.certificate),
        "caller": Tls(ca=str(authority.certificate)),
    }

    def retries() -> float:
        labels = {"stage": "align", "reason": "unavailable"}
        return REGISTRY.get_sample_value("seamline_stage_retries_total", labels) or 0.0

    before = retries()
    async with world(entry("shop"), of_stages=of_stages, **of_editor) as w, w.client() as client:
        edit = asyncio.ensure_future(w.edit(client))
        while retries() == before:
            await asyncio.sleep(0.01)
        assert not w.stages.calls
        authority.issue("own", "editor.example", "127.0.0.1")
        assert isinstance(await edit, EditVideoResult)
        assert len({stage for stage, _ in w.stages.calls}) == 4


@asynchronous
async def test_an_editor_does_not_start_where_tokens_would_be_read_on_the_way(
    tmp_path: Path, bundles: Path, clients: Path
) -> None:
    clients.write_text(entry("shop"))
    with pytest.raises(InvalidInput, match=r"tokens to 0\.0\.0\.0:0 unencrypted: set SEAMLINE_TLS_CERTIFICATE"):
        async with editor(tmp_path, bundles, clients, "127.0.0.1:1", host="0.0.0.0"):
            pytest.fail("it started")
    with pytest.raises(InvalidInput, match=r"SEAMLINE_CLIENTS .*gone.* cannot be read"):
        async with editor(tmp_path, bundles, clients / "gone", "127.0.0.1:1"):
            pytest.fail("it started")
    async with editor(tmp_path, bundles, clients, "127.0.0.1:1", host="0.0.0.0", plaintext_tokens=True) as bound:
        assert await health_of(f"127.0.0.1:{bound.grpc}") == SERVING
