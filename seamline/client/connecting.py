"""Waits until a service has accepted a call, and says what is wrong where it does not."""

import asyncio
import re
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from seamline.errors import ServiceUnavailable

LOOK_SECONDS = 0.1
"""Between looks at a connection that is not there yet."""

_DISTRUST = re.compile("handshake failed|verification check failed", re.IGNORECASE)
"""How gRPC puts it that the other end is not trusted; waiting does not help then."""

_CAUSES = (
    ("WRONG_VERSION_NUMBER", "it speaks plaintext: unset SEAMLINE_TLS_CA, or set SEAMLINE_TLS_CERTIFICATE there"),
    ("has expired", "its certificate has expired: renew it, or set the clock of this machine right"),
    ("Hostname Verification", "its certificate is for other names: call it by one of them, or add this one to it"),
    ("handshake failed", "its certificate is of no authority in SEAMLINE_TLS_CA: name the file that has its authority"),
    (
        "Socket closed|reset by peer",
        "it closes connections: if it speaks TLS, set SEAMLINE_TLS_CA, and if it asks for a certificate, set "
        "SEAMLINE_TLS_CERTIFICATE and SEAMLINE_TLS_KEY to one that it accepts and that is in force",
    ),
)
_PREFIX = re.compile(r"^[A-Z_]+: (ipv[46]:\S+: )?")
"""Before what gRPC says: a status, and the address, which the reader knows."""
_UNKNOWN = "check the address and that the service runs"


async def answered(call: Any, endpoint: str, seconds: float, channel: grpc.aio.Channel | None) -> None:
    """Waits until the service has accepted the call; services send headers at once.

    Args:
        call: made to wait for the connection.
        endpoint: named in errors.
        seconds: how long to wait.
        channel: that of the call; asked why it does not connect. None if it is not at hand.

    Raises:
        ServiceUnavailable: nobody accepted it in time; or at once, if one of the two does not trust the other.
        grpc.aio.AioRpcError: the call failed.
    """
    accepted = asyncio.ensure_future(call.wait_for_connection())
    distrust = asyncio.ensure_future(_distrust(channel))
    try:
        await asyncio.wait({accepted, distrust}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if accepted.done():
            accepted.result()
        elif distrust.done():
            raise unavailable(endpoint, "cannot be connected to", distrust.result())
        else:
            raise unavailable(endpoint, f"did not answer within {seconds:g} s", await _fault(channel))
    finally:
        accepted.cancel()
        distrust.cancel()


async def _distrust(channel: grpc.aio.Channel | None) -> str:
    """Ends once the channel cannot connect for want of trust, with what gRPC says of it."""
    while not _DISTRUST.search(fault := await _fault(channel)):
        await asyncio.sleep(LOOK_SECONDS)
    return fault


async def _fault(channel: grpc.aio.Channel | None) -> str:
    """Why the channel could not connect when it last tried; empty if it is still trying, or has."""
    if channel is None or channel.get_state() is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
        return ""
    health: Any = HealthStub(channel)  # its types know of the synchronous one only
    try:  # of a call that does not wait, gRPC says at once why there is no connection
        await health.Check(HealthCheckRequest(), timeout=1)
    except grpc.aio.AioRpcError as error:
        return error.details() or ""
    return ""


def unavailable(endpoint: str, what: str, fault: str) -> ServiceUnavailable:
    """The error that says why there is no connection, and what to do.

    Args:
        endpoint: the one that was called.
        what: did not happen.
        fault: gRPC's details of it; empty if it gave none.
    """
    said = _PREFIX.sub("", fault.rpartition("last error: ")[2]).removesuffix(": OK")
    remedy = next((cause for sign, cause in _CAUSES if re.search(sign, fault, re.IGNORECASE)), _UNKNOWN)
    return ServiceUnavailable(f"{endpoint} {what}{f' ({said})' if said else ''}; {remedy}", endpoint=endpoint)
