"""Between the contract and `stitch_range`."""

from collections.abc import AsyncIterator

import grpc

from seamline.bundles import Bundle, load_bundle
from seamline.job import Job
from seamline.rpc.stage import StageExecutor, run_stage
from seamline.storage import Store
from seamline.tuning import settings
from seamline.v1.media_pb2 import Progress, Timing
from seamline.v1.stitcher_pb2 import Blend, StitchRequest, StitchResponse, StitchResult
from seamline.v1.stitcher_pb2_grpc import StitcherServiceServicer
from seamline_stitcher.config import StitcherConfig
from seamline_stitcher.stitching import Plan, stitch_range
from seamline_stitcher.stitching_tuning import StitchingConfig


class StitcherServicer(StitcherServiceServicer):
    """Serves `seamline.v1.StitcherService`."""

    def __init__(self, config: StitcherConfig, store: Store) -> None:
        self._config = config
        self._store = store
        self._executor = StageExecutor(config.max_concurrent_stages)

    async def Stitch(  # noqa: N802
        self, request: StitchRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[StitchResponse]:
        """Stitches one frame range."""

        def work(job: Job) -> StitchResult:
            bundle = load_bundle(request.bundle, self._config.bundles_path, self._config.device)
            plan = _plan(request, bundle)
            stitched = stitch_range(self._store, bundle, request.alignment, request.inversion, plan, job)
            timing = Timing(step_seconds=job.seconds)
            return StitchResult(stitched=stitched.ref, range=request.range, steps=stitched.steps, timing=timing)

        async for event in run_stage(context, "stitch", work, self._executor):
            yield (StitchResponse(progress=event) if isinstance(event, Progress) else StitchResponse(result=event))


def _plan(request: StitchRequest, bundle: Bundle) -> Plan:
    return Plan(
        edits=tuple((edit.name, edit.strength) for edit in request.edits),
        frames=(request.range.start, request.range.end),
        stitching=request.options.blend != Blend.BLEND_FEATHER,
        tuning=settings(StitchingConfig, bundle.defaults["stitch"], request.options),
    )
