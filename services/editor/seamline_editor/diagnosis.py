"""Asks every replica of every stage whether it has what it needs."""

import asyncio
import re
import socket
from collections.abc import Callable
from functools import partial
from itertools import chain

import grpc

from seamline.client import open_channel
from seamline.client.diagnosis import REPLICA_SECONDS, diagnosed
from seamline.deployment import STAGES
from seamline.diagnosis.check import fault, fault_of, warning
from seamline.errors import SeamlineError, ServiceUnavailable
from seamline.rpc.tls import Tls
from seamline.v1.diagnostics_pb2 import DiagnoseRequest, ServiceReport
from seamline_editor.config import EditorConfig
from seamline_editor.replicas import DNS

SUBJECT = "service"

_HOST_AND_PORT = re.compile(r"(dns:(///)?)?(?P<host>\[[^]]+\]|[^/:]+):(?P<port>\d{1,5})")


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
    reports = await asyncio.gather(
        *(_ask(stage, each, request, partial(open_channel, each, tls=tls, name=host)) for each in addresses)
    )
    if endpoint.startswith(DNS) and not host:
        told = f"one of the replicas behind {endpoint} was asked, since that name has a name server of its own"
        reports[0].checks.append(warning(SUBJECT, told, "name it as dns:///host:port, to have all of them asked"))
    return reports


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
    """A name and the endpoint of each address that it leads to, or no name and the endpoint itself.

    The latter if gRPC alone knows what is behind it, or if there is just one address behind a plain host:port.

    Raises:
        ServiceUnavailable: the name has no address.
    """
    found = _HOST_AND_PORT.fullmatch(endpoint)
    if found is None:
        return "", [endpoint]
    host, port = found["host"].strip("[]"), int(found["port"])
    try:
        known = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ServiceUnavailable(
            f"{endpoint} leads to no address ({error.strerror}); "
            "check the editor's setting, and that a replica is ready",
            endpoint=endpoint,
        ) from error
    # A replica has an address of each family: one family shows it once.
    family = min((entry[0] for entry in known), key=lambda each: each != socket.AF_INET)
    addresses = sorted({_joined(str(entry[4][0]), port) for entry in known if entry[0] == family})
    return ("", [endpoint]) if len(addresses) == 1 and not endpoint.startswith(DNS) else (host, addresses)


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
