"""A network that breaks: a TCP proxy that cuts connections in the middle of an answer, or of a request."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType


class CuttingProxy:
    """Forwards connections to a port of this machine, and cuts the first on which many bytes have come.

    Attributes:
        port: where it listens.
        cuts: how many connections it has cut.
    """

    def __init__(
        self,
        target: int,
        *,
        after_bytes: int,
        times: int,
        requests: bool = False,
        on_cut: Callable[[], object] = lambda: None,
    ) -> None:
        """Prepares.

        Args:
            target: port to forward to.
            after_bytes: a connection is cut when more than these have come.
            times: how many connections are cut.
            requests: whether the bytes of requests count, and not those of answers.
            on_cut: called before a connection is cut.
        """
        self._target, self._after, self._left, self._on_cut = target, after_bytes, times, on_cut
        self._requests = requests
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0

    def __enter__(self) -> "CuttingProxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        with self._lock:
            for each in self._open:
                _shut(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # nobody listens there at the moment
                _shut(client)
                continue
            with self._lock:
                self._open += [client, server]
            for source, sink, cut in ((client, server, self._requests), (server, client, not self._requests)):
                limit = self._after if cut else None
                threading.Thread(target=self._forward, args=(source, sink, limit), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        passed = 0
        try:
            while data := source.recv(16384):
                passed += len(data)
                if limit is not None and passed > limit and self._may_cut():
                    self._on_cut()
                    break
                target.sendall(data)
        except OSError:
            pass
        _shut(source)
        _shut(target)

    def _may_cut(self) -> bool:
        with self._lock:
            if self._left == 0:
                return False
            self._left -= 1
            self.cuts += 1
            return True


def _shut(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
