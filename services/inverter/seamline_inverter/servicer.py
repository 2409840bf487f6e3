"""Between the contract and what the inverter does."""

from collections.abc import AsyncIterator

import grpc

from seamline.editing.style import planned_style
from seamline.job import Job
from seamline.rpc.bundles import Bundles
from seamline.rpc.stage import StageExecutor, run_stage
from seamline.storage import Store
from seamline.tuning import settings
from seamline.v1.inverter_pb2 import (
    InvertRequest,
    InvertResponse,
    InvertResult,
    RestyleRequest,
    RestyleResponse,
    RestyleResult,
)
from seamline.v1.inverter_pb2_grpc import InverterServiceServicer
from seamline.v1.media_pb2 import Progress, Timing
from seamline_inverter.config import InverterConfig
from seamline_inverter.inversion import Inverted, invert
from seamline_inverter.options import inversion_config
from seamline_inverter.restyle import restyle
from seamline_inverter.style_adaptation import StyleConfig


class InverterServicer(InverterServiceServicer):
    """Serves `seamline.v1.InverterService`."""

    def __init__(self, config: InverterConfig, store: Store) -> None:
        self._bundles = Bundles(config)
        self._store = store
        self._executor = StageExecutor(config.max_concurrent_stages, config.queue)

    async def Invert(  # noqa: N802
        self, request: InvertRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[InvertResponse]:
        """Inverts one alignment."""

        def work(job: Job) -> InvertResult:
            bundle = self._bundles.open(request.bundle)
            config = inversion_config(bundle.defaults["invert"], request.options)
            return _result(invert(self._store, bundle, request.alignment, config, job), job)

        async for event in run_stage(context, "invert", work, self._executor):
            yield (InvertResponse(progress=event) if isinstance(event, Progress) else InvertResponse(result=event))

    async def Restyle(  # noqa: N802
        self, request: RestyleRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[RestyleResponse]:
        """Puts one inversion into a style."""

        def work(job: Job) -> RestyleResult:
            bundle = self._bundles.open(request.bundle)
            style = planned_style(request.style, bundle)
            config = settings(StyleConfig, {}, request.options)
            restyled = restyle(self._store, bundle, request.inversion, style, config, job)
            return RestyleResult(
                inversion=restyled.ref,
                style=restyled.learned.ref,
                steps=restyled.learned.steps,
                loss=restyled.learned.loss,
                timing=Timing(step_seconds=job.seconds),
            )

        async for event in run_stage(context, "restyle", work, self._executor):
            yield (RestyleResponse(progress=event) if isinstance(event, Progress) else RestyleResponse(result=event))


def _result(inverted: Inverted, job: Job) -> InvertResult:
    return InvertResult(
        inversion=inverted.ref,
        pivot_psnr_db=inverted.pivot_psnr_db,
        psnr_db=inverted.psnr_db,
        passes=sum(track.passes for track in inverted.tracks),
        timing=Timing(step_seconds=job.seconds),
    )
