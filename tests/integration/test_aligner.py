"""The aligner over its socket, with dlib on a rendered head."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from seamline_aligner.config import AlignerConfig
from seamline_aligner.servicer import AlignerServicer

from seamline import errors
from seamline.client import call_stage, open_channel
from seamline.rpc.server import started
from seamline.storage import Artifact, Store, decode_frames, encode_frames, open_store, put_object
from seamline.v1.aligner_pb2 import LANDMARK_BACKEND_DLIB, AlignOptions, AlignRequest, AlignResult
from seamline.v1.aligner_pb2_grpc import AlignerServiceStub, add_AlignerServiceServicer_to_server
from seamline.v1.media_pb2 import ArtifactRef, Progress
from tests.asynchronous import asynchronous
from tests.calling import AT_ONCE
from tests.fakes.bundle import NAME, tiny_bundle

DATA = Path(__file__).parent / "data"
SERVICE = "seamline.v1.AlignerService"
WITHOUT_FACE = range(12, 15)
LENGTH = 20


@dataclass
class Ready:
    """A store with a video and the service's bundles."""

    url: str
    bundles: Path
    store: Store
    video: ArtifactRef

    def request(self, video: ArtifactRef | None = None, bundle: str = NAME, **options: object) -> AlignRequest:
        """A request to align with dlib."""
        given = AlignOptions(**{"landmarks": LANDMARK_BACKEND_DLIB, **options})  # type: ignore[arg-type]
        return AlignRequest(video=video or self.video, bundle=bundle, options=given)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    folder = tmp_path_factory.mktemp("aligner")
    tiny_bundle(folder / "bundles")
    store = open_store(f"file://{folder}/store")
    video = put_object(store, "videos/head.mkv", encode_frames(moving_head()))
    return Ready(f"file://{folder}/store", folder / "bundles", store, video)


def moving_head() -> NDArray[np.uint8]:
    """A rendered head that moves to the right, behind a board for three frames."""
    portrait = cv2.cvtColor(cv2.imread(str(DATA / "portrait.png")), cv2.COLOR_BGR2RGB)
    frames = np.full((LENGTH, 256, 320, 3), (96, 90, 110), np.uint8)
    for number, frame in enumerate(frames):
        frame[:, 2 * number : 2 * number + 256] = portrait
        if number in WITHOUT_FACE:
            frame[60:200, 2 * number + 90 : 2 * number + 210] = (150, 140, 60)
    return frames


@asynccontextmanager
async def aligner(ready: Ready, **settings: float) -> AsyncIterator[AlignerServiceStub]:
    config = AlignerConfig(
        host="127.0.0.1",
        port=0,
        metrics_port=0,
        store=ready.url,
        bundles_path=ready.bundles,
        **settings,  # type: ignore[arg-type]
    )

    def register(server: grpc.aio.Server) -> None:
        add_AlignerServiceServicer_to_server(AlignerServicer(config, open_store(config.store)), server)

    async with started(config, register, SERVICE) as bound, open_channel(f"127.0.0.1:{bound.grpc}") as channel:
        yield AlignerServiceStub(channel)


async def call(stub: AlignerServiceStub, request: AlignRequest) -> list[Progress | AlignResult]:
    return [event async for event in call_stage(stub.Align, request, "aligner", retry=AT_ONCE)]


@asynchronous
async def test_a_video_is_aligned_and_the_second_call_finds_it_done(ready: Ready) -> None:
    async with aligner(ready) as stub:
        *progress, result = await call(stub, ready.request())
        *_, again = await call(stub, ready.request())
    assert isinstance(result, AlignResult)
    assert isinstance(again, AlignResult)
    assert again.alignment == result.alignment
    assert "observe" not in again.timing.step_seconds
    assert {p.step for p in progress if isinstance(p, Progress)} >= {"fetch", "observe", "track", "crop"}
    assert set(result.timing.step_seconds) >= {"fetch", "probe", "observe", "track", "crop"}
    assert (result.video.width, result.video.height, result.video.frame_count) == (320, 256, LENGTH)
    assert [(r.start, r.end) for r in result.ranges] == [(0, LENGTH)]
    (track,) = result.tracks
    assert (track.id, track.range.start, track.range.end, track.visible_frames) == (0, 0, LENGTH, LENGTH)


