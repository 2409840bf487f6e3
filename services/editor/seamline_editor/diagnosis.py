"""Asks every replica of every stage whether it has what it needs."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from itertools import chain
from urllib.parse import urlsplit

import grpc

from seamline.client import open_channel
from seamline.client.diagnosis import REPLICA_SECONDS, diagnosed
from seamline.diagnosis.check import fault, fault_of
from seamline.errors import SeamlineError, ServiceUnavailable
from seamline.rpc.tls import Tls
from seamline.v1.diagnostics_pb2 import DiagnoseRequest, ServiceReport
from seamline_editor.config import EditorConfig
from seamline_editor.replicas import DNS

SUBJECT = "service"
STAGES = ("aligner", "inverter", "stitcher", "metrics")
GRPC_PORT = 443
"""What gRPC takes where an endpoint has no port."""


async def ask_replicas(config: EditorConfig, request: DiagnoseRequest) -> list[ServiceReport]:
    """The reports of all replicas side by side; one that does not answer has a report that says so.

    Args:
        config: where the stages are, and how to call them.
        request: passed on as it is.
    """
    listed = [(stage, entry.strip()) for stage in STAGES for entry in getattr(config, stage).split(",")]
    reports = await asyncio.gather(*(_ask_listed(stage, entry, request, config.tls) for stage, entry in listed))
    return list(chain.from_iterable(reports))


async def _ask_listed(stage: str, endpoint: str, request: DiagnoseRequest, tls: Tls) -> list[ServiceReport]:
    """The reports of the replicas behind one entry of a setting: one, or all that a name leads to."""
    try:
        host, addresses = await _addresses(endpoint)
    except ServiceUnavailable as error:
        return [_unanswered(stage, endpoint, error)]
    return await asyncio.gather(
        *(_ask(stage, each, request, partial(open_channel, each, tls=tls, name=host)) for each in addresses)
    )


async def _ask(
    stage: str, endpoint: str, request: DiagnoseRequest, opened: Callable[[], grpc.aio.Channel]
) -> ServiceReport:
    try:
        async with opened() as channel:
            response = await diagnosed(channel, endpoint, request, REPLICA_SECONDS)
    except SeamlineError as error:
        return _unanswered(stage, endpoint, error)
    report = response.services[0]
    report.endpoint = endpoint
    if report.service != stage:
        answered = f"{endpoint} is the {report.service}, where the {stage} should be"
        report.checks.append(fault(SUBJECT, answered, f"mend the editor's SEAMLINE_{stage.upper()}"))
    return report


def _unanswered(stage: str, endpoint: str, error: SeamlineError) -> ServiceReport:
    found = fault_of(SUBJECT, error, f"see the {stage}'s log")
    return ServiceReport(service=stage, endpoint=endpoint, checks=[found])


async def _addresses(endpoint: str) -> tuple[str, list[str]]:
    """A dns:/// name and the endpoint of each address that it leads to; else no name, and the endpoint itself.

    A name that asks a name server of its own (dns://server/name) is left to gRPC, which asks one of the replicas.

    Raises:
        ServiceUnavailable: the name has no address.
    """
    target = endpoint.removeprefix(DNS)
    if target == endpoint or (target.startswith("//") and not target.startswith("///")):
        return "", [endpoint]
    place = urlsplit(f"//{target.lstrip('/')}")
    try:
        host, port = place.hostname or "", place.port or GRPC_PORT
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:  # the second is a port that is no number
        raise ServiceUnavailable(
            f"{endpoint} leads to no address ({error}); check the editor's setting, and that a replica is ready",
            endpoint=endpoint,
        ) from error
    # A replica has an address of each family: one family shows it once.
    family = min((entry[0] for entry in found), key=lambda each: each != socket.AF_INET)
    return host, sorted({_joined(str(entry[4][0]), port) for entry in found if entry[0] == family})


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
