"""Between the contract and `score`."""

from collections.abc import AsyncIterator

import grpc

from seamline.job import Job
from seamline.rpc.bundles import Bundles
from seamline.rpc.stage import StageExecutor, run_stage
from seamline.storage import Store
from seamline.v1.media_pb2 import Progress, Timing
from seamline.v1.metrics_pb2 import EditEffect, ScoreRequest, ScoreResponse, ScoreResult, SeamError
from seamline.v1.metrics_pb2_grpc import MetricsServiceServicer
from seamline_metrics.config import MetricsConfig
from seamline_metrics.score import Scores, score


class MetricsServicer(MetricsServiceServicer):
    """Serves `seamline.v1.MetricsService`."""

    def __init__(self, config: MetricsConfig, store: Store) -> None:
        self._bundles = Bundles(config)
        self._store = store
        self._executor = StageExecutor(config.max_concurrent_stages, config.queue)

    async def Score(  # noqa: N802
        self, request: ScoreRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[ScoreResponse]:
        """Scores one edit."""

        def work(job: Job) -> ScoreResult:
            bundle = self._bundles.open(request.bundle)
            scores = score(self._store, bundle, request.alignment, list(request.stitched), job)
            return _result(scores, job)

        async for event in run_stage(context, "score", work, self._executor):
            yield (ScoreResponse(progress=event) if isinstance(event, Progress) else ScoreResponse(result=event))


def _result(scores: Scores, job: Job) -> ScoreResult:
    values = scores.values
    seam = values["seam_error"]
    return ScoreResult(
        scores=scores.ref,
        tl_id=values["tl_id"],
        tg_id=values["tg_id"],
        identity_similarity=values["identity_similarity"],
        seam_error=SeamError(naive=seam["naive"], stitched=seam["stitched"]),
        edit_effects=[
            EditEffect(name=name, mean=effect["mean"], share_of_frames=effect["share_of_frames"])
            for name, effect in values["edit_effect"].items()
        ],
        timing=Timing(step_seconds=job.seconds),
    )
