"""A web server on loopback that answers exactly what a test wrote down, byte by byte, however wrong that is."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    target: str
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes


Answer = Callable[[Asked], Iterable[bytes]]
"""What is sent, piece by piece; the connection is closed after the last."""


def answer(body: bytes = b"", status: str = "200 OK", **headers: object) -> Answer:
    """An answer of one piece; Content-Length is right unless it is among the headers (with underscores)."""
    named = {"content-length": len(body)} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value is not None)
    return lambda asked: [f"HTTP/1.1 {status}\r\n{lines}\r\n".encode(), body]


@dataclass
class ScriptedServer:
    """The server: answers in order, the last one again and again."""

    script: list[Answer]
    port: int
    scheme: str
    reads_bodies: bool = True
    asked: list[Asked] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    """Set when the test is over; answers without end look at it."""

    @property
    def origin(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def endless(self, first: bytes, piece: bytes, pause: float = 0.0) -> Answer:
        """Never stops sending."""

        def pieces(_: Asked) -> Iterator[bytes]:
            yield first
            while not self.closing.wait(pause):
                yield piece

        return pieces

    def silent(self, first: bytes = b"") -> Answer:
        """Sends no more, and stays."""

        def pieces(_: Asked) -> Iterator[bytes]:
            yield first
            self.closing.wait()

        return pieces

    def serve(self, connection: socket.socket) -> None:
        """One connection."""
        with connection, suppress(OSError, ValueError):
            asked = self._read(connection)
            self.asked.append(asked)
            reply = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            for piece in reply(asked):
                connection.sendall(piece)

    def _read(self, connection: socket.socket) -> Asked:
        with connection.makefile("rb") as file:
            method, target, _ = file.readline().decode().split(" ")
            lines = iter(lambda: file.readline().decode().rstrip("\r\n"), "")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = file.read(int(headers.get("content-length", "0"))) if self.reads_bodies else b""
        return Asked(method, target, headers, body)


@contextmanager
def scripted_server(*script: Answer, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    """Serves until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = ScriptedServer(list(script), listener.getsockname()[1], "https" if tls else "http")
        threads: list[threading.Thread] = []

        def one(connection: socket.socket) -> None:
            with suppress(OSError):
                server.serve(tls.wrap_socket(connection, server_side=True) if tls else connection)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threads.append(threading.Thread(target=one, args=(listener.accept()[0],), daemon=True))
                    threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield server
        finally:
            server.closing.set()
            listener.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *threads):
                thread.join(5)
