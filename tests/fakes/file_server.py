"""An HTTP server on loopback that serves a few files well or badly, and notes what it was asked for."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread


@dataclass(kw_only=True)
class Served:
    """What the server has, and how it misbehaves."""

    files: dict[str, bytes]
    """By path without the leading slash."""
    ranges: bool = True
    """Whether it answers requests for a part with that part."""
    etag: str = '"one"'
    """Of all files; empty for none."""
    cuts: list[int] = field(default_factory=list)
    """Of one answer after another: how many bytes are sent before the connection is cut."""
    stall: Event | None = None
    """Whether a cut answer stays open until this is set, instead of ending."""
    damaged: int = 0
    """How many of the next answers have a byte turned over."""
    statuses: list[int] = field(default_factory=list)
    """Of the next answers, which have no content."""
    redirects: dict[str, str] = field(default_factory=dict)
    html: bool = False
    """Whether it answers with a web page."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and range of every request."""
    on_request: Callable[[], None] = lambda: None
    url: str = ""
    """Where it is, without a slash at the end."""


@contextmanager
def serving(served: Served) -> Iterator[Served]:
    """Serve until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield served
    finally:
        if served.stall:
            served.stall.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.lstrip("/").partition("?")[0]
            served.asked.append((path, self.headers.get("Range", "")))
            served.on_request()
            if served.statuses:
                self._plain(served.statuses.pop(0), b"")
            elif path in served.redirects:
                self.send_response(302)
                self.send_header("Location", served.redirects[path])
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif path not in served.files:
                self._plain(404, b"")
            elif served.html:
                self._plain(200, b"<html>are you sure?</html>", "text/html; charset=utf-8")
            else:
                self._file(served.files[path])

        def _plain(self, status: int, content: bytes, kind: str = "text/plain") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _file(self, content: bytes) -> None:
            start = self._start(len(content))
            if start is not None and start >= len(content):
                self._plain(416, b"")
                return
            self.send_response(200 if start is None else 206)
            if start is not None:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if served.etag:
                self.send_header("ETag", served.etag)
            rest = content[start or 0 :]
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self._send(rest)

        def _start(self, size: int) -> int | None:
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            condition = self.headers.get("If-Range")
            if not served.ranges or not asked or (condition and condition != served.etag):
                return None
            return int(asked[1])

        def _send(self, content: bytes) -> None:
            if served.damaged:
                served.damaged -= 1
                content = bytes([content[0] ^ 1]) + content[1:]
            cut = served.cuts.pop(0) if served.cuts else None
            try:
                self.wfile.write(content[:cut])
                self.wfile.flush()
            except OSError:
                return
            if cut is not None and served.stall:
                served.stall.wait(20)
            self.close_connection = True

    return Handler
