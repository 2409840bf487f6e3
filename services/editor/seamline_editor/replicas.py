"""One stage service at one or more endpoints: a call that breaks or is refused is repeated elsewhere."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass
from typing import Any

import grpc

from seamline.client import Retry, call_stage
from seamline.errors import (
    Forbidden,
    Overloaded,
    SeamlineError,
    ServiceUnavailable,
    StoreUnavailable,
    Unauthenticated,
)
from seamline.rpc.metrics import RETRIES, WAITING
from seamline.rpc.stage import QUEUE_KEY

DNS = "dns:"
DNS_REPLICAS = 8
"""Replicas assumed behind a dns:/// name: how many calls are made at a time, and, since the channel asks one after
another, how often a refused call is repeated before it waits."""

BROKEN = (ServiceUnavailable, StoreUnavailable)
"""What may be gone at the next attempt."""

CONNECT_SECONDS = 30.0
"""How long the only endpoint may take to answer, for instance while it starts."""
CONNECT_ELSEWHERE_SECONDS = 5.0
"""The same, where another endpoint can be tried."""

_NO_QUEUE = ((QUEUE_KEY, "no"),)

Method = Callable[[grpc.aio.Channel], grpc.aio.UnaryStreamMultiCallable[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class Persistence:
    """How long a call is repeated."""

    repeats: int = 5
    """How often after a replica or the store was unavailable."""
    backoff_seconds: float = 0.5
    """Mean wait before the first of these repeats; it doubles each time."""
    patience_seconds: float = 1800.0
    """How much waiting for room a call puts up with."""


class _Endpoint:
    """One address, with the number of this process's calls under way there."""

    def __init__(self, address: str, channel: grpc.aio.Channel, method: Method) -> None:
        self.address = address
        self.channel = channel
        self.method = method(channel)
        self.running = 0


class Replicas:
    """All replicas of one stage service.

    Attributes:
        concurrency: how many calls they are expected to take at a time.
    """

    def __init__(
        self,
        stage: str,
        endpoints: str,
        open_channel: Callable[[str], grpc.aio.Channel],
        method: Method,
        persistence: Persistence = Persistence(),
    ) -> None:
        """Opens channels; they connect when first used.

        Args:
            stage: the stage that the method runs, for the metrics.
            endpoints: "host:port", or several with commas between, or "dns:///host:port".
            open_channel: makes a channel to one endpoint.
            method: the stage's method of the stub on a channel.
            persistence: how long a call is repeated.
        """
        addresses = [address.strip() for address in endpoints.split(",")]
        self._endpoints = [_Endpoint(address, open_channel(address), method) for address in addresses]
        self._persistence = persistence
        connect_seconds = CONNECT_SECONDS if len(addresses) == 1 else CONNECT_ELSEWHERE_SECONDS
        self._one_attempt = Retry(repeats=0, patience_seconds=0.0, connect_seconds=connect_seconds)
        self._turn = 0
        self._stage = stage
        self.concurrency = sum(DNS_REPLICAS if a.startswith(DNS) else 1 for a in addresses)
        WAITING.labels(stage)
        for reason in _REASONS:
            RETRIES.labels(stage, reason)

    async def call(self, request: Any) -> AsyncGenerator[Any, None]:
        """Yields the Progress of a stage call, then its result; closing the iterator cancels the call.

        Finished parts are kept by the services, so a repeated call loses at most the part in hand.

        Raises:
            SeamlineError: what the stage raised; Overloaded or ServiceUnavailable once persistence is spent.
        """
        attempts = _Attempts(self._stage, self._persistence, self.concurrency)
        tried: list[_Endpoint] = []
        while True:
            endpoint = self._choose(tried)
            endpoint.running += 1
            try:
                metadata = () if attempts.may_queue else _NO_QUEUE
                events = call_stage(
                    endpoint.method,
                    request,
                    endpoint.address,
                    channel=endpoint.channel,
                    retry=self._one_attempt,
                    metadata=metadata,
                )
                async with aclosing(events):
                    async for event in events:
                        yield event
                return
            except (*BROKEN, Overloaded) as error:
                await attempts.pause_after(error)
            except (Unauthenticated, Forbidden) as error:
                # Of the deployment, not of the client: a certificate of ours may be on its way.
                text = f"{endpoint.address} does not let the editor in: {error}"
                await attempts.pause_after(ServiceUnavailable(text, endpoint=endpoint.address))
            finally:
                endpoint.running -= 1
            tried = [endpoint] if len(tried) + 1 >= len(self._endpoints) else [*tried, endpoint]

    def _choose(self, tried: Sequence[_Endpoint]) -> _Endpoint:
        """The least busy endpoint not tried just now; equals take turns."""
        self._turn += 1
        order = self._endpoints[self._turn % len(self._endpoints) :] + self._endpoints
        untried = [endpoint for endpoint in order if endpoint not in tried]
        return min(untried or order, key=lambda endpoint: endpoint.running)


class _Attempts:
    """What is left of one call's persistence."""

    def __init__(self, stage: str, persistence: Persistence, replicas: int) -> None:
        self._stage = stage
        self._persistence = persistence
        self._replicas = replicas
        self._broken = 0
        self._refused = 0
        self._waited = 0.0

    @property
    def may_queue(self) -> bool:
        """Whether every replica has refused since the last wait: none is idle, and the call may queue in one."""
        return self._refused // self._replicas % 2 == 1

    async def pause_after(self, error: SeamlineError) -> None:
        """Returns when the call may be repeated.

        Raises:
            SeamlineError: `error`, if it may not.
        """
        if isinstance(error, Overloaded):
            self._refused += 1
            # Each replica is asked whether it is idle, then whether it has a place in its queue; all that at once.
            wait = 0.0 if self._refused % (2 * self._replicas) else error.retry_seconds
            self._waited += wait
            if self._waited > self._persistence.patience_seconds:
                raise error
        else:
            if self._broken >= self._persistence.repeats:
                raise error
            wait = self._persistence.backoff_seconds * 2**self._broken
            self._broken += 1
        RETRIES.labels(self._stage, _reason(error)).inc()
        with WAITING.labels(self._stage).track_inprogress() if isinstance(error, Overloaded) else nullcontext():
            # Spread, so that calls turned away together do not come back together.
            await asyncio.sleep(wait * random.uniform(0.5, 1.5))


_REASONS = ("refused", "unavailable", "store")


def _reason(error: SeamlineError) -> str:
    if isinstance(error, Overloaded):
        return "refused"
    return "store" if isinstance(error, StoreUnavailable) else "unavailable"
