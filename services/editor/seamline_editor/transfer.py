"""One file over HTTP, from or to an address that was checked, bounded in bytes and seconds."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from urllib3 import HTTPResponse

from seamline.errors import InvalidInput, NotFound, Precondition
from seamline.job import Job, Step
from seamline_editor.addresses import Address
from seamline_editor.connections import CHUNK_BYTES, Bounds, Broken, Connections

_ETAG = re.compile(r'"[!#-~]*"')
"""A strong one: the same bytes."""
_PASSING = {408, 416, 425, 429, 500, 502, 503, 504}


def download(address: Address, path: Path, bounds: Bounds, job: Job) -> None:
    """Fetches a file in bounded memory. What arrived before a connection broke is not fetched again, if the server can.

    Raises:
        NotFound: there is none.
        InvalidInput: the server refuses, redirects, or the file is too large; the error's field is the address's.
        Precondition: it takes too long, or the server's certificate is not trusted.
        ServiceUnavailable: the server does not answer or breaks off, again and again.
        Cancelled: the caller went away.
    """
    connections = Connections(address, bounds, job)
    with path.open("wb", buffering=0) as file, job.step("download") as step:
        part = _Part(address, file, bounds.bytes, step)

        def attempt() -> None:
            with connections.answer("GET", part.headers()) as answer:
                part.begin(answer)
                for chunk in _chunks(answer):
                    part.write(chunk)

        connections.persist(attempt)


def upload(address: Address, path: Path, kind: str, bounds: Bounds, job: Job) -> None:
    """Sends a file by PUT, from its beginning after a connection that broke.

    Args:
        address: where to.
        path: the file.
        kind: its Content-Type.
        bounds: what it may cost.
        job: the call.

    Raises:
        NotFound, InvalidInput, Precondition, ServiceUnavailable, Cancelled: as `download`.
    """
    connections = Connections(address, bounds, job)
    headers = {"Content-Length": str(path.stat().st_size), "Content-Type": kind}
    with job.step("upload", total=path.stat().st_size) as step:

        def attempt() -> None:
            with path.open("rb") as file, connections.answer("PUT", headers, _pieces(file, step)) as answer:
                _check_status(answer.status, address, (200, 201, 204))

        connections.persist(attempt)


class _Part:
    """What has arrived of a file."""

    def __init__(self, address: Address, file: BinaryIO, limit: int, step: Step) -> None:
        self._address, self._file, self._limit, self._step = address, file, limit, step
        self._etag = ""
        self._size = 0

    def headers(self) -> dict[str, str]:
        """Asks for the rest of the same version, where something is there."""
        return {"Range": f"bytes={self._size}-", "If-Range": self._etag} if self._etag and self._size else {}

    def begin(self, answer: HTTPResponse) -> None:
        """Takes the headers of an answer."""
        asked = bool(self.headers())
        etag = answer.headers.get("ETag", "")
        if answer.status == 416:
            self._etag = ""
        _check_status(answer.status, self._address, (200, 206) if asked else (200,))
        if answer.status == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {self._size}-"):
            self._etag = ""
            raise Broken("another range than the one asked for")
        if answer.status == 200:
            self._restart()
            self._etag = etag if _ETAG.fullmatch(etag) else ""
        if answer.length_remaining is not None:
            total = self._size + answer.length_remaining
            self._check_size(total)
            self._step.total = total
        elif "chunked" not in answer.headers.get("Transfer-Encoding", ""):
            raise InvalidInput(
                f"{self._address.field}: {self._address} does not say how long it is, so that a connection "
                "which breaks cannot be told from its end; serve it with its Content-Length",
                field=self._address.field,
            )

    def write(self, chunk: bytes) -> None:
        """Takes a piece of the body."""
        self._size += len(chunk)
        self._check_size(self._size)
        try:
            rest = memoryview(chunk)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise Precondition(
                f"{self._address.field}: {self._address} cannot be kept while it arrives: {error.strerror}; make room "
                "where the editor has its temporary files",
                field=self._address.field,
            ) from error
        self._step.advance(len(chunk))

    def _restart(self) -> None:
        if self._size:
            self._file.seek(0)
            self._file.truncate()
        self._size = self._step.done = 0

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise InvalidInput(
                f"{self._address.field}: {self._address} has at least {size} bytes, of {self._limit} at most "
                "(SEAMLINE_MAX_VIDEO_BYTES); shorten the video or compress it more",
                field=self._address.field,
                limit=self._limit,
            )


def _pieces(file: BinaryIO, step: Step) -> Iterator[bytes]:
    """A file that is sent, from its beginning, and whose progress is told."""
    step.done = 0
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
        step.advance(len(chunk))


def _chunks(answer: HTTPResponse) -> Iterator[bytes]:
    # As they come, so that little is lost with a connection; never unpacked, as a digest is of what was published.
    while chunk := answer.read1(CHUNK_BYTES, decode_content=False):
        yield chunk


def _check_status(status: int, address: Address, fine: tuple[int, ...]) -> None:
    if status in fine:
        return
    if status in _PASSING:
        raise Broken(f"status {status}")
    shown = f"{address.field}: {address}"
    if status in (404, 410):
        raise NotFound(f"{shown} is not there (status {status}); check the address", field=address.field)
    if 300 <= status < 400:
        remedy = "redirects are not followed: give the address that it leads to"
    elif status in (401, 403):
        remedy = "a presigned address holds for one method and a limited time: make a new one and repeat the call"
    else:
        remedy = "check the address and the server"
    raise InvalidInput(f"{shown} answers with status {status}; {remedy}", field=address.field, status=status)
