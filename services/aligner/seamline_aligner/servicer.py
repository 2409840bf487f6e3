"""Between the contract and `align`."""

import math
from collections.abc import AsyncIterator
from typing import Any

import grpc

from seamline.bundles import Bundle
from seamline.errors import InvalidInput
from seamline.job import Job
from seamline.rpc.bundles import Bundles
from seamline.rpc.stage import StageExecutor, run_stage
from seamline.storage import Artifact, Store
from seamline.storage.layout import check_digest
from seamline.v1.aligner_pb2 import (
    LANDMARK_BACKEND_BUNDLE,
    LANDMARK_BACKEND_DLIB,
    LANDMARK_BACKEND_FACE_ALIGNMENT,
    LANDMARK_BACKEND_UNSPECIFIED,
    AlignOptions,
    AlignRequest,
    AlignResponse,
    AlignResult,
)
from seamline.v1.aligner_pb2_grpc import AlignerServiceServicer
from seamline.v1.media_pb2 import FrameRange, Progress, Timing, Track, VideoInfo
from seamline_aligner import align as domain
from seamline_aligner.config import AlignerConfig
from seamline_aligner.landmarks import open_backend

BACKENDS = {
    LANDMARK_BACKEND_BUNDLE: "bundle",
    LANDMARK_BACKEND_DLIB: "dlib",
    LANDMARK_BACKEND_FACE_ALIGNMENT: "face-alignment",
}
LARGEST_SIGMA = 1000.0
"""Frames; more than half a minute of low-pass is a mistake."""


class AlignerServicer(AlignerServiceServicer):
    """Serves `seamline.v1.AlignerService`."""

    def __init__(self, config: AlignerConfig, store: Store) -> None:
        self._bundles = Bundles(config)
        self._store = store
        self._limits = config.limits
        self._executor = StageExecutor(config.max_concurrent_stages, config.queue)

    async def Align(  # noqa: N802
        self, request: AlignRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[AlignResponse]:
        """Aligns one video."""
        check_request(request)

        def work(job: Job) -> AlignResult:
            bundle = self._bundles.open(request.bundle)
            options = options_of(request.options, bundle)
            alignment = domain.align(
                job,
                self._store,
                request.video,
                bundle,
                options,
                lambda: open_backend(options.landmarks, bundle),
                self._limits,
            )
            return _result(alignment, job)

        async for event in run_stage(context, "align", work, self._executor):
            yield (AlignResponse(progress=event) if isinstance(event, Progress) else AlignResponse(result=event))


def check_request(request: AlignRequest) -> None:
    """Raises InvalidInput for what is wrong whatever the store and the bundles hold."""
    if not request.video.uri:
        raise InvalidInput("video.uri is missing: put the video into the object store and name it", field="video.uri")
    if request.video.uri.strip().lower().startswith(("http:", "https:")):
        raise InvalidInput(
            "video.uri is an address, which only the editor fetches; put the video into the object store, or call the "
            "editor",
            field="video.uri",
        )
    check_digest(request.video.sha256, "video.sha256")
    for name in ("center_sigma", "axes_sigma"):
        sigma = getattr(request.options, name)
        if not (math.isfinite(sigma) and 0 <= sigma <= LARGEST_SIGMA):
            raise InvalidInput(
                f"options.{name} must be a number of frames from 0 to {LARGEST_SIGMA:g}, not {sigma:g}",
                field=f"options.{name}",
            )
    known = (LANDMARK_BACKEND_UNSPECIFIED, *BACKENDS)
    if request.options.landmarks not in known:
        raise InvalidInput(
            f"options.landmarks is {request.options.landmarks}, which this version does not know: "
            f"use one of {', '.join(map(str, known))}",
            field="options.landmarks",
        )


def options_of(options: AlignOptions, bundle: Bundle) -> domain.AlignOptions:
    """The options with what the request leaves open filled in."""
    own = "bundle" if {"detector", "landmarks"} <= bundle.manifest.networks.keys() else "dlib"
    asked: dict[str, Any] = {field.name: value for field, value in options.ListFields()}
    asked["landmarks"] = BACKENDS.get(options.landmarks, own)
    return domain.AlignOptions(**asked)


def _result(alignment: Artifact, job: Job) -> AlignResult:
    meta = alignment.meta
    facts = {name: value for name, value in meta["video"].items() if name != "sha256"}
    return AlignResult(
        alignment=alignment.ref,
        video=VideoInfo(**facts),
        tracks=[
            Track(
                id=track["id"],
                range=FrameRange(start=track["start"], end=track["end"]),
                visible_frames=track["visible_frames"],
            )
            for track in meta["tracks"]
        ],
        ranges=[FrameRange(start=start, end=end) for start, end in meta["ranges"]],
        timing=Timing(step_seconds=job.seconds),
    )
