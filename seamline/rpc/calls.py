"""What happens to every call at the server's edge: its status, its metrics, its log line and its request id.

Servicers just raise `seamline.errors`: this interceptor turns them into statuses. Anything else that they
raise becomes INTERNAL, with the traceback in the log, and the service lives on.
"""

import asyncio
import contextvars
import inspect
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

import grpc

from seamline.errors import SeamlineError
from seamline.rpc import metrics, tracing
from seamline.rpc.callers import ADMISSION, UNASKED, UNGUARDED, Caller, Gate, names_of, open_gate
from seamline.rpc.errors import abort, mapping_of, status_of
from seamline.rpc.logs import REQUEST_ID, REQUEST_ID_KEY

logger = logging.getLogger(__name__)

INFRASTRUCTURE = "grpc."
"""Package of the services that gRPC brings along (health, reflection): never waited for, logged at DEBUG."""

DRAINING: ContextVar[asyncio.Event | None] = ContextVar("seamline_draining", default=None)
"""Set once the server of the call being served has been told to stop."""

_TYPES = {
    (False, False): ("unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("server_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("client_stream", grpc.stream_unary_rpc_method_handler),
    (True, True): ("bidi_stream", grpc.stream_stream_rpc_method_handler),
}
_FAULTS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS)


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of one server, all of them asynchronous.

    Attributes:
        idle: set while no call is under way, infrastructure's aside.
        draining: set it when the server is to stop; calls see it as `DRAINING`.
    """

    def __init__(self, gate: Gate = open_gate) -> None:
        """Starts idle.

        Args:
            gate: asked before each call, health's aside.
        """
        self._gate = gate
        self.idle = asyncio.Event()
        self.draining = asyncio.Event()
        self.idle.set()
        self._running = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:  # no such method: gRPC answers UNIMPLEMENTED, and no label is made of what it sent
            return None
        kind, remake = _TYPES[handler.request_streaming, handler.response_streaming]
        call = (handler_call_details, kind)
        wrap = self._streaming if handler.response_streaming else self._unary
        behaviour = next(
            filter(None, (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream))
        )
        return remake(wrap(behaviour, *call), handler.request_deserializer, handler.response_serializer)

    def _unary(self, behaviour: Callable[..., Any], details: grpc.HandlerCallDetails, kind: str) -> Any:
        async def handle(request: Any, context: grpc.aio.ServicerContext) -> Any:
            call = self._begin(details, kind, context)
            try:
                call.enter(self._gate)
                response = await behaviour(call.received(request), context)
            except Exception as error:
                await call.fail(error)
                raise
            call.code = grpc.StatusCode.OK
            call.sent.inc()
            return response

        return handle

    def _streaming(self, behaviour: Callable[..., Any], details: grpc.HandlerCallDetails, kind: str) -> Any:
        async def handle(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            call = self._begin(details, kind, context)
            try:
                call.enter(self._gate)
                # The headers tell the caller at once that somebody works on it.
                await context.send_initial_metadata(((REQUEST_ID_KEY, REQUEST_ID.get()),))
                responses = behaviour(call.received(request), context)
                if inspect.isawaitable(responses):  # writes to the context itself: the health service's Watch
                    await responses
                else:
                    async with aclosing(responses):
                        async for response in responses:
                            yield response
                            call.sent.inc()
            except Exception as error:
                await call.fail(error)
                raise
            call.code = grpc.StatusCode.OK

        return handle

    def _begin(self, details: grpc.HandlerCallDetails, kind: str, context: grpc.aio.ServicerContext) -> "Call":
        sent = [(name, str(value)) for name, value in details.invocation_metadata or ()]
        REQUEST_ID.set(dict(sent).get(REQUEST_ID_KEY, "")[:64] or uuid.uuid4().hex)
        DRAINING.set(self.draining)
        call = Call(details.method, kind, context, sent)
        self._count(call, 1)
        # Called when the call is over in any way, a caller that vanished between two messages included.
        surroundings = contextvars.copy_context()
        context.add_done_callback(lambda _: surroundings.run(self._end, call))  # pyright: ignore[reportArgumentType]
        return call

    def _end(self, call: "Call") -> None:
        self._count(call, -1)
        call.finish()

    def _count(self, call: "Call", change: int) -> None:
        if call.infrastructure:
            return
        self._running += change
        (self.idle.clear if self._running else self.idle.set)()


class Call:
    """One call under way: collects what its metrics and its log line say.

    Attributes:
        code: its status once that is known; None if the caller ended the call.
        sent: counts the messages sent.
    """

    def __init__(
        self, method: str, kind: str, context: grpc.aio.ServicerContext, metadata: Sequence[tuple[str, str]]
    ) -> None:
        self.code: grpc.StatusCode | None = None
        self.infrastructure = method.lstrip("/").startswith(INFRASTRUCTURE)
        self._span = None if self.infrastructure else tracing.served(method, dict(metadata), REQUEST_ID.get())
        self._method = method
        self._context = context
        self._admission = UNASKED
        self._authorization = [str(value) for key, value in metadata if key == "authorization"]
        self._detail = ""
        self._labels = (kind, *method.lstrip("/").split("/", 1))
        self._start = time.perf_counter()
        self.sent = metrics.SENT.labels(*self._labels)
        self._received = metrics.RECEIVED.labels(*self._labels)
        metrics.STARTED.labels(*self._labels).inc()

    def enter(self, gate: Gate) -> None:
        """Asks the gate, unless the call is a probe's.

        Raises:
            SeamlineError: the caller is not let in.
        """
        if self._method.startswith(UNGUARDED):
            return
        names = names_of(self._context.auth_context())
        self._admission = gate(Caller(method=self._method, authorization=self._authorization, names=names))
        ADMISSION.set(self._admission)

    def received(self, request: Any) -> Any:
        """The request, or the stream of them, with its messages counted."""
        if not isinstance(request, AsyncIterator):
            self._received.inc()
            return request

        async def counted() -> AsyncIterator[Any]:
            async for message in request:
                self._received.inc()
                yield message

        return counted()

    async def fail(self, error: Exception) -> None:
        """Ends the call with the status of what its handler raised."""
        if isinstance(error, grpc.aio.AbortError):  # the handler chose its own status
            code = self._context.code()
            self.code = next((known for known in grpc.StatusCode if code in (known, known.value[0])), None)
            return
        if not isinstance(error, SeamlineError):
            logger.exception("call crashed", extra={"method": self._method})
            error = SeamlineError(
                f"{self._method} crashed ({type(error).__name__}: {error}); "
                f"the service's log has the traceback under request {REQUEST_ID.get()}"
            )
        # As much of the message as the caller gets: it may repeat what the request was full of.
        self.code, self._detail = mapping_of(error).code, status_of(error).message
        await abort(self._context, error)

    def finish(self) -> None:
        """Counts and logs the call, and has the gate know that it is over."""
        self._admission.leave()
        seconds = time.perf_counter() - self._start
        code = self.code or self._code_of_lost_caller()
        metrics.HANDLED.labels(*self._labels, code.name).inc()
        metrics.HANDLING.labels(*self._labels).observe(seconds)
        if self._span is not None:
            self._span.end(code.name, self._detail)
        level = logging.ERROR if code in _FAULTS else logging.INFO
        extra = {"method": self._method, "code": code.name, "seconds": round(seconds, 4)}
        if self._admission.client:
            extra["client"] = self._admission.client
        if self._detail:
            extra["detail"] = self._detail
        logger.log(logging.DEBUG if self.infrastructure else level, "call", extra=extra)

    def _code_of_lost_caller(self) -> grpc.StatusCode:
        remaining = self._context.time_remaining()
        expired = remaining is not None and remaining <= 0
        return grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED
