"""An OpenTelemetry collector that keeps what it is sent."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Spanned(NamedTuple):
    """One span, as it arrived."""

    service: str
    name: str
    trace: bytes
    id: bytes
    parent: bytes
    kind: int
    failed: bool
    attributes: dict[str, str]


class KeepingCollector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps every span.

    Attributes:
        endpoint: for OTEL_EXPORTER_OTLP_ENDPOINT.
        spans: what arrived.
    """

    def __init__(self) -> None:
        self.endpoint = ""
        self.spans: list[Spanned] = []

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        for group in request.resource_spans:
            service = next(a.value.string_value for a in group.resource.attributes if a.key == "service.name")
            for scope in group.scope_spans:
                self.spans += [_spanned(service, span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def named(self, name: str) -> list[Spanned]:
        """The spans of one name."""
        return [span for span in self.spans if span.name == name]


def _spanned(service: str, span: Any) -> Spanned:
    return Spanned(
        service=service,
        name=span.name,
        trace=span.trace_id,
        id=span.span_id,
        parent=span.parent_span_id,
        kind=span.kind,
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        attributes={a.key: a.value.string_value for a in span.attributes},
    )


@contextmanager
def collecting() -> Iterator[KeepingCollector]:
    """A collector on a free port of loopback."""
    collector = KeepingCollector()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()
