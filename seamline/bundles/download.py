"""One file over HTTP: resumed where it broke off, also by another process, and never larger than agreed."""

import json
import os
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import urllib3

from seamline.errors import InvalidInput, NotFound, Precondition, ServiceUnavailable

CHUNK_BYTES = 1 << 20
LARGEST_BYTES = 4 << 30
"""Of a file whose size nobody documents."""
ATTEMPTS = 6
"""Connections in a row that bring nothing before it is given up."""
LONGEST_PAUSE = 30.0
"""Seconds between two attempts; they start at one and double."""
TIMEOUT = urllib3.Timeout(connect=20, read=60)
REDIRECTS = urllib3.Retry(connect=0, read=0, status=0, other=0, redirect=10)
"""Redirects are followed, to http and https only; all else is for `download` to repeat: it knows how much is there."""

_PASSING = {408, 425, 429, 500, 502, 503, 504}
_REFUSING = {401, 402, 403, 407, 451}

Advance = Callable[[int, int | None], None]
"""Told how many bytes are there, and how many there will be if that is known."""


class _Broken(Exception):
    """An attempt that failed and may be repeated."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is known of a file before it is fetched."""

    url: str
    size: int | None = None
    """Bytes; None if unknown."""
    checked: bool = False
    """Whether its digest is checked afterwards, so that parts of it may be joined without the server's promise that
    the file is still the same."""


