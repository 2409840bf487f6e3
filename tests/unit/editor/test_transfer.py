"""Fetching and sending one file, over real sockets, from and to servers that behave badly."""

import os
import ssl
import threading
import time
import tracemalloc
from pathlib import Path

import pytest
from seamline_editor import connections
from seamline_editor.addresses import Address, Origins
from seamline_editor.connections import ATTEMPTS, Bounds
from seamline_editor.transfer import download, upload

from seamline.errors import Cancelled, InvalidInput, NotFound, Precondition, SeamlineError, ServiceUnavailable
from seamline.job import Job
from tests.certificates import Authority, Issued
from tests.fakes.scripted_server import ScriptedServer, answer, scripted_server

FILM = os.urandom(300_000)
SECRET = "X-Amz-Signature=0123456789"
BOUNDS = Bounds(bytes=1 << 20, seconds=20.0)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(connections, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(connections, "SILENCE_SECONDS", 0.3)


def address(server: ScriptedServer, field: str = "video.uri", path: str = "/bucket/film.mp4") -> Address:
    return Origins.parse(server.origin).check(f"{server.origin}{path}?{SECRET}", field)


def fetched(server: ScriptedServer, path: Path, bounds: Bounds = BOUNDS, job: Job | None = None) -> bytes:
    download(address(server), path / "film", bounds, job or Job("fetch"))
    return (path / "film").read_bytes()


def refused(server: ScriptedServer, path: Path, kind: type[SeamlineError], bounds: Bounds = BOUNDS) -> SeamlineError:
    """The error of a fetch, which never shows the address's query."""
    with pytest.raises(kind) as caught:
        fetched(server, path, bounds)
    assert caught.type is kind
    shown = f"{caught.value} {caught.value.metadata} {caught.value.__cause__} {caught.getrepr(chain=False)}"
    assert SECRET not in shown.replace(f'SECRET = "{SECRET}"', "")
    assert f"{server.origin}/bucket/film.mp4" in str(caught.value) or kind is Precondition
    return caught.value


def test_a_file_is_fetched_as_it_is(tmp_path: Path) -> None:
    with scripted_server(answer(FILM, etag='"1"', content_encoding="gzip")) as server:
        assert fetched(server, tmp_path) == FILM
    (asked,) = server.asked
    assert (asked.method, asked.target) == ("GET", f"/bucket/film.mp4?{SECRET}")
    assert asked.headers["host"] == f"127.0.0.1:{server.port}"
    assert (asked.headers["accept-encoding"], asked.headers["user-agent"]) == ("identity", "seamline")
    assert not {"authorization", "cookie", "range"} & asked.headers.keys()


def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    told = []
    with scripted_server(answer(FILM)) as server:
        fetched(server, tmp_path, job=Job("fetch", on_progress=told.append))
    assert (told[-1].stage, told[-1].step, told[-1].done, told[-1].total) == ("fetch", "download", 300_000, 300_000)


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def test_a_body_in_pieces_has_an_end_of_its_own(tmp_path: Path) -> None:
    with scripted_server(lambda _: [CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"]) as server:
        assert fetched(server, tmp_path) == b"hello"


@pytest.mark.parametrize("length", ["content-length: -5", "content-length: many", "connection: close"])
def test_a_body_whose_end_nobody_could_tell_is_refused(tmp_path: Path, length: str) -> None:
    with scripted_server(lambda _: [f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode(), FILM]) as server:
        assert "does not say how long it is" in str(refused(server, tmp_path, InvalidInput))


def cut(body: bytes, after: int, **headers: object):
    return answer(body[:after], content_length=len(body), **headers)


def test_a_connection_that_breaks_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    rest = answer(FILM[100_000:], "206 Partial Content", content_range=f"bytes 100000-299999/{len(FILM)}")
    with scripted_server(cut(FILM, 100_000, etag='"1"'), rest) as server:
        assert fetched(server, tmp_path) == FILM
    assert server.asked[1].headers["range"] == "bytes=100000-"
    assert server.asked[1].headers["if-range"] == '"1"'


@pytest.mark.parametrize(
    "first", [{"etag": '"1"'}, {"etag": 'W/"1"'}, {"etag": '"\x00"'}, {"etag": '"1"\r\n x: y'}, {}]
)
def test_what_changed_or_has_no_version_is_fetched_again(tmp_path: Path, first: dict[str, str]) -> None:
    with scripted_server(cut(FILM, 100_000, **first), answer(FILM[::-1], etag='"2"')) as server:
        assert fetched(server, tmp_path) == FILM[::-1]
    assert ("range" in server.asked[1].headers) == (first.get("etag") == '"1"')


def test_another_range_than_the_one_asked_for_is_not_joined(tmp_path: Path) -> None:
    wrong = answer(FILM[:1000], "206 Partial Content", content_range="bytes 0-999/300000")
    with scripted_server(cut(FILM, 100_000, etag='"1"'), wrong, answer(FILM)) as server:
        assert fetched(server, tmp_path) == FILM
    assert "range" not in server.asked[2].headers


@pytest.mark.parametrize("status", ["500 Oops", "503 Busy", "429 Slow down"])
def test_a_server_that_is_busy_is_asked_again(tmp_path: Path, status: str) -> None:
    with scripted_server(answer(b"", status), answer(FILM)) as server:
        assert fetched(server, tmp_path) == FILM


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"", "503 Busy"),
        answer(b"short", content_length=100),
        lambda _: [],
        lambda _: [b"SSH-2.0-OpenSSH_9.2\r\n"],
        lambda _: [b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n"],
        lambda _: [b"HTTP/1.1 200 OK\r\na: " + b"b" * 70_000],
        lambda asked: [f"HTTP/9 {asked.target}\r\n\r\n".encode()],
        lambda _: [CHUNKED, b"ffff\r\nhello"],
        lambda _: [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello"],
    ],
)
def test_a_server_that_keeps_breaking_off_is_given_up(tmp_path: Path, reply) -> None:
    with scripted_server(reply) as server:
        error = refused(server, tmp_path, ServiceUnavailable)
        assert (error.field, len(server.asked)) == ("video.uri", ATTEMPTS)


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    with scripted_server() as server:
        server.script = [server.silent()]
        assert "(TimeoutError)" in str(refused(server, tmp_path, ServiceUnavailable))
        assert len(server.asked) == ATTEMPTS


def test_a_port_where_nobody_listens(tmp_path: Path) -> None:
    with scripted_server() as server:
        pass
    refused(server, tmp_path, ServiceUnavailable)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_redirects_are_not_followed(tmp_path: Path, status: str) -> None:
    with scripted_server(answer(FILM)) as inner, scripted_server() as server:
        server.script = [answer(b"", status, location=f"{inner.origin}/latest/meta-data")]
        error = refused(server, tmp_path, InvalidInput)
    assert "redirects are not followed" in str(error)
    assert inner.origin not in str(error)
    assert (len(server.asked), inner.asked) == (1, [])


@pytest.mark.parametrize(
    ("status", "kind", "remedy"),
    [
        ("403 Forbidden", InvalidInput, "make a new one"),
        ("401 Unauthorized", InvalidInput, "make a new one"),
        ("404 Not Found", NotFound, "check the address"),
        ("410 Gone", NotFound, "check the address"),
        ("400 Bad Request", InvalidInput, "status 400"),
        ("204 No Content", InvalidInput, "status 204"),
        ("206 Partial Content", InvalidInput, "status 206"),
        ("101 Switching Protocols", InvalidInput, "status 101"),
    ],
)
def test_a_refusal_is_final_and_says_what_to_do(tmp_path: Path, status: str, kind, remedy: str) -> None:
    with scripted_server(answer(b"", status)) as server:
        error = refused(server, tmp_path, kind)
    assert remedy in str(error)
    assert (error.field, len(server.asked)) == ("video.uri", 1)


def test_a_file_that_says_it_is_too_large_is_not_fetched(tmp_path: Path) -> None:
    with scripted_server(answer(b"", content_length=(1 << 20) + 1)) as server:
        error = refused(server, tmp_path, InvalidInput)
    assert "has at least 1048577 bytes, of 1048576 at most" in str(error)
    assert (tmp_path / "film").stat().st_size == 0


def test_a_body_without_end_is_cut_at_the_limit_in_bounded_memory(tmp_path: Path) -> None:
    with scripted_server() as server:
        server.script = [server.endless(CHUNKED, b"10000\r\n" + bytes(1 << 16) + b"\r\n")]
        tracemalloc.start()
        try:
            refused(server, tmp_path, InvalidInput, Bounds(bytes=8 << 20, seconds=20))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (7 << 20) < (tmp_path / "film").stat().st_size <= 8 << 20
    assert peak < 3 << 20


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\na: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_a_server_that_drips_is_cut_off_when_the_time_is_up(tmp_path: Path, first: bytes, piece: bytes) -> None:
    start = time.monotonic()
    with scripted_server() as server:
        server.script = [server.endless(first, piece, 0.02)]
        error = refused(server, tmp_path, Precondition, Bounds(bytes=1 << 20, seconds=0.5))
    assert "more than 0.5 s (SEAMLINE_TRANSFER_SECONDS)" in str(error)
    assert time.monotonic() - start < 5


def test_a_cancelled_call_does_not_wait_for_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SILENCE_SECONDS", 60.0)
    cancelled = threading.Event()
    with scripted_server() as server:
        server.script = [server.silent(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")]
        threading.Timer(0.2, cancelled.set).start()
        start = time.monotonic()
        with pytest.raises(Cancelled):
            fetched(server, tmp_path, job=Job("fetch", cancelled=cancelled))
    assert time.monotonic() - start < 5


def test_a_full_disk_is_said_and_not_taken_for_the_network(tmp_path: Path) -> None:
    with scripted_server(answer(FILM)) as server, pytest.raises(Precondition, match="No space left") as full:
        download(address(server), Path("/dev/full"), BOUNDS, Job("fetch"))
    assert SECRET not in str(full.value)
    assert len(server.asked) == 1


def sent(server: ScriptedServer, path: Path, bounds: Bounds = BOUNDS) -> None:
    (path / "edited.mp4").write_bytes(FILM)
    upload(address(server, "deliver_to"), path / "edited.mp4", "video/mp4", bounds, Job("deliver"))


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "204 No Content"])
def test_a_file_is_sent(tmp_path: Path, status: str) -> None:
    with scripted_server(answer(b"", status)) as server:
        sent(server, tmp_path)
    (asked,) = server.asked
    assert (asked.method, asked.target, asked.body) == ("PUT", f"/bucket/film.mp4?{SECRET}", FILM)
    assert (asked.headers["content-length"], asked.headers["content-type"]) == ("300000", "video/mp4")
    assert "transfer-encoding" not in asked.headers


def test_a_file_is_sent_again_from_its_beginning(tmp_path: Path) -> None:
    with scripted_server(answer(b"", "503 Busy"), lambda _: [], answer()) as server:
        sent(server, tmp_path)
    assert [asked.body for asked in server.asked] == [FILM] * 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [("403 Forbidden", InvalidInput), ("404 Not Found", NotFound), ("307 Temporary Redirect", InvalidInput)],
)
def test_what_is_refused_is_not_sent_again(tmp_path: Path, status: str, kind) -> None:
    reply = answer(b"", status, location="http://127.0.0.1:1/")
    with scripted_server(reply) as server, pytest.raises(kind) as refusal:
        sent(server, tmp_path)
    assert (refusal.value.field, len(server.asked)) == ("deliver_to", 1)
    assert SECRET not in str(refusal.value)


def test_a_refusal_before_the_body_is_taken_is_heard(tmp_path: Path) -> None:
    with scripted_server(answer(b"", "403 Forbidden")) as server:
        server.reads_bodies = False
        with pytest.raises((InvalidInput, ServiceUnavailable), match="deliver_to: "):
            sent(server, tmp_path)


def test_a_server_that_takes_nothing_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(16 << 20))
    with scripted_server() as server:
        server.reads_bodies, server.script = False, [server.silent()]
        with pytest.raises(ServiceUnavailable):
            upload(address(server), tmp_path / "large", "video/mp4", BOUNDS, Job("deliver"))


def served_by(issued: Issued) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    return context


def test_a_certificate_must_be_that_of_the_host_by_an_authority_that_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    with scripted_server(answer(FILM), tls=served_by(authority.issue())) as server:
        assert "SSL_CERT_FILE" in str(refused(server, tmp_path, Precondition))
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        assert fetched(server, tmp_path) == FILM
    with scripted_server(answer(FILM), tls=served_by(authority.issue("other", "media.example.com"))) as server:
        assert "not trusted" in str(refused(server, tmp_path, Precondition))
    assert server.asked == []


def test_a_tls_server_that_drips_is_cut_off_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    with scripted_server(tls=served_by(authority.issue())) as server:
        server.script = [server.endless(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", b"x", 0.02)]
        refused(server, tmp_path, Precondition, Bounds(bytes=1 << 20, seconds=0.3))


def test_nothing_logs_an_address(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"), scripted_server(answer(b"", "503 Busy"), answer(FILM)) as server:
        fetched(server, tmp_path)
    assert SECRET not in caplog.text
