"""What is found in stores that work and in those that do not."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from seamline.diagnosis import store as diagnosis
from seamline.diagnosis.store import check_store, put_probe, remove_probe
from seamline.storage import open_store
from seamline.v1.diagnostics_pb2 import CheckOutcome
from tests.fakes.stores import CorruptingStore, DownStore, PassingStore

OK, WARNING, FAULT = (
    CheckOutcome.CHECK_OUTCOME_OK,
    CheckOutcome.CHECK_OUTCOME_WARNING,
    CheckOutcome.CHECK_OUTCOME_FAULT,
)


@pytest.fixture
def url(tmp_path):
    return (tmp_path / "store").as_uri()


@pytest.fixture
def opened_as(monkeypatch):
    """Has the store opened as another one that is made of it."""

    def use(wrap):
        monkeypatch.setattr(diagnosis, "open_store", lambda url: wrap(open_store(url)))

    return use


@pytest.fixture
def refusing() -> Iterator:
    """Makes the store URL of an S3 server that refuses every request with one code."""
    servers = []

    def make(code: str) -> str:
        class Refusal(BaseHTTPRequestHandler):
            def refuse(self) -> None:
                body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
                self.rfile.read(int(self.headers.get("content-length", 0)))
                self.send_response(404 if code == "NoSuchBucket" else 403)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_PUT = do_GET = do_DELETE = do_POST = refuse  # noqa: N815

            def log_message(self, format, *args) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
        servers.append(server)
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"s3://bucket/prefix?endpoint=http://127.0.0.1:{server.server_port}"

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_store_that_works_is_left_as_it_was(url):
    store = open_store(url)
    store.put("videos/a", b"a")
    found = check_store(url)
    assert (found.outcome, found.subject, found.remedy) == (OK, "store", "")
    assert url in found.finding
    assert [entry.key for entry in store.list("")] == ["videos/a"]


def test_what_the_caller_has_put_there_is_seen(url):
    key = put_probe(url)
    assert check_store(url, key).outcome == OK
    remove_probe(url, key)
    assert list(open_store(url).list("")) == []


def test_a_store_that_the_caller_does_not_mean_is_a_fault(url, tmp_path):
    key = put_probe((tmp_path / "other").as_uri())
    found = check_store(url, key)
    assert found.outcome == FAULT
    assert "another store" in found.finding
    assert "SEAMLINE_STORE" in found.remedy


@pytest.mark.parametrize("key", ["videos/secret", "probes", "/probes/x", "probes/../x"])
def test_a_caller_cannot_ask_what_else_there_is(url, key):
    found = check_store(url, key)
    assert found.outcome == FAULT
    assert "probe" in found.finding


def test_a_store_that_is_down_is_a_fault_with_a_remedy(url, opened_as):
    opened_as(DownStore)
    found = check_store(url)
    assert (found.outcome, bool(found.remedy)) == (FAULT, True)
    assert "the store is down" in found.finding
    assert put_probe(url) == ""
    remove_probe(url, "probes/x")


def test_a_store_that_damages_objects_is_found(url, opened_as):
    opened_as(CorruptingStore)
    found = check_store(url)
    assert found.outcome == FAULT
    assert "other bytes" in found.finding
    assert list(open_store(url).list("")) == []


@pytest.mark.parametrize(("minutes", "outcome"), [(0, OK), (5, WARNING), (-5, WARNING)])
def test_clocks_that_differ_are_told(url, opened_as, minutes, outcome):
    class OtherClock(PassingStore):
        def list(self, prefix):
            return (replace(e, modified=e.modified + timedelta(minutes=minutes)) for e in super().list(prefix))

    opened_as(OtherClock)
    found = check_store(url)
    assert found.outcome == outcome
    assert ("s apart" in found.finding) == (outcome == WARNING)


def test_a_slow_store_is_a_warning(url, monkeypatch):
    monkeypatch.setattr(diagnosis, "SLOW", timedelta(0))
    assert check_store(url).outcome == WARNING


@pytest.mark.parametrize(
    ("code", "finding", "remedy"),
    [
        ("InvalidAccessKeyId", "refuses our credentials", "AWS_ACCESS_KEY_ID"),
        ("AccessDenied", "refuses our credentials", "what they may do"),
        ("NoSuchBucket", "there is no bucket 'bucket'", "create it"),
    ],
)
def test_s3_says_what_it_refuses(refusing, monkeypatch, code, finding, remedy):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not to be told")
    found = check_store(refusing(code))
    assert found.outcome == FAULT
    assert finding in found.finding
    assert remedy in found.remedy
    assert "not to be told" not in str(found)


def test_missing_credentials_are_named(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    found = check_store("s3://bucket?endpoint=http://127.0.0.1:1")
    assert found.outcome == FAULT
    assert "AWS_ACCESS_KEY_ID" in found.finding
    assert "credentials" in found.remedy
