"""Between the contract and what the stitcher does."""

import logging
from collections.abc import AsyncIterator

import grpc

from seamline.algorithm import Algorithm
from seamline.bundles import Bundle
from seamline.editing.edit import planned
from seamline.errors import InvalidInput, SeamlineError
from seamline.job import Job
from seamline.rpc.bundles import Bundles
from seamline.rpc.stage import StageExecutor, run_stage
from seamline.storage import Store
from seamline.tuning import settings
from seamline.v1 import stitcher_pb2
from seamline.v1.media_pb2 import Progress, Timing
from seamline.v1.stitcher_pb2 import (
    PreviewRequest,
    PreviewResponse,
    PreviewResult,
    StitchOptions,
    StitchRequest,
    StitchResponse,
    StitchResult,
)
from seamline.v1.stitcher_pb2_grpc import StitcherServiceServicer
from seamline_stitcher.blending import Blend
from seamline_stitcher.config import StitcherConfig
from seamline_stitcher.plan import Plan
from seamline_stitcher.preview import check_size, draw_average, preview
from seamline_stitcher.stitching import stitch_range
from seamline_stitcher.stitching_tuning import StitchingConfig

logger = logging.getLogger(__name__)

BLENDS = {
    stitcher_pb2.BLEND_UNSPECIFIED: Blend.STITCH,
    stitcher_pb2.BLEND_STITCH: Blend.STITCH,
    stitcher_pb2.BLEND_POISSON: Blend.POISSON,
    stitcher_pb2.BLEND_FEATHER: Blend.FEATHER,
    stitcher_pb2.BLEND_PASTE: Blend.PASTE,
}


class StitcherServicer(StitcherServiceServicer):
    """Serves `seamline.v1.StitcherService`."""

    def __init__(self, config: StitcherConfig, store: Store) -> None:
        self._bundles = Bundles(config)
        self._store = store
        self._executor = StageExecutor(config.max_concurrent_stages, config.queue)

    def warm(self) -> None:
        """Draws with the default bundle, so that the first preview waits neither for its file nor for torch's kernels.

        A bundle that is not there, or broken, is what requests that name it are told of.
        """
        try:
            draw_average(self._bundles.open(""))
        except SeamlineError as error:
            logger.warning(f"starts cold: {error}")

    async def Stitch(  # noqa: N802
        self, request: StitchRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[StitchResponse]:
        """Stitches one frame range."""

        def work(job: Job) -> StitchResult:
            bundle = self._bundles.open(request.bundle)
            plan = _plan(request, bundle)
            stitched = stitch_range(self._store, bundle, request.alignment, request.inversion, plan, job)
            timing = Timing(step_seconds=job.seconds)
            return StitchResult(stitched=stitched.ref, range=request.range, steps=stitched.steps, timing=timing)

        async for event in run_stage(context, "stitch", work, self._executor):
            yield (StitchResponse(progress=event) if isinstance(event, Progress) else StitchResponse(result=event))

    async def Preview(  # noqa: N802
        self, request: PreviewRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[PreviewResponse]:
        """Draws a sheet of variants."""

        def work(job: Job) -> PreviewResult:
            check_size(len(request.variants), request.frame_count)
            bundle = self._bundles.open(request.bundle)
            variants = [
                planned(variant.edits, bundle, field=f"variants[{index}].edits")
                for index, variant in enumerate(request.variants)
            ]
            inputs = (self._store, bundle, request.alignment, request.inversion)
            algorithm = Algorithm.of(request.algorithm, "algorithm")
            sheet = preview(*inputs, variants, request.frame_count, job, algorithm)
            return PreviewResult(sheet=sheet.ref, frames=sheet.frames, timing=Timing(step_seconds=job.seconds))

        async for event in run_stage(context, "preview", work, self._executor):
            yield (PreviewResponse(progress=event) if isinstance(event, Progress) else PreviewResponse(result=event))


def _plan(request: StitchRequest, bundle: Bundle) -> Plan:
    algorithm = Algorithm.of(request.options.algorithm)
    return Plan(
        edits=planned(request.edits, bundle),
        frames=(request.range.start, request.range.end),
        blend=_blend(request.options),
        tuning=settings(StitchingConfig, algorithm.table(bundle.defaults["stitch"]), request.options),
        algorithm=algorithm,
    )


def _blend(options: StitchOptions) -> Blend:
    if options.blend not in BLENDS:
        raise InvalidInput(
            f"options.blend is {options.blend}, which this version does not know: use one of {[*BLENDS]}",
            field="options.blend",
        )
    return BLENDS[options.blend]
