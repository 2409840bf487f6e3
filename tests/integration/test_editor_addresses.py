"""Videos that the editor fetches, and results that it sends, over real sockets."""

import asyncio
import hashlib
import io
import json
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from google.protobuf.json_format import ParseDict
from minio import Minio
from seamline_editor import connections

from seamline.cli.app import app
from seamline.errors import DigestMismatch, InvalidInput, NotFound, Precondition, ServiceUnavailable
from seamline.storage import open_store, put_object, read_object
from seamline.v1.editor_pb2 import EditVideoResult, InvertedVideo
from seamline.v1.media_pb2 import ArtifactRef
from seamline.video import probe
from tests.asynchronous import asynchronous
from tests.fakes.alignment import HEIGHT, WIDTH
from tests.fakes.bundle import tiny_bundle
from tests.fakes.scripted_server import answer, scripted_server
from tests.integration.swift import ACCESS_KEY, SECRET_KEY, running_swift
from tests.integration.world import SMILE, world_of
from tests.unit.video.films import film

HOUR = timedelta(hours=1)
SECRET = "X-Amz-Signature=0123456789"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bundles")
    tiny_bundle(directory)
    return directory


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = film(tmp_path_factory.mktemp("clip") / "clip.mp4", count=10, size=(WIDTH, HEIGHT), sound="aac")
    return path.read_bytes()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(connections, "BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(connections, "WATCH_SECONDS", 0.05)


@pytest.fixture
def world(tmp_path, bundles):
    """Makes a World whose video has an address of a server, and whose editor allows that server."""
    url = (tmp_path / "store").as_uri()

    @asynccontextmanager
    async def make(server, **settings):
        settings = {"url_origins": f"https://media.example.com,{server.origin}", **settings}
        async with world_of(url, bundles, f"{server.origin}/in/film.MP4?{SECRET}", **settings) as w:
            yield w

    make.url, make.store = url, open_store(url)
    return make


@asynchronous
async def test_a_video_is_fetched_edited_and_sent_with_nothing_shared(world, clip, tmp_path):
    with scripted_server(answer(clip), answer()) as server:
        async with world(server) as w:
            events = await w.edited(deliver_to=f"{server.origin}/out/edited.mp4?{SECRET}")
    result, (got, put) = events[-1], server.asked
    stages = list(dict.fromkeys(event.stage for event in events[:-1]))
    assert stages == ["fetch", "align", "invert", "stitch", "score", "mux", "deliver"]
    assert set(result.stage_seconds) == set(stages)
    assert {"fetch.download", "fetch.keep", "deliver.read", "deliver.upload"} <= set(result.step_seconds)
    assert (got.method, got.target) == ("GET", f"/in/film.MP4?{SECRET}")
    assert (put.method, put.target, put.headers["content-type"]) == ("PUT", f"/out/edited.mp4?{SECRET}", "video/mp4")
    assert put.body == read_object(world.store, result.edited)
    (tmp_path / "edited.mp4").write_bytes(put.body)
    facts = probe(tmp_path / "edited.mp4")
    assert (facts.frame_count, facts.width, facts.has_audio) == (10, WIDTH, True)
    digest = hashlib.sha256(clip).hexdigest()
    source = ArtifactRef(uri=world.store.uri(f"videos/{digest}/source.mp4"), sha256=digest)
    assert result.source == source
    assert dict(w.calls)["align"].video == source
    assert read_object(world.store, source) == clip


@asynchronous
async def test_the_command_needs_no_store(world, clip, capsys, monkeypatch):
    monkeypatch.delenv("SEAMLINE_STORE", raising=False)
    with scripted_server(answer(clip), answer()) as server:
        async with world(server) as w:
            typed = [w.video, "--edit", "smile=2", "--bundle", "tiny-64", "--editor", w.endpoint]
            typed += ["--deliver-to", f"{server.origin}/out/x.mp4?{SECRET}"]
            await asyncio.to_thread(app, ["edit", *typed], standalone_mode=False)
            out, err = capsys.readouterr()
            result = ParseDict(json.loads(out), EditVideoResult())
            assert (server.asked[1].target, server.asked[1].headers["content-type"]) == (
                f"/out/x.mp4?{SECRET}",
                "video/mp4",
            )
            assert server.asked[1].body == read_object(world.store, result.edited)
            assert result.source.sha256 == hashlib.sha256(clip).hexdigest()
            assert "fetch …" in err
            assert "deliver …" in err
            server.script = [answer(clip), answer()]
            await asyncio.to_thread(app, ["preview", *typed], standalone_mode=False)
    assert (server.asked[3].body, server.asked[3].headers["content-type"]) == (b"sheet", "image/png")
    assert SECRET not in capsys.readouterr().out + out + err


@asynchronous
async def test_a_preview_is_fetched_and_sent_too(world, clip):
    with scripted_server(answer(clip), answer()) as server:
        async with world(server) as w:
            events = await w.previewed([SMILE], deliver_to=f"{server.origin}/out/sheet.png")
    assert set(events[-1].stage_seconds) == {"fetch", "align", "invert", "preview", "deliver"}
    assert events[-1].source.sha256 == hashlib.sha256(clip).hexdigest()
    assert (server.asked[1].body, server.asked[1].headers["content-type"]) == (b"sheet", "image/png")


@asynchronous
async def test_a_repeated_call_finds_what_the_first_one_made(world, clip):
    with scripted_server(answer(clip)) as server:
        async with world(server) as w:
            first = (await w.edited())[-1]
            second = (await w.edited())[-1]
            w.video = ArtifactRef(uri=w.video, sha256=first.source.sha256)
            third = (await w.edited())[-1]
    # Without a digest it is fetched to find out what it is, with one it need not be.
    assert len(server.asked) == 2
    assert first.edited == second.edited == third.edited
    assert first.source == second.source == third.source
    assert "mux.encode" in first.step_seconds
    assert "mux.encode" not in {*second.step_seconds, *third.step_seconds}


@asynchronous
async def test_an_edit_whose_delivery_failed_is_only_sent_again(world, clip):
    with scripted_server(answer(clip), answer(b"", "403 Forbidden"), answer(clip), answer()) as server:
        async with world(server) as w:
            with pytest.raises(InvalidInput, match="make a new one and repeat the call") as error:
                await w.edited(deliver_to=f"{server.origin}/out?old-{SECRET}")
            assert error.value.field == "deliver_to"
            result = (await w.edited(deliver_to=f"{server.origin}/out?new"))[-1]
    assert "mux.encode" not in result.step_seconds
    assert server.asked[-1].body == read_object(world.store, result.edited)


STORED = "0" * 64
FORBIDDEN = [
    ("https://evil.example/film.mp4", "", "video.uri"),
    ("http://169.254.169.254/latest/meta-data/", "", "video.uri"),
    ("https://media.example.com@evil.example/film.mp4", "", "video.uri"),
    ("https://media.example.com/film.mp4", "http://127.0.0.1:1/", "deliver_to"),
    ("https://media.example.com/film.mp4", "file:///etc/cron.d/x", "deliver_to"),
    ("https://media.example.com/film.mp4", "s3://bucket/key", "deliver_to"),
    (ArtifactRef(uri="https://media.example.com/film.mp4", sha256="0" * 63), "", "video.sha256"),
    ("file:///etc/passwd", "", "video.sha256"),
    (ArtifactRef(uri="file:///etc/passwd", sha256=STORED), "", "video.uri"),
    (ArtifactRef(uri="{store}/../outside.mp4", sha256=STORED), "", "video.uri"),
    (ArtifactRef(uri="{store}/%2e%2e/outside.mp4", sha256=STORED), "", "video.uri"),
    (ArtifactRef(uri="{store}/videos/../../outside.mp4", sha256=STORED), "", "video.uri"),
    (ArtifactRef(uri="{store}-of-another/film.mp4", sha256=STORED), "", "video.uri"),
    (ArtifactRef(uri=f"s3://other/film.mp4?{SECRET}", sha256=STORED), "", "video.uri"),
    (ArtifactRef(uri=f"ftp://user:{SECRET}@host/film.mp4", sha256=STORED), "", "video.uri"),
    (ArtifactRef(uri="gopher://127.0.0.1/x", sha256=STORED), "", "video.uri"),
    (ArtifactRef(uri="data:video/mp4;base64,AAAA", sha256=STORED), "", "video.uri"),
    (ArtifactRef(uri="/etc/passwd", sha256=STORED), "", "video.uri"),
    ("", "", "video.uri"),
]


@asynchronous
async def test_what_may_not_be_reached_is_refused_before_any_work(world, caplog):
    with scripted_server() as server, caplog.at_level("INFO"):
        async with world(server) as w:
            for video, deliver_to, field in FORBIDDEN:
                w.video = ArtifactRef(uri=video) if isinstance(video, str) else video
                w.video.uri = w.video.uri.replace("{store}", world.url)
                for call in (w.edited(deliver_to=deliver_to), w.previewed([SMILE], deliver_to=deliver_to)):
                    with pytest.raises(InvalidInput) as error:
                        await call
                    assert error.value.field == field, video
                    assert SECRET not in f"{error.value} {error.value.metadata}"
            assert w.calls == []
    assert server.asked == []
    assert SECRET not in caplog.text


@pytest.mark.parametrize("uri", ["file:///etc/passwd", f"https://media.example.com/alignment?{SECRET}"])
@asynchronous
async def test_what_is_brought_along_must_lie_in_the_store(world, uri):
    with scripted_server() as server:
        async with world(server) as w:
            for name in ("alignment", "inversion"):
                given = InvertedVideo(**{name: ArtifactRef(uri=uri, sha256=STORED)})
                with pytest.raises(InvalidInput, match="is not in the store of this service") as error:
                    await w.edited(inverted=given)
                assert error.value.field == f"inverted.{name}.uri"
                assert SECRET not in str(error.value)
    assert server.asked == []


@asynchronous
async def test_an_editor_without_origins_connects_to_nothing(world, clip):
    with scripted_server(answer(clip)) as server:
        async with world(server, url_origins="") as w:
            with pytest.raises(InvalidInput, match="SEAMLINE_URL_ORIGINS allows none"):
                await w.edited()
            w.video = put_object(world.store, "videos/clip/source.mp4", clip)
            assert (await w.edited())[-1].source == w.video
            with pytest.raises(InvalidInput, match="SEAMLINE_URL_ORIGINS allows none"):
                await w.edited(deliver_to=f"{server.origin}/out")
    assert server.asked == []


UNFETCHED = [
    (answer(b"", "404 Not Found"), NotFound, "video.uri"),
    (answer(b"", "302 Found", location="http://127.0.0.1:1/"), InvalidInput, "video.uri"),
    (answer(b"", content_length=20_000_000), InvalidInput, "video.uri"),
    (answer(b"another film"), DigestMismatch, "video.sha256"),
    (answer(b"", "503 Busy"), ServiceUnavailable, "video.uri"),
]


@asynchronous
async def test_what_cannot_be_fetched_reaches_the_caller_as_it_is(world, clip, caplog):
    with scripted_server() as server, caplog.at_level("DEBUG"):
        async with world(server, max_video_bytes=10_000_000) as w:
            w.video = ArtifactRef(uri=w.video, sha256=hashlib.sha256(clip).hexdigest())
            for reply, kind, field in UNFETCHED:
                server.script = [reply]
                with pytest.raises(kind) as error:
                    await w.edited()
                assert error.value.field == field
                assert f"{server.origin}/in/film.MP4" in str(error.value)
                assert SECRET not in f"{error.value} {error.value.metadata}"
            assert w.calls == []
    assert SECRET not in caplog.text
    assert list(world.store.list("videos/")) == []


@asynchronous
async def test_a_slow_server_holds_a_call_no_longer_than_allowed(world):
    with scripted_server() as server:
        server.script = [server.endless(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", b"x", 0.02)]
        async with world(server, transfer_seconds=0.5) as w:
            with pytest.raises(Precondition, match=r"more than 0.5 s \(SEAMLINE_TRANSFER_SECONDS\)"):
                await w.edited()


@asynchronous
async def test_transfers_wait_for_their_turn_and_hold_up_nothing_else(world, clip):
    with scripted_server() as server:
        server.script = [server.silent()]
        async with world(server, max_transfers=1) as w:
            waiting = [asyncio.create_task(w.edited()) for _ in range(2)]
            while not server.asked:
                await asyncio.sleep(0.01)
            w.video = put_object(world.store, "videos/clip/source.mp4", clip)
            assert (await w.edited())[-1].edited.uri
            assert len(server.asked) == 1
            for call in waiting:
                call.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


@asynchronous
async def test_a_cancelled_call_fetches_no_more(world):
    with scripted_server() as server:
        server.script = [server.endless(b"HTTP/1.1 200 OK\r\ncontent-length: 90000000\r\n\r\n", b"x" * 100, 0.01)]
        async with world(server, max_transfers=1) as w:
            call = asyncio.create_task(w.edited())
            while not server.asked:
                await asyncio.sleep(0.01)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            server.script = [answer(b"", "404 Not Found")]
            with pytest.raises(NotFound):  # the only turn is free again
                await w.edited()


@pytest.fixture(scope="module")
def swift():
    with running_swift() as server:
        yield server


@asynchronous
async def test_a_backend_signs_both_ends_on_a_real_server_and_shares_no_keys(world, clip, swift):
    backend = Minio(swift.endpoint.removeprefix("http://"), ACCESS_KEY, SECRET_KEY, secure=False, region="us-east-1")
    backend.make_bucket("backend")
    backend.put_object("backend", "in/my film.mp4", io.BytesIO(clip), len(clip))
    fetch = backend.presigned_get_object("backend", "in/my film.mp4", expires=HOUR)
    send = backend.presigned_put_object("backend", "out/edited.mp4", expires=HOUR)
    with scripted_server() as nobody:
        async with world(nobody, url_origins=swift.endpoint) as w:
            w.video = fetch
            result = (await w.edited(deliver_to=send))[-1]
            with pytest.raises(InvalidInput, match="status 403; a presigned address holds for one method") as refused:
                await w.previewed([SMILE], deliver_to=fetch)
            w.video = backend.presigned_get_object("backend", "in/none.mp4", expires=HOUR)
            with pytest.raises(NotFound, match=r"in/none\.mp4 is not there") as missing:
                await w.edited()
    assert read_object(world.store, result.source) == clip
    edited = backend.get_object("backend", "out/edited.mp4")
    assert edited.read() == read_object(world.store, result.edited)
    assert edited.headers["content-type"] == "video/mp4"
    assert (refused.value.field, missing.value.field) == ("deliver_to", "video.uri")
    assert "Signature" not in f"{refused.value} {missing.value}"
