"""Starts a service: calls, health, reflection and metrics; drains it on SIGTERM.

A service's __main__ is little more than

    config = AlignerConfig.read()
    run("aligner", config, register, "seamline.v1.AlignerService")
"""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Thread
from typing import NamedTuple, NoReturn
from wsgiref.simple_server import WSGIServer

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import disable_created_metrics, start_http_server

from seamline.errors import InvalidInput, SeamlineError
from seamline.rpc import gpu, logs, metrics, steps, tracing
from seamline.rpc.calls import CallInterceptor
from seamline.rpc.config import ServerConfig
from seamline.rpc.diagnostics import SERVICE as DIAGNOSTICS
from seamline.rpc.diagnostics import DiagnosticsServicer, Elsewhere
from seamline.v1.diagnostics_pb2_grpc import add_DiagnosticsServiceServicer_to_server

logger = logging.getLogger(__name__)

KEEPALIVE_SECONDS = 30
"""How often both sides ask whether the other still lives; a caller that vanished is noticed within 40 s."""
MIN_PING_SECONDS = 10
"""Callers that ping more often are cut off; gRPC's own default of 300 s would cut off ours."""


class Bound(NamedTuple):
    """The ports that a service listens on."""

    grpc: int
    metrics: int
    health: int | None = None


Register = Callable[[grpc.aio.Server], None]


@asynccontextmanager
async def started(
    config: ServerConfig, register: Register, service_full_name: str, elsewhere: Elsewhere | None = None
) -> AsyncIterator[Bound]:
    """A service that is up inside the block and drained after it.

    Args:
        config: its settings.
        register: adds its servicer to the server.
        service_full_name: its name in the contract, for instance "seamline.v1.AlignerService".
        elsewhere: asks the replicas that it calls for their diagnosis; None if it calls none.

    Raises:
        InvalidInput: a port is taken, the address is not this machine's, or a file or setting of TLS or of the
            clients is wrong.
    """
    calls = CallInterceptor(config.gate())
    server = grpc.aio.server(interceptors=[calls], options=_options(config))
    register(server)
    diagnostics = DiagnosticsServicer(_short_name(service_full_name), config, elsewhere)
    add_DiagnosticsServiceServicer_to_server(diagnostics, server)
    healthy = health.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue]
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    names = (service_full_name, DIAGNOSTICS, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    steps.declare(service_full_name)
    for each in (service_full_name, DIAGNOSTICS):
        _declare(each)
    port = _bind(server, f"{config.host}:{config.port}", "SEAMLINE_PORT", config.tls.server_credentials())
    probed = grpc.aio.server(options=_options(config))
    health_pb2_grpc.add_HealthServicer_to_server(healthy, probed)
    health_port = config.health_port
    if health_port is not None:
        health_port = _bind(probed, f"{config.host}:{health_port}", "SEAMLINE_HEALTH_PORT", None)
    scraped, scraper = _serve_metrics(config)
    try:
        await server.start()
        await probed.start()
        await healthy.set(service_full_name, health_pb2.HealthCheckResponse.SERVING)
        yield Bound(port, scraped.server_port, health_port)
        await healthy.enter_graceful_shutdown()
        calls.draining.set()
        await _drain(server, calls, config.drain_seconds)
    finally:
        await server.stop(None)
        await probed.stop(None)
        await asyncio.to_thread(scraped.shutdown)  # it takes up to half a second
        scraped.server_close()
        scraper.join()


async def serve(
    name: str, config: ServerConfig, register: Register, service_full_name: str, elsewhere: Elsewhere | None = None
) -> None:
    """Serves until SIGTERM or SIGINT, then drains; a second signal ends the process at once."""
    logs.configure(name, config.log_level)
    disable_created_metrics()
    tracing.configure(name)
    gpu.watch(config.device)
    _limit_torch(config.threads)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        logger.info("draining", extra={"seconds": config.drain_seconds})
        stop.set()

    try:
        async with started(config, register, service_full_name, elsewhere) as bound:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, on_signal)
            _write_ports(config, bound)
            logger.info(f"listening {name} {config.host}:{bound.grpc} metrics:{bound.metrics}")
            await stop.wait()
    finally:
        await asyncio.to_thread(tracing.close)
    logger.info("stopped")


def run(
    name: str, config: ServerConfig, register: Register, service_full_name: str, elsewhere: Elsewhere | None = None
) -> NoReturn:
    """`serve` as the whole life of a process: exit status 0 after a drain, 1 if it cannot start."""
    try:
        asyncio.run(serve(name, config, register, service_full_name, elsewhere))
    except SeamlineError as error:
        logger.error(str(error))
        sys.exit(1)
    sys.exit(0)


def _short_name(service_full_name: str) -> str:
    """The name of its package and its pods: "aligner" of "seamline.v1.AlignerService"."""
    return service_full_name.rpartition(".")[2].removesuffix("Service").lower()


def _options(config: ServerConfig) -> list[tuple[str, int]]:
    options = [
        ("grpc.so_reuseport", 0),  # a taken port is an error, not a second server behind it
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_SECONDS * 1000),
    ]
    if config.max_connection_age_seconds:
        options.append(("grpc.max_connection_age_ms", int(config.max_connection_age_seconds * 1000)))
    return options


def _bind(server: grpc.aio.Server, address: str, variable: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise InvalidInput(f"cannot listen on {address} ({error}); set SEAMLINE_HOST and {variable}") from error


def _serve_metrics(config: ServerConfig) -> tuple[WSGIServer, Thread]:
    try:
        return start_http_server(config.metrics_port, config.host)
    except OSError as error:
        raise InvalidInput(
            f"cannot serve metrics on {config.host}:{config.metrics_port} ({error}); "
            "set SEAMLINE_HOST and SEAMLINE_METRICS_PORT"
        ) from error


def _declare(service_full_name: str) -> None:
    """Starts the counters of each method at 0, so that a rate sees the first failure."""
    for method in descriptor_pool.Default().FindServiceByName(service_full_name).methods:
        kind = "server_stream" if method.server_streaming else "unary"
        for counter in (metrics.STARTED, metrics.RECEIVED, metrics.SENT, metrics.HANDLING):
            counter.labels(kind, service_full_name, method.name)
        for code in grpc.StatusCode:
            metrics.HANDLED.labels(kind, service_full_name, method.name, code.name)


_NEVER_SECONDS = 86_400.0


async def _drain(server: grpc.aio.Server, calls: CallInterceptor, seconds: float) -> None:
    """Takes no new calls, and gives those under way `seconds` to finish; health watches may not delay it."""
    # grpc's own grace must not run out: it would then cancel the calls of a server that the second stop has freed, and
    # crash the process.
    stopped = asyncio.ensure_future(server.stop(seconds + _NEVER_SECONDS))
    idle = asyncio.ensure_future(calls.idle.wait())
    await asyncio.wait({stopped, idle}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    idle.cancel()
    await server.stop(None)
    await stopped


def _limit_torch(threads: int) -> None:
    if threads:
        import torch  # only here: a service without networks starts without it

        torch.set_num_threads(threads)


def _write_ports(config: ServerConfig, bound: Bound) -> None:
    if config.port_file is None:
        return
    draft = config.port_file.with_name(f".{config.port_file.name}.{os.getpid()}")
    draft.write_text(json.dumps(bound._asdict()))
    draft.replace(config.port_file)  # at once: whoever waits for the file never reads half of it