def download(
    wanted: Wanted,
    target: Path,
    advance: Advance = lambda done, total: None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Fetch a file; what has arrived of it stays in `<target>.part` until it is whole.

    Args:
        wanted: Where and what.
        target: Appears once all bytes are there.
        advance: Told of every part that arrives.
        sleep: Waits between attempts.

    Raises:
        NotFound: There is no such file.
        InvalidInput: The address cannot be used, or the file is larger than it should be.
        Precondition: The server wants something else first, or the disk is full.
        ServiceUnavailable: The server does not answer, or breaks off again and again.
    """
    part = _Part(target, wanted)
    failures = 0
    with _pool(wanted.url) as pool:
        while not part.complete:
            before = part.size
            try:
                _attempt(pool, wanted, part, advance)
                break
            except InvalidInput:
                part.discard()
                raise
            except _Broken as broken:
                failures = 1 if part.size > before else failures + 1
                if failures >= ATTEMPTS:
                    raise ServiceUnavailable(
                        f"{wanted.url} breaks off or does not answer ({broken}); {part.size} bytes of it are kept: "
                        "run the same command again to go on from there",
                        url=wanted.url,
                    ) from broken.__cause__
                sleep(min(2.0 ** (failures - 1), LONGEST_PAUSE))
    part.finish()


def _attempt(pool: urllib3.PoolManager, wanted: Wanted, part: "_Part", advance: Advance) -> None:
    offset, headers = part.resume()
    with _answer(pool, wanted.url, headers) as answer:
        if answer.status == 416:
            part.discard()
            raise _Broken("the server has no such range")
        _check_status(answer, wanted.url)
        offset = offset if answer.status == 206 else 0
        total = _total(answer, offset)
        if total is not None:
            _check_size(wanted, total)
        advance(offset, total or wanted.size)
        with part.opened(offset, answer.headers) as file:
            for chunk in _chunks(answer):
                _check_size(wanted, offset + len(chunk), complete=False)
                file.write(chunk)
                file.flush()
                offset += len(chunk)
                advance(offset, total or wanted.size)
    expected = total if total is not None else wanted.size
    if expected is not None and offset < expected:
        raise _Broken(f"{offset} of {expected} bytes")


@contextmanager
def _answer(pool: urllib3.PoolManager, url: str, headers: dict[str, str]) -> Iterator[urllib3.BaseHTTPResponse]:
    try:
        answer = pool.request("GET", url, headers=headers, preload_content=False, retries=REDIRECTS, timeout=TIMEOUT)
    except (urllib3.exceptions.LocationValueError, UnicodeError) as error:
        raise InvalidInput(f"{url}: {error}; only http and https addresses are followed", url=url) from error
    except urllib3.exceptions.HTTPError as error:
        raise _Broken(str(error)) from error
    try:
        yield answer
    finally:
        answer.close()


def _chunks(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    try:
        # As they come, so that none is lost with the process; not decoded, as the digest is of the published bytes.
        while chunk := answer.read1(CHUNK_BYTES, decode_content=False):
            yield chunk
    except urllib3.exceptions.HTTPError as error:
        raise _Broken(str(error)) from error


def _check_status(answer: urllib3.BaseHTTPResponse, url: str) -> None:
    status = answer.status
    if status in _PASSING:
        raise _Broken(f"status {status}")
    if status in _REFUSING:
        raise Precondition(f"{url} is refused (status {status}); check the address and who may read it", url=url)
    if status not in (200, 206):
        raise NotFound(f"{url} has no such file (status {status}); check the address", url=url)
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise Precondition(
            f"{url} answers with a web page in place of the file, as Google Drive does to ask for a confirmation or "
            "when too many have fetched it",
            url=url,
        )


def _total(answer: urllib3.BaseHTTPResponse, offset: int) -> int | None:
    """Size of the whole file, as far as the server says."""
    if answer.status == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if not span or int(span[1]) != offset:
            raise _Broken(f"the server sent another range than the one from byte {offset}")
        return int(span[2]) if span[2] != "*" else None
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _check_size(wanted: Wanted, found: int, complete: bool = True) -> None:
    limit = wanted.size or LARGEST_BYTES
    if found > limit or (complete and wanted.size and found != wanted.size):
        raise InvalidInput(
            f"{wanted.url} has {'' if complete else 'at least '}{found} bytes, where {limit} "
            f"{'are' if wanted.size else 'at most are'} expected: it is another file",
            url=wanted.url,
        )


class _Part:
    """The beginning of a file, and what it is the beginning of."""

    def __init__(self, target: Path, wanted: Wanted) -> None:
        self._target, self._wanted = target, wanted
        self._path, self._note = (target.with_name(f"{target.name}{end}") for end in (".part", ".part.json"))
        target.parent.mkdir(parents=True, exist_ok=True)

    @property
    def size(self) -> int:
        return self._path.stat().st_size if self._path.is_file() else 0

    @property
    def complete(self) -> bool:
        """Whether every byte is there; a digest has to say whether they are the right ones."""
        return self._wanted.checked and self.size == self._wanted.size

    def resume(self) -> tuple[int, dict[str, str]]:
        """From which byte to go on, and the request's headers that ask for that."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "seamline"}
        offset, same = self.size, self._validator()
        if not offset or not (same or self._wanted.checked):
            return 0, headers
        headers["Range"] = f"bytes={offset}-"
        if same:
            headers["If-Range"] = same
        return offset, headers

    @contextmanager
    def opened(self, offset: int, headers: urllib3.HTTPHeaderDict) -> Iterator[BinaryIO]:
        """The file, cut to where the answer of these headers begins."""
        etag = headers.get("ETag", "")
        same = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
        with self._failures_named(), self._path.open("ab") as file:
            file.truncate(offset)
            self._note.write_text(json.dumps({"url": self._wanted.url, "validator": same}))
            yield file

    def discard(self) -> None:
        self._path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self) -> None:
        with self._failures_named():
            with self._path.open("rb+") as file:
                os.fsync(file.fileno())
            self._path.replace(self._target)
            self._note.unlink(missing_ok=True)

    def _validator(self) -> str:
        """What the server said of the version that this is the beginning of, if it came from the same address."""
        try:
            note = json.loads(self._note.read_text())
            return str(note["validator"]) if note["url"] == self._wanted.url else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Precondition(
                f"{self._path} cannot be written: {error.strerror}; make room, or name another place in SEAMLINE_CACHE",
                path=self._path,
            ) from error


def _pool(url: str) -> urllib3.PoolManager:
    """Connections, through the proxy that the environment names for the address."""
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.netloc):
        return urllib3.ProxyManager(proxy)
    return urllib3.PoolManager()
