"""A channel whose credentials may change while it is in use."""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import grpc

from seamline.rpc.reloaded import Reloaded

Metadata = tuple[tuple[str, str], ...]

Credentials = Reloaded[grpc.ChannelCredentials | None]


class _Generation:
    """A channel with the credentials of one moment, and the calls under way on it."""

    def __init__(self, credentials: grpc.ChannelCredentials | None, channel: grpc.aio.Channel) -> None:
        self.credentials = credentials
        self.channel = channel
        self.calls = 0


class RenewingChannel(grpc.aio.Channel):
    """Makes each call on a channel with the credentials of that moment, and sends some metadata along with it.

    gRPC's own channel keeps the credentials it was made with, which is a certificate that will have expired when the
    process is old. Calls under way end on the channel that they began on.
    """

    def __init__(
        self,
        connect: Callable[[grpc.ChannelCredentials | None], grpc.aio.Channel],
        credentials: Credentials,
        metadata: Metadata = (),
    ) -> None:
        """Makes the first channel.

        Args:
            connect: makes a channel; without credentials, a plaintext one.
            credentials: asked at every call.
            metadata: sent with every call.
        """
        self._connect, self._credentials, self._metadata = connect, credentials, metadata
        self._old: set[_Generation] = set()
        self._closing: set[asyncio.Future[None]] = set()
        first = credentials.get()
        self._latest = _Generation(first, connect(first))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Closes all channels, and cancels the calls on them that do not end within `grace` seconds."""
        for generation in (*self._old, self._latest):
            await generation.channel.close(grace)
        await asyncio.gather(*self._closing)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The state of the channel on which the next call would be made."""
        return self._current().channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Waits for another state of the present channel."""
        await self._current().channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Waits until the present channel is connected."""
        await self._current().channel.channel_ready()

    def unary_unary(self, *method: Any, **options: Any) -> Any:
        """A method, as `grpc.aio.Channel` describes it."""
        return self._method("unary_unary", method, options)

    def unary_stream(self, *method: Any, **options: Any) -> Any:
        """A method, as `grpc.aio.Channel` describes it."""
        return self._method("unary_stream", method, options)

    def stream_unary(self, *method: Any, **options: Any) -> Any:
        """A method, as `grpc.aio.Channel` describes it."""
        return self._method("stream_unary", method, options)

    def stream_stream(self, *method: Any, **options: Any) -> Any:
        """A method, as `grpc.aio.Channel` describes it."""
        return self._method("stream_stream", method, options)

    def _method(self, kind: str, method: Any, options: Any) -> Callable[..., Any]:
        def start(*request: Any, metadata: Any = (), **settings: Any) -> Any:
            on = self._current()
            call = getattr(on.channel, kind)(*method, **options)(
                *request, metadata=(*(metadata or ()), *self._metadata), **settings
            )
            on.calls += 1
            call.add_done_callback(lambda _: self._ended(on))
            return call

        return start

    def _current(self) -> _Generation:
        credentials = self._credentials.get()
        if credentials is not self._latest.credentials:
            before, self._latest = self._latest, _Generation(credentials, self._connect(credentials))
            self._old.add(before)
            self._close_if_idle(before)
        return self._latest

    def _ended(self, generation: _Generation) -> None:
        generation.calls -= 1
        self._close_if_idle(generation)

    def _close_if_idle(self, generation: _Generation) -> None:
        if generation in self._old and not generation.calls:
            self._old.remove(generation)
            closing = asyncio.ensure_future(generation.channel.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
