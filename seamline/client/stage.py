"""Calls a stage: a stream of progress and then one result, repeated when it breaks.

The call is the job. A service keeps finished parts under keys that follow from the request, so a broken
call loses at most the part in hand, and repeating it needs no care here.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import grpc

from seamline.client.connecting import answered
from seamline.errors import Cancelled, SeamlineError, ServiceUnavailable, StoreUnavailable
from seamline.rpc import tracing
from seamline.rpc.errors import error_from_call, retry_seconds
from seamline.rpc.logs import REQUEST_ID, REQUEST_ID_KEY

_BROKEN = (ServiceUnavailable, StoreUnavailable)
"""What may be well at the next attempt."""
LEAST_WAIT = 0.1
"""Seconds between a refusal and the next attempt, also where a service asks for less: patience is to end some day."""


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How much a caller puts up with before it sees an error."""

    connect_seconds: float = 30.0
    """How long a service may take to answer at all, for instance while it starts."""
    repeats: int = 4
    """How often a broken call is repeated: a replica killed or drained, a connection or the store lost."""
    backoff_seconds: float = 0.5
    """Mean wait before the first repeat; it doubles each time."""
    patience_seconds: float = 600.0
    """How long to wait, in all, for room while every replica is full, or for more of a quota."""


class _Attempts:
    """What is left of one call's deadline, repeats and patience."""

    def __init__(self, endpoint: str, timeout: float | None, retry: Retry) -> None:
        self._endpoint = endpoint
        self._retry = retry
        self._end = None if timeout is None else time.monotonic() + timeout
        self._broken = 0
        self._waited = 0.0

    def remaining(self) -> float | None:
        """Seconds until the deadline; None without one.

        Raises:
            Cancelled: it passed.
        """
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise Cancelled(
                f"the deadline of the call to {self._endpoint} passed; repeat it to go on from what is finished",
                endpoint=self._endpoint,
            )
        return left

    async def pause_after(self, call: grpc.aio.AioRpcError) -> None:
        """Returns when the call may be repeated.

        Raises:
            SeamlineError: it may not.
        """
        error = error_from_call(call, self._endpoint)
        if isinstance(error, _BROKEN) and self._broken < self._retry.repeats:
            wait = self._retry.backoff_seconds * 2**self._broken
            self._broken += 1
        elif (room := retry_seconds(call)) is not None and self._waited + room <= self._retry.patience_seconds:
            wait = max(room, LEAST_WAIT)
            self._waited += wait
        else:
            raise error from None
        left = self.remaining()
        # Spread, so that callers turned away together do not come back together.
        wait *= random.uniform(0.5, 1.5)
        await asyncio.sleep(wait if left is None else min(wait, left))


async def call_stage(
    method: grpc.aio.UnaryStreamMultiCallable[Any, Any],
    request: Any,
    endpoint: str,
    *,
    channel: grpc.aio.Channel | None = None,
    timeout: float | None = None,
    retry: Retry = Retry(),
    metadata: tuple[tuple[str, str], ...] = (),
) -> AsyncGenerator[Any, None]:
    """Yields the Progress of a stage call, then its result; closing the iterator cancels the call.

    Args:
        method: of a stub on `open_channel`; its responses have the oneof `event` of progress and result.
        request: the method's request.
        endpoint: named in errors.
        channel: the stub's; asked why it does not connect, if it is given.
        timeout: seconds for all attempts together; None for as long as it takes.
        retry: how much to put up with.
        metadata: sent along.

    Raises:
        SeamlineError: what the service raised, of the same type, field and metadata; ServiceUnavailable if it
            does not answer, Cancelled if the deadline passed.
    """
    attempts = _Attempts(endpoint, timeout, retry)
    while True:
        timeout = attempts.remaining()
        span = tracing.made(request.DESCRIPTOR.full_name.removesuffix("Request"), endpoint)
        sent = (*request_metadata(), *span.metadata, *metadata)
        call = method(request, timeout=timeout, wait_for_ready=True, metadata=sent)
        try:
            await answered(call, endpoint, retry.connect_seconds, channel)
            async for response in call:
                if response.HasField("result"):
                    await call.code()  # or the server would see a call cancelled that it has just finished
                    span.end("OK")
                    yield response.result
                    return
                yield response.progress
            raise SeamlineError(f"{endpoint} ended its stream without a result", endpoint=endpoint)
        except grpc.aio.AioRpcError as error:
            span.end(error.code().name, error.details() or "")
            await attempts.pause_after(error)
        finally:
            call.cancel()
            span.end("CANCELLED")  # unless it has ended before


def request_metadata() -> tuple[tuple[str, str], ...]:
    """Hands the id of the request being served on to the services that serve it."""
    request_id = REQUEST_ID.get()
    return ((REQUEST_ID_KEY, request_id),) if request_id else ()