@asynchronous
async def test_landmarks_and_crops_follow_the_rendered_head(ready: Ready) -> None:
    async with aligner(ready) as stub:
        *_, result = await call(stub, ready.request())
    assert isinstance(result, AlignResult)
    alignment = Artifact.open(ready.store, result.alignment, stage="align")
    with np.load(io.BytesIO(alignment.read_part("track-0.npz"))) as track:
        found, detected, quads = track["landmarks"], track["detected"], track["quads"]
    assert detected.tolist() == [number not in WITHOUT_FACE for number in range(LENGTH)]
    drawn = np.load(DATA / "portrait_landmarks.npy")
    true = drawn + np.arange(LENGTH)[:, None, None] * (2, 0)
    eyes = np.linalg.norm(drawn[36:42].mean(0) - drawn[42:48].mean(0))
    assert np.linalg.norm(found - true, axis=-1).mean() / eyes < 0.12
    # The head moves two pixels a frame, and so does its quad, away from the ends that the low-pass bends.
    assert np.diff(quads[4:-4].mean(1), axis=0) == pytest.approx(np.tile((2, 0), (LENGTH - 9, 1)), abs=0.5)
    crops = decode_frames(alignment.read_part(f"crops-0-000000-{LENGTH:06d}"))
    shown = np.delete(crops, WITHOUT_FACE, axis=0).astype(int)
    assert np.abs(shown[3:-3] - shown[8]).mean() < 6


@asynchronous
async def test_bad_input_gets_the_documented_status(ready: Ready) -> None:
    nothing = put_object(ready.store, "videos/empty.mp4", b"")
    text = put_object(ready.store, "videos/notes.mp4", b"no video" * 100)
    faceless = put_object(ready.store, "videos/board.mkv", encode_frames(moving_head()[list(WITHOUT_FACE)]))
    cases: list[tuple[AlignRequest, type[errors.SeamlineError], str]] = [
        (AlignRequest(), errors.InvalidInput, "video.uri"),
        (ready.request(ArtifactRef(uri=ready.video.uri, sha256="1")), errors.InvalidInput, "video.sha256"),
        (ready.request(axes_sigma=-1.0), errors.InvalidInput, "options.axes_sigma"),
        (ready.request(nothing), errors.UnreadableVideo, "video"),
        (ready.request(text), errors.UnreadableVideo, "video"),
        (ready.request(faceless), errors.NoFace, "video"),
        (ready.request(bundle="none-such"), errors.NotFound, "bundle"),
        (ready.request(ArtifactRef(uri=ready.video.uri, sha256="0" * 64)), errors.DigestMismatch, ""),
        (
            ready.request(ArtifactRef(uri=ready.store.uri("videos/gone.mp4"), sha256="0" * 64)),
            errors.NotFound,
            "",
        ),
        (ready.request(ArtifactRef(uri="s3://other/film.mp4", sha256="0" * 64)), errors.InvalidInput, "video.uri"),
        (ready.request(ArtifactRef(uri="file:///etc/passwd", sha256="0" * 64)), errors.InvalidInput, "video.uri"),
        (ready.request(ArtifactRef(uri="https://host/film.mp4", sha256="0" * 64)), errors.InvalidInput, "video.uri"),
    ]
    async with aligner(ready) as stub:
        for request, kind, field in cases:
            with pytest.raises(kind) as caught:
                await call(stub, request)
            assert type(caught.value) is kind
            assert not field or caught.value.field == field


@pytest.mark.parametrize(
    ("setting", "value"),
    [("max_video_bytes", 100), ("max_video_seconds", 0.5), ("max_video_pixels", 81_919), ("max_video_frames", 19)],
)
@asynchronous
async def test_a_video_beyond_a_limit_is_refused_with_the_setting_named(
    ready: Ready, setting: str, value: float
) -> None:
    request = ready.request(axes_sigma=2.5)  # which no other test has aligned
    async with aligner(ready, **{setting: value}) as stub:
        with pytest.raises(errors.InvalidInput, match=f"SEAMLINE_{setting.upper()}") as caught:
            await call(stub, request)
    assert caught.value.field == "video"
    assert float(caught.value.metadata["limit"]) == value
