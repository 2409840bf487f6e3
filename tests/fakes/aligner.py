"""An aligner service whose work is any function, served as the real ones are.

As a program it is a slow aligner: python tests/fakes/aligner.py STEPS SECONDS_PER_STEP
"""

import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import grpc

from seamline.job import Job
from seamline.rpc.config import ServerConfig
from seamline.rpc.server import run, started
from seamline.rpc.stage import StageExecutor, run_stage
from seamline.v1 import aligner_pb2_grpc
from seamline.v1.aligner_pb2 import AlignRequest, AlignResponse, AlignResult
from seamline.v1.media_pb2 import ArtifactRef, Progress

SERVICE = "seamline.v1.AlignerService"

Work = Callable[[Job], AlignResult]


class FunctionAligner(aligner_pb2_grpc.AlignerServiceServicer):
    """Aligns by calling a function."""

    def __init__(self, work: Work, limit: int, queue: int) -> None:
        self._work = work
        self._executor = StageExecutor(limit, queue)

    async def Align(  # noqa: N802
        self, request: AlignRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[AlignResponse]:
        async for event in run_stage(context, "align", self._work, self._executor):
            yield (AlignResponse(progress=event) if isinstance(event, Progress) else AlignResponse(result=event))


class Served(NamedTuple):
    """A running service."""

    address: str
    metrics_url: str


@asynccontextmanager
async def serving(work: Work, **settings: object) -> AsyncIterator[Served]:
    """The service on free ports, with settings of ServerConfig."""
    config = ServerConfig(**{"host": "127.0.0.1", "port": 0, "metrics_port": 0, "store": "file:///nowhere", **settings})

    def register(server: grpc.aio.Server) -> None:
        servicer = FunctionAligner(work, config.max_concurrent_stages, config.queue)
        aligner_pb2_grpc.add_AlignerServiceServicer_to_server(servicer, server)

    async with started(config, register, SERVICE) as bound:
        yield Served(f"127.0.0.1:{bound.grpc}", f"http://127.0.0.1:{bound.metrics}/metrics")


def result(uri: str = "file:///nowhere/alignment") -> AlignResult:
    """What an aligner answers."""
    return AlignResult(alignment=ArtifactRef(uri=uri))


def slow_work(steps: int, seconds: float) -> Work:
    """Work of so many steps of so many seconds, which reports "detect" and notices cancellation at each."""

    def work(job: Job) -> AlignResult:
        with job.step("detect", total=steps) as step:
            for _ in range(steps):
                time.sleep(seconds)
                step.advance()
        return result()

    return work


def main() -> None:
    config = ServerConfig.read()
    work = slow_work(int(sys.argv[1]), float(sys.argv[2]))

    def register(server: grpc.aio.Server) -> None:
        servicer = FunctionAligner(work, config.max_concurrent_stages, config.queue)
        aligner_pb2_grpc.add_AlignerServiceServicer_to_server(servicer, server)

    run("aligner", config, register, SERVICE)


if __name__ == "__main__":
    main()
