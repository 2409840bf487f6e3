"""Connections to an address that was checked: no redirects, no proxies, and none that outlives its call or its time.

An address's query, which of a presigned address is the key, stands in no message here; urllib3's connections are used
without its pools, as those log every request.
"""

import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException

from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from seamline.errors import Cancelled, Precondition, ServiceUnavailable
from seamline.job import Job
from seamline_editor.addresses import Address

CHUNK_BYTES = 1 << 18
ATTEMPTS = 4
"""Connections that may break before a transfer is given up."""
BACKOFF_SECONDS = 0.5
"""Mean wait before the second; it doubles each time."""
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 30.0
"""How long the other side may say, or take, nothing."""
WATCH_SECONDS = 0.5
"""Between looks at whether the call is cancelled or the time is up."""

_HEADERS = {"User-Agent": "seamline"}


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a transfer may cost."""

    bytes: int
    """Of a file that is fetched."""
    seconds: float
    """In all, repeats and waits included."""


class Broken(Exception):
    """A connection that failed, where another may not."""


class Connections:
    """Those of one transfer, one after another."""

    def __init__(self, address: Address, bounds: Bounds, job: Job) -> None:
        self._address, self._bounds, self._job = address, bounds, job
        self._end = time.monotonic() + bounds.seconds

    def persist(self, attempt: Callable[[], None]) -> None:
        """Makes attempts until one does not break.

        Raises:
            ServiceUnavailable: all of them broke.
            Precondition: the time is up.
            Cancelled: the caller went away.
        """
        reason = ""
        for number in range(ATTEMPTS):
            self._pause(BACKOFF_SECONDS * 2 ** (number - 1) if number else 0.0)
            try:
                return attempt()
            except Broken as broken:
                reason = str(broken)
        raise ServiceUnavailable(
            f"{self._address.field}: {self._address} breaks off or does not answer ({reason}), {ATTEMPTS} times in a "
            "row; repeat the call once it does",
            field=self._address.field,
        )

    @contextmanager
    def answer(
        self, method: str, headers: Mapping[str, str], body: Iterable[bytes] | None = None
    ) -> Iterator[HTTPResponse]:
        """The answer to one request, while its connection is open.

        Raises:
            Broken: the network or the server failed, before the block or in it.
            Precondition: the server's certificate is not trusted, or the time is up.
            Cancelled: the caller went away.
        """
        connection = self._connection()
        try:
            with self._watched(connection), self._failures_named():
                connection.connect()
                connection.timeout = SILENCE_SECONDS
                # A server that refuses may say so, and close, before it has taken everything.
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(
                        method,
                        self._address.target,
                        body=body,
                        headers={**_HEADERS, **headers},
                        preload_content=False,
                        decode_content=False,
                    )
                yield connection.getresponse()
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        origin = self._address.origin
        kind = HTTPSConnection if origin.scheme == "https" else HTTPConnection
        return kind(origin.host.strip("[]"), origin.port, timeout=CONNECT_SECONDS)

    @contextmanager
    def _watched(self, connection: HTTPConnection) -> Iterator[None]:
        """Cuts the connection when the call is cancelled or its time is up: timeouts never end a peer that drips."""
        over, cut = threading.Event(), threading.Event()

        def watch() -> None:
            while not over.wait(WATCH_SECONDS):
                try:
                    self._check()
                except (Cancelled, Precondition):
                    cut.set()
                    _cut(connection)

        watcher = threading.Thread(target=watch, name="transfer-watch", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            if cut.is_set():  # whatever it looked like to the one who read
                self._check()

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            raise Precondition(
                f"{self._address.field}: the certificate of {self._address.origin} is not trusted "
                f"({error.verify_message}); if its authority is your own, name the file of its certificates in the "
                "editor's SSL_CERT_FILE",
                field=self._address.field,
            ) from None
        except (HTTPError, HTTPException, OSError) as error:
            # By its type alone: the text of some names the address, or says what the other side chose to send.
            raise Broken(type(error).__name__) from None

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds * random.uniform(0.5, 1.5)
        while True:
            self._check()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, WATCH_SECONDS))

    def _check(self) -> None:
        """Raises Cancelled, or Precondition if the time is up."""
        self._job.check()
        if time.monotonic() > self._end:
            raise Precondition(
                f"{self._address.field}: {self._address} takes more than {self._bounds.seconds:g} s "
                "(SEAMLINE_TRANSFER_SECONDS); use a faster server or a smaller video",
                field=self._address.field,
            )


def _cut(connection: HTTPConnection) -> None:
    """Ends a connection under the thread that waits for it."""
    if isinstance(connection.sock, socket.socket):
        with suppress(OSError):
            # Not the TLS socket's own: it takes the session away from the other thread, which then fails oddly.
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
