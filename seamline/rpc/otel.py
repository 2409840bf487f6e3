"""The tracer that speaks OTLP; the one user of `opentelemetry`, imported only where a collector is named."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from threading import Timer

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

LAST_BATCH_SECONDS = 3.0
"""How long the end of a process may be put off by its last spans."""

_PROPAGATOR = TraceContextTextMapPropagator()


class OtelSpan:
    """One span; its attributes follow OpenTelemetry's conventions for RPC."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The trace context as W3C headers."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, trace.set_span_in_context(self._span))
        return tuple(carrier.items())

    def end(self, code: str, detail: str = "") -> None:
        """Ends the span with the name of a gRPC status."""
        if not self._span.is_recording():
            return
        self._span.set_attribute("rpc.response.status_code", code)
        if code != "OK":
            self._span.set_status(Status(StatusCode.ERROR, detail or code))
        self._span.end()


class OtelTracer:
    """Sends spans to the collector in batches, from a thread of its own."""

    def __init__(self, service: str) -> None:
        """Connects when the first batch is due; a collector that is away costs spans and nothing else."""
        name = os.environ.get("OTEL_SERVICE_NAME") or f"seamline-{service}"
        self._provider = TracerProvider(resource=Resource.create({"service.name": name}))
        self._exporter = OTLPSpanExporter()
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("seamline")

    def served(self, method: str, metadata: Mapping[str, str], request_id: str) -> OtelSpan:
        """Starts the span of a call that arrived, and makes it the current one of the call's task."""
        span = self._tracer.start_span(
            method.lstrip("/"),
            context=_PROPAGATOR.extract(metadata),
            kind=SpanKind.SERVER,
            attributes={"rpc.system.name": "grpc", "rpc.method": method.lstrip("/"), "seamline.request_id": request_id},
        )
        # Never detached: it ends with the context of the task, which serves this call only.
        context.attach(trace.set_span_in_context(span))
        return OtelSpan(span)

    def made(self, method: str, endpoint: str) -> OtelSpan:
        """Starts the span of one attempt; not the current one, since it ends in whatever context closes the stream."""
        attributes = {"rpc.system.name": "grpc", "rpc.method": method, "server.address": endpoint}
        return OtelSpan(self._tracer.start_span(method, kind=SpanKind.CLIENT, attributes=attributes))

    def step(self, stage: str, step: str) -> AbstractContextManager[object]:
        """A span inside that of the call."""
        attributes = {"seamline.stage": stage, "seamline.step": step}
        return self._tracer.start_as_current_span(f"{stage} {step}", attributes=attributes)

    def close(self) -> None:
        """Sends the last batch; a service that ends does not wait for a collector that is away."""
        giving_up = Timer(LAST_BATCH_SECONDS, self._exporter.shutdown)
        giving_up.start()
        self._provider.shutdown()
        giving_up.cancel()
