"""Calls an aligner over its socket, as the editor does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from seamline.client import Retry, call_stage, open_channel
from seamline.v1.aligner_pb2 import AlignRequest, AlignResult
from seamline.v1.aligner_pb2_grpc import AlignerServiceStub
from seamline.v1.media_pb2 import Progress
from tests.fakes.aligner import Served

AT_ONCE = Retry(connect_seconds=10, repeats=0, patience_seconds=0)
SERVING = health_pb2.HealthCheckResponse.SERVING


@asynccontextmanager
async def stub_of(served: Served) -> AsyncIterator[AlignerServiceStub]:
    """A stub on a channel that lasts as long as the block."""
    async with open_channel(served.address) as channel:
        yield AlignerServiceStub(channel)


async def align(
    stub: AlignerServiceStub, *, timeout: float | None = None, retry: Retry = AT_ONCE
) -> list[Progress | AlignResult]:
    """Everything that one call yields; errors name the endpoint "aligner:1"."""
    events = call_stage(stub.Align, AlignRequest(), "aligner:1", timeout=timeout, retry=retry)
    return [event async for event in events]


async def health_of(address: str, service: str = "") -> int:
    """The serving status of a service, empty for the whole server."""
    async with grpc.aio.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        return (await health_pb2_grpc.HealthStub(channel).Check(request)).status
