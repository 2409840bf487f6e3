"""Asks a service whether it has what it needs."""

import grpc

from seamline.client.connecting import unavailable
from seamline.client.stage import request_metadata
from seamline.errors import SeamlineError, ServiceUnavailable
from seamline.rpc.errors import error_from_call
from seamline.v1.diagnostics_pb2 import DiagnoseRequest, DiagnoseResponse
from seamline.v1.diagnostics_pb2_grpc import DiagnosticsServiceStub

REPLICA_SECONDS = 150.0
"""How long a service that was asked alone may take; each of its checks gives up before."""
EDITOR_SECONDS = 240.0
"""How long an editor may take with all the replicas that it asks."""


async def diagnosed(
    channel: grpc.aio.Channel, endpoint: str, request: DiagnoseRequest, seconds: float
) -> DiagnoseResponse:
    """What a service says of itself.

    Args:
        channel: from `open_channel`.
        endpoint: named in errors.
        request: what to look for.
        seconds: how long it may take.

    Raises:
        SeamlineError: there was no diagnosis; ServiceUnavailable if the service does not answer.
    """
    try:
        return await DiagnosticsServiceStub(channel).Diagnose(request, timeout=seconds, metadata=request_metadata())
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            text = f"{endpoint} runs a seamline that does not know how to diagnose itself; upgrade it"
            raise SeamlineError(text, endpoint=endpoint) from None
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            text = f"{endpoint} gave no diagnosis within {seconds:g} s; see its log, and whether its node is overloaded"
            raise ServiceUnavailable(text, endpoint=endpoint) from None
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            raise unavailable(endpoint, "does not answer", error.details() or "") from None
        raise error_from_call(error, endpoint) from None
