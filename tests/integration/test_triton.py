"""A real Triton runs the networks of the bundle that is shipped: the same results, and a way through its end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import grpc
import numpy as np
import pytest
import torch
from seamline_aligner.config import AlignerConfig
from seamline_aligner.servicer import AlignerServicer
from seamline_metrics.config import MetricsConfig
from seamline_metrics.servicer import MetricsServicer

from seamline.alignment import Alignment, TrackGeometry
from seamline.bundles import load_bundle
from seamline.client import call_stage, open_channel
from seamline.errors import Precondition, ServiceUnavailable
from seamline.exporting.bundle import signature_of
from seamline.exporting.signatures import draw
from seamline.rpc import bundles
from seamline.rpc.server import started
from seamline.rpc.tls import Tls
from seamline.storage import open_store, put_object
from seamline.triton.server import TritonServer
from seamline.v1.aligner_pb2 import AlignRequest, AlignResult
from seamline.v1.aligner_pb2_grpc import AlignerServiceStub, add_AlignerServiceServicer_to_server
from seamline.v1.media_pb2 import ArtifactRef, Progress
from seamline.v1.metrics_pb2 import ScoreRequest, ScoreResult
from seamline.v1.metrics_pb2_grpc import MetricsServiceStub, add_MetricsServiceServicer_to_server
from tests.asynchronous import asynchronous
from tests.calling import AT_ONCE
from tests.certificates import Authority
from tests.e2e.clips import cut
from tests.fakes.stitched import put_stitched
from tests.integration.triton import MODELS, Triton, is_healthy, python_repository, running_triton

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

FRAMES = 6
TOLERANCE = 1e-4
"""What an answer may differ by, in shares of its largest number."""


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    folder = tmp_path_factory.mktemp("triton")
    repository = python_repository(folder / "models")
    with running_triton(repository, folder / "log", options=["--grpc-max-connection-age=2000"]) as running:
        yield running


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cut(tmp_path_factory.mktemp("clip") / "clip.mp4", FRAMES)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_gives_what_it_gives_in_this_process(triton: Triton, name: str) -> None:
    here = load_bundle()
    afar = load_bundle(server=TritonServer(triton.endpoint))
    inputs = draw(signature_of(here, name), 9 if name == "parsing" else 33, 1)  # of more rows than a request has
    wanted, found = here.infer(name, *inputs), afar.infer(name, *inputs)
    assert (found - wanted).abs().max() <= TOLERANCE * wanted.abs().max()


def test_a_model_that_is_not_served_is_named(triton: Triton) -> None:
    assert is_healthy(triton)
    afar = load_bundle(server=TritonServer(triton.endpoint))
    with pytest.raises(Precondition, match=r"has no model avatar-256\.perceptual .*seamline triton export avatar-256"):
        afar.infer("perceptual", torch.zeros(1, 3, 256, 256), torch.zeros(1, 3, 256, 256))


def test_it_may_ask_for_certificates(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    theirs, ours = authority.issue("triton"), authority.issue("service")
    options = [
        "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={theirs.certificate}",
        f"--grpc-server-key={theirs.key}",
        f"--grpc-root-cert={authority.certificate}",
    ]
    repository = python_repository(tmp_path / "models", models=["identity"])
    known = Tls(ca=str(authority.certificate), certificate=str(ours.certificate), key=str(ours.key))
    with running_triton(repository, tmp_path / "log", options=options) as triton:
        faces = torch.zeros(1, 3, 112, 112)
        afar = load_bundle(server=TritonServer(f"grpcs://{triton.endpoint}", known))
        torch.testing.assert_close(afar.infer("identity", faces), load_bundle().infer("identity", faces))
        for endpoint, tls in ((f"grpcs://{triton.endpoint}", Tls(ca=known.ca)), (triton.endpoint, Tls())):
            refused = load_bundle(server=TritonServer(endpoint, tls, patience_seconds=0.0))
            with pytest.raises(ServiceUnavailable):
                refused.infer("identity", faces)


@asynchronous
async def test_a_video_is_aligned_and_scored_as_without_it(triton: Triton, clip: Path, tmp_path: Path) -> None:
    here = await _aligned_and_scored(tmp_path / "here", clip, "")
    afar = await _aligned_and_scored(tmp_path / "afar", clip, triton.endpoint)
    assert [track.visible_frames for track in afar[0].tracks] == [track.visible_frames for track in here[0].tracks]
    assert afar[0].tracks[0].visible_frames == FRAMES
    for score in ("tl_id", "tg_id", "identity_similarity"):
        assert getattr(afar[1], score) == pytest.approx(getattr(here[1], score), abs=TOLERANCE)
    geometry = [_geometry(tmp_path / name, result) for name, (result, _) in (("here", here), ("afar", afar))]
    for name in ("quads", "landmarks"):
        wanted, found = (getattr(each, name) for each in geometry)
        assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()


def test_it_may_be_killed_at_work_and_come_back(
    triton: Triton, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "TritonServer", partial(TritonServer, patience_seconds=2.0))
    undisturbed = asyncio.run(_aligned(tmp_path / "undisturbed", clip, triton.endpoint))
    error, result = asyncio.run(_aligned_around_a_kill(tmp_path / "disturbed", clip, triton))
    assert isinstance(error, ServiceUnavailable)
    assert triton.endpoint in str(error)
    assert error.metadata["model"] in ("avatar-256.detector", "avatar-256.landmarks")
    assert result.alignment.sha256 == undisturbed.alignment.sha256


async def _aligned_around_a_kill(folder: Path, clip: Path, triton: Triton) -> tuple[Exception | None, AlignResult]:
    """What a call raised during which the server was killed, and the result of the next after it was started again."""
    request = AlignRequest(video=_put(folder, clip))
    async with aligner(folder, triton.endpoint) as stub:
        raised = None
        try:
            async for event in call_stage(stub.Align, request, "aligner", retry=AT_ONCE):
                if isinstance(event, Progress) and event.step == "observe":
                    triton.kill()
        except ServiceUnavailable as error:
            raised = error
        await asyncio.to_thread(triton.restart)
        *_, result = [event async for event in call_stage(stub.Align, request, "aligner", retry=AT_ONCE)]
    return raised, result


async def _aligned_and_scored(folder: Path, clip: Path, endpoint: str) -> tuple[AlignResult, ScoreResult]:
    result = await _aligned(folder, clip, endpoint)
    stitched = put_stitched(open_store(folder.as_uri()), result.alignment, (0, FRAMES))
    config = MetricsConfig(host="127.0.0.1", port=0, metrics_port=0, store=folder.as_uri(), triton=endpoint)

    def register(server: grpc.aio.Server) -> None:
        add_MetricsServiceServicer_to_server(MetricsServicer(config, open_store(config.store)), server)

    async with (
        started(config, register, "seamline.v1.MetricsService") as bound,
        open_channel(f"127.0.0.1:{bound.grpc}") as channel,
    ):
        request = ScoreRequest(alignment=result.alignment, stitched=[stitched])
        events = call_stage(MetricsServiceStub(channel).Score, request, "metrics", retry=AT_ONCE)
        *_, scores = [event async for event in events]
    return result, scores


async def _aligned(folder: Path, clip: Path, endpoint: str) -> AlignResult:
    request = AlignRequest(video=_put(folder, clip))
    async with aligner(folder, endpoint) as stub:
        *_, result = [event async for event in call_stage(stub.Align, request, "aligner", retry=AT_ONCE)]
    return result


@asynccontextmanager
async def aligner(folder: Path, endpoint: str) -> AsyncIterator[AlignerServiceStub]:
    config = AlignerConfig(host="127.0.0.1", port=0, metrics_port=0, store=folder.as_uri(), triton=endpoint)

    def register(server: grpc.aio.Server) -> None:
        add_AlignerServiceServicer_to_server(AlignerServicer(config, open_store(config.store)), server)

    async with (
        started(config, register, "seamline.v1.AlignerService") as bound,
        open_channel(f"127.0.0.1:{bound.grpc}") as channel,
    ):
        yield AlignerServiceStub(channel)


def _put(folder: Path, clip: Path) -> ArtifactRef:
    return put_object(open_store(folder.as_uri()), "videos/clip.mp4", clip)


def _geometry(folder: Path, result: AlignResult) -> TrackGeometry:
    return Alignment.open(open_store(folder.as_uri()), result.alignment).geometry(0)
