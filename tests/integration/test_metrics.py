"""The metrics service over a real socket, on artifacts in a real store."""

import json
from contextlib import asynccontextmanager

import grpc
import pytest
from seamline_metrics.config import MetricsConfig
from seamline_metrics.servicer import MetricsServicer

from seamline.client import Retry, call_stage, open_channel
from seamline.errors import DigestMismatch, InvalidInput, NotFound, Precondition
from seamline.rpc.server import started
from seamline.storage import open_store, read_object
from seamline.v1.media_pb2 import ArtifactRef, Progress
from seamline.v1.metrics_pb2 import ScoreRequest
from seamline.v1.metrics_pb2_grpc import MetricsServiceStub, add_MetricsServiceServicer_to_server
from tests.asynchronous import asynchronous
from tests.fakes.alignment import put_alignment
from tests.fakes.bundle import tiny_bundle
from tests.fakes.stitched import NAIVE, STITCHED, put_stitched

AT_ONCE = Retry(connect_seconds=10, repeats=0, patience_seconds=0)
EDITS = (("smile", -2.0), ("age", 1.0))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def store(tmp_path):
    return open_store((tmp_path / "store").as_uri())


@pytest.fixture
def alignment(store, bundle):
    return put_alignment(store, bundle)


@pytest.fixture
def stitched(store, alignment):
    return [put_stitched(store, alignment, frames, edits=EDITS) for frames in ((0, 8), (8, 10))]


@pytest.fixture
def score(tmp_path, store, bundle):
    """Calls a service that lives as long as the call."""

    @asynccontextmanager
    async def serving():
        config = MetricsConfig(
            host="127.0.0.1",
            port=0,
            metrics_port=0,
            drain_seconds=0,
            store=(tmp_path / "store").as_uri(),
            bundles_path=bundle.directory.parent,
        )

        def register(server: grpc.aio.Server) -> None:
            add_MetricsServiceServicer_to_server(MetricsServicer(config, store), server)

        async with started(config, register, "seamline.v1.MetricsService") as bound:
            yield f"127.0.0.1:{bound.grpc}"

    async def call(alignment, stitched, name="tiny-64"):
        request = ScoreRequest(alignment=alignment, stitched=stitched, bundle=name)
        async with serving() as endpoint, open_channel(endpoint) as channel:
            stub = MetricsServiceStub(channel)
            return [event async for event in call_stage(stub.Score, request, endpoint, retry=AT_ONCE)]

    return call


@asynchronous
async def test_scores_travel_whole(score, store, alignment, stitched):
    *progress, result = await score(alignment, stitched)
    assert {(event.stage, event.step) for event in progress} >= {("score", "measure"), ("score", "compare")}
    assert all(isinstance(event, Progress) for event in progress)
    assert result.seam_error.naive == pytest.approx(NAIVE / 255, abs=1e-3)
    assert result.seam_error.stitched == pytest.approx(STITCHED / 255, abs=1e-3)
    assert [effect.name for effect in result.edit_effects] == ["smile", "age"]
    assert {"measure", "compare"} <= set(result.timing.step_seconds)
    values = json.loads(read_object(store, result.scores))
    assert values["tl_id"] == pytest.approx(result.tl_id)
    assert values["tg_id"] == pytest.approx(result.tg_id)
    assert values["identity_similarity"] == pytest.approx(result.identity_similarity)
    assert values["frames"] == list(range(10))
    assert len(values["curves"]["tl_id"]) == len(values["curves"]["similarity"]) == 10
    assert values["bundle"] == "tiny-64"


@asynchronous
async def test_a_repeated_call_gives_the_same_scores(score, alignment, stitched):
    first, second = [(await score(alignment, stitched))[-1] for _ in range(2)]
    assert first.scores == second.scores
    assert first.tl_id == second.tl_id
    assert "measure" not in second.timing.step_seconds


@asynchronous
async def test_what_does_not_fit_is_refused(score, store, bundle, alignment, stitched):
    other = put_alignment(store, bundle, video="another")
    damaged = ArtifactRef(uri=stitched[0].uri, sha256="0" * 64)
    missing = ArtifactRef(uri=store.uri("artifacts/none/stitch/none/manifest"), sha256="0" * 64)
    for request, error in (
        ((alignment, stitched[:1]), InvalidInput),
        ((alignment, [*stitched, stitched[1]]), InvalidInput),
        ((alignment, []), InvalidInput),
        ((other, stitched), Precondition),
        ((alignment, [damaged, stitched[1]]), DigestMismatch),
        ((alignment, [missing]), NotFound),
        ((alignment, stitched, "no-such"), NotFound),
    ):
        with pytest.raises(error):
            await score(*request)
