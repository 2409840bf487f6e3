"""OpenTelemetry traces through all services, when OTEL_EXPORTER_OTLP_ENDPOINT names a collector.

Without it nothing of OpenTelemetry is imported, and every function here does nothing. With it, each call that a
service serves, each attempt to call another, and each step of a stage is a span; `seamline.request_id` joins a trace to
the logs. Sampling, headers and TLS are set by OpenTelemetry's own OTEL_* variables.
"""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from seamline.errors import InvalidInput

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"

Metadata = tuple[tuple[str, str], ...]


class Span(Protocol):
    """A call under way, served or made."""

    @property
    def metadata(self) -> Metadata:
        """What the called service needs to go on with the trace."""
        ...

    def end(self, code: str, detail: str = "") -> None:
        """Ends the span with the name of a gRPC status; anything but OK is an error. Only the first end counts."""
        ...


class Tracer(Protocol):
    """Makes spans."""

    def served(self, method: str, metadata: Mapping[str, str], request_id: str) -> Span:
        """A call that arrived. What its task does from now on belongs to it."""
        ...

    def made(self, method: str, endpoint: str) -> Span:
        """A call about to be made."""
        ...

    def step(self, stage: str, step: str) -> AbstractContextManager[object]:
        """The block as one step."""
        ...

    def close(self) -> None:
        """Sends what has not been sent."""
        ...


class _NoSpan:
    metadata: Metadata = ()

    def end(self, code: str, detail: str = "") -> None:
        pass


class _NoTracer:
    def served(self, method: str, metadata: Mapping[str, str], request_id: str) -> Span:
        return _NO_SPAN

    def made(self, method: str, endpoint: str) -> Span:
        return _NO_SPAN

    def step(self, stage: str, step: str) -> AbstractContextManager[object]:
        return _NOTHING

    def close(self) -> None:
        pass


_NO_SPAN = _NoSpan()
_NOTHING = nullcontext()
_tracer: Tracer = _NoTracer()


def configure(service: str) -> None:
    """Starts to trace this process, if a collector is named.

    Raises:
        InvalidInput: a collector is named, but OpenTelemetry is not installed.
    """
    global _tracer
    if not os.environ.get(ENDPOINT):
        return
    try:
        from seamline.rpc.otel import OtelTracer
    except ImportError as error:
        raise InvalidInput(
            f"{ENDPOINT} is set, but OpenTelemetry is not installed ({error}); "
            "pip install 'seamline[otel]', or unset it"
        ) from error
    _tracer = OtelTracer(service)


def close() -> None:
    """Sends what has not been sent, and traces no more."""
    global _tracer
    tracer, _tracer = _tracer, _NoTracer()
    tracer.close()


def served(method: str, metadata: Mapping[str, str], request_id: str) -> Span:
    """See `Tracer.served`."""
    return _tracer.served(method, metadata, request_id)


def made(method: str, endpoint: str) -> Span:
    """See `Tracer.made`."""
    return _tracer.made(method, endpoint)


def step(stage: str, step: str) -> AbstractContextManager[object]:
    """See `Tracer.step`."""
    return _tracer.step(stage, step)
