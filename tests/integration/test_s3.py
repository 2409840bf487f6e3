"""The S3 store against a real server: real signatures, real multipart uploads, real failures."""

import itertools
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from minio import Minio

from seamline.errors import InvalidInput, NotFound, StoreUnavailable
from seamline.storage import Artifact, ArtifactWriter, Recipe, Store, fetch_object, open_store, put_object, s3
from seamline.storage.erasure import Removed, erase
from seamline.storage.s3 import PART_BYTES
from seamline.v1.media_pb2 import ArtifactRef
from tests.fakes.cutting_proxy import CuttingProxy
from tests.fakes.file_server import Served, serving
from tests.integration.swift import ACCESS_KEY, SECRET_KEY, Swift, running_swift
from tests.unit.storage.contract import CONTRACT

BUCKET = "videos"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def swift() -> Iterator[Swift]:
    with running_swift() as server:
        client_of(server).make_bucket(BUCKET)
        yield server


def client_of(swift: Swift) -> Minio:
    """The server's own client, for what a store does not do."""
    return Minio(swift.endpoint.removeprefix("http://"), ACCESS_KEY, SECRET_KEY, secure=False)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)


@pytest.fixture
def url(swift: Swift) -> str:
    return swift.url(BUCKET, f"test-{next(_numbers)}")


@pytest.fixture
def store(url: str) -> Store:
    return open_store(url)


def uses(tmp_path: Path) -> dict[str, Callable[[Store], object]]:
    (tmp_path / "file").write_bytes(b"x")
    return {
        "put": lambda store: store.put("a/b", b"x"),
        "put_file": lambda store: store.put_file("a/b", tmp_path / "file"),
        "get": lambda store: store.get("a/b"),
        "get_file": lambda store: store.get_file("a/b", tmp_path / "out"),
        "exists": lambda store: store.exists("a/b"),
        "list": lambda store: list(store.list("")),
        "delete": lambda store: store.delete(["a/b"]),
        "discard": lambda store: store.discard("a/"),
    }


@pytest.mark.parametrize("rule", CONTRACT, ids=lambda rule: rule.__name__)
def test_contract(rule: Callable[[Store, Path], None], store: Store, tmp_path: Path) -> None:
    rule(store, tmp_path)


def test_addresses_name_bucket_and_prefix(store: Store, url: str) -> None:
    prefix = url.partition("?")[0]
    assert store.uri("a/b") == f"{prefix}/a/b"


def test_stores_with_other_prefixes_do_not_see_each_other(swift: Swift, store: Store) -> None:
    other = open_store(swift.url(BUCKET, "another"))
    store.put("a", b"1")
    assert not other.exists("a")
    assert list(other.list("")) == []
    with pytest.raises(InvalidInput, match="is not in the store s3://videos/another/"):
        other.key(store.uri("a"))


def test_an_artifact_resumes_over_s3(store: Store, tmp_path: Path) -> None:
    recipe = Recipe(video="0f" * 32, stage="align", version=1, inputs={"video": "0f"})
    first = ArtifactWriter(store, recipe)
    first.put_part("one", b"1", {"n": 1})
    second = ArtifactWriter(store, recipe)
    assert second.finished() is None
    assert (second.has_part("one"), second.has_part("two")) == (True, False)
    second.put_part("two", b"2" * 100_000)
    ref = second.finish({"frames": 2})
    assert ArtifactWriter(store, recipe).finished() == ref
    artifact = Artifact.open(store, ref, stage="align")
    assert (artifact.read_part("one"), artifact.part_meta("one")) == (b"1", {"n": 1})
    artifact.fetch_part("two", tmp_path / "two")
    assert (tmp_path / "two").read_bytes() == b"2" * 100_000


def test_large_files_move_in_bounded_memory(store: Store, tmp_path: Path) -> None:
    size = 8 * PART_BYTES
    with (tmp_path / "in").open("wb") as file:
        for seed in range(8):
            file.write(np.random.default_rng(seed).bytes(PART_BYTES))
    tracemalloc.start()
    try:
        ref = put_object(store, "big", tmp_path / "in")
        fetch_object(store, ref, tmp_path / "out")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "out").stat().st_size == size
    assert peak < 3.5 * PART_BYTES


@pytest.mark.parametrize("use", ["put", "put_file", "get", "get_file", "exists", "list", "delete", "discard"])
@pytest.mark.parametrize(("variable", "value"), [("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "no:body")])
def test_wrong_credentials_are_told_from_a_missing_object(
    swift: Swift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    store = open_store(swift.url(BUCKET))
    with pytest.raises(StoreUnavailable, match="refuses our credentials") as caught:
        uses(tmp_path)[use](store)
    assert swift.endpoint in str(caught.value)
    assert "AWS_SECRET_ACCESS_KEY" in str(caught.value)
    assert caught.value.metadata["bucket"] == BUCKET
    assert value not in str(caught.value)


@pytest.mark.parametrize("use", ["put", "put_file", "get", "get_file", "list", "delete", "discard"])
def test_a_missing_bucket_is_named_with_a_remedy(swift: Swift, tmp_path: Path, use: str) -> None:
    with pytest.raises(NotFound, match=r"there is no bucket 'nowhere' at http.*; create it") as caught:
        uses(tmp_path)[use](open_store(swift.url("nowhere")))
    assert caught.value.metadata["endpoint"] == swift.endpoint


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "BACKOFF_SECONDS", 0.01)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(StoreUnavailable, match="does not answer") as caught:
        open_store(f"s3://{BUCKET}?endpoint={endpoint}").get("a/b")
    assert caught.value.metadata == {"endpoint": endpoint, "bucket": BUCKET, "key": "a/b"}


def through(proxy: CuttingProxy, url: str) -> Store:
    return open_store(f"{url.partition('?')[0]}?endpoint=http://127.0.0.1:{proxy.port}")


def port_of(swift: Swift) -> int:
    return int(swift.endpoint.rpartition(":")[2])


def test_a_download_that_breaks_goes_on_where_it_broke(swift: Swift, store: Store, url: str, tmp_path: Path) -> None:
    data = np.random.default_rng(1).bytes(5 << 20)
    store.put("big", data)
    with CuttingProxy(port_of(swift), after_bytes=2 << 20, times=2) as proxy:
        assert through(proxy, url).get("big") == data
        assert proxy.cuts == 2
    with CuttingProxy(port_of(swift), after_bytes=2 << 20, times=1) as proxy:
        through(proxy, url).get_file("big", tmp_path / "out")
        assert proxy.cuts == 1
    assert (tmp_path / "out").read_bytes() == data


def test_a_network_that_keeps_breaking_ends_in_an_error_and_no_file(
    swift: Swift, store: Store, url: str, tmp_path: Path
) -> None:
    store.put("big", bytes(1 << 20))
    with (
        CuttingProxy(port_of(swift), after_bytes=1 << 16, times=1000) as proxy,
        pytest.raises(StoreUnavailable, match="does not answer"),
    ):
        through(proxy, url).get_file("big", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_changes_while_the_download_is_broken_is_not_glued_together(
    swift: Swift, store: Store, url: str
) -> None:
    store.put("big", b"a" * (5 << 20))
    with (
        CuttingProxy(
            port_of(swift), after_bytes=2 << 20, times=1, on_cut=lambda: store.put("big", b"b" * (5 << 20))
        ) as proxy,
        pytest.raises(StoreUnavailable, match="PreconditionFailed"),
    ):
        through(proxy, url).get("big")


def test_an_upload_outlives_the_death_of_the_server(
    swift: Swift, store: Store, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while the second part comes in, and down until it has been started again."""
    monkeypatch.setattr(s3, "RETRIES", 9)  # the machine may take a while to start it
    data = np.random.default_rng(2).bytes(12 << 20)
    (tmp_path / "in").write_bytes(data)

    def restart() -> None:
        swift.kill("proxy")
        swift.start("proxy")

    with CuttingProxy(port_of(swift), after_bytes=8 << 20, times=1, requests=True, on_cut=restart) as proxy:
        through(proxy, url).put_file("big", tmp_path / "in")
        assert proxy.cuts == 1
    assert store.get("big") == data


def test_a_bucket_that_vanishes_during_an_upload(swift: Swift, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(bytes(12 << 20))
    client = client_of(swift)
    client.make_bucket("doomed")
    with (
        CuttingProxy(
            port_of(swift),
            after_bytes=8 << 20,
            times=1,
            requests=True,
            on_cut=lambda: client.remove_bucket("doomed"),
        ) as proxy,
        pytest.raises(NotFound, match=r"there is no bucket 'doomed' at http.*; create it"),
    ):
        through(proxy, swift.url("doomed")).put_file("big", tmp_path / "in")


def test_a_bucket_that_vanishes_between_two_parts_of_an_artifact(swift: Swift) -> None:
    client = client_of(swift)
    client.make_bucket("short-lived")
    store = open_store(swift.url("short-lived"))
    writer = ArtifactWriter(store, Recipe(video="0f" * 32, stage="align", version=1, inputs={}))
    writer.put_part("one", b"1")
    store.delete([entry.key for entry in store.list("")])
    client.remove_bucket("short-lived")
    for use in (lambda: writer.put_part("two", b"2"), lambda: writer.read_part("one"), lambda: writer.finish({})):
        with pytest.raises(NotFound, match="there is no bucket 'short-lived'"):
            use()


def test_what_is_deleted_leaves_the_disk(swift: Swift, store: Store, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(bytes(6 << 20))
    before = swift.stored_bytes()
    store.put_file("in/parts", tmp_path / "in")
    store.put("small", bytes(1 << 10))
    assert swift.stored_bytes() > before + (6 << 20) + (1 << 10)
    store.delete(["in/parts", "small"])
    assert swift.stored_bytes() == before


def test_uploads_that_were_never_finished_are_discarded(swift: Swift, store: Store, url: str) -> None:
    """What a writer leaves that is killed between two parts."""
    client, (_, _, prefix) = client_of(swift), url.partition("?")[0].removeprefix("s3://").partition("/")
    before = swift.stored_bytes()
    for name in ("artifacts/0f/ä b/big", "artifacts/0f/other", "artifacts/1e/big"):
        upload = client._create_multipart_upload(BUCKET, f"{prefix}/{name}", {})
        client._upload_part(BUCKET, f"{prefix}/{name}", bytes(PART_BYTES), {}, upload, 1)
    store.put("artifacts/0f/whole", b"1")
    assert swift.stored_bytes() > before + 3 * PART_BYTES
    assert store.discard("artifacts/", before=datetime.now(UTC) - timedelta(hours=1)) == 0
    assert store.discard("artifacts/0f/") == 2
    assert store.discard("artifacts/", before=datetime.now(UTC) + timedelta(hours=1)) == 1
    assert store.discard("artifacts/") == 0
    assert [entry.key for entry in store.list("")] == ["artifacts/0f/whole"]
    assert swift.stored_bytes() == before + 1


def test_a_video_is_erased_to_the_last_byte(swift: Swift, store: Store, url: str, tmp_path: Path) -> None:
    client, (_, _, prefix) = client_of(swift), url.partition("?")[0].removeprefix("s3://").partition("/")
    store.put("artifacts/" + "1e" * 32 + "/align/of-another", b"1")
    before = swift.stored_bytes()
    (tmp_path / "in").write_bytes(bytes(6 << 20))
    source = put_object(store, "uploads/in.mp4", tmp_path / "in")
    writer = ArtifactWriter(store, Recipe(video=source.sha256, stage="align", version=1, inputs={}))
    writer.put_part("frames", tmp_path / "in")
    writer.finish({})
    half = f"{prefix}/artifacts/{source.sha256}/invert/half"
    client._upload_part(BUCKET, half, bytes(PART_BYTES), {}, client._create_multipart_upload(BUCKET, half, {}), 1)
    removed = erase(store, source)
    assert (removed.objects, removed.bytes > 12 << 20) == (5, True)
    assert swift.stored_bytes() == before
    assert erase(store, source) == Removed()


def test_a_network_that_stalls_is_given_up_and_taken_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(s3, "ANSWER_SECONDS", 0.3)
    data = np.random.default_rng(3).bytes(5000)
    with serving(Served(files={"videos/a/b": data}, cuts=[2000], stall=threading.Event())) as served:
        store = open_store(f"s3://{BUCKET}?endpoint={served.url}")
        assert store.get("a/b") == data
        assert [asked for _, asked in served.asked] == ["", "bytes=2000-"]
        served.cuts[:] = [0] * 99
        with pytest.raises(StoreUnavailable, match="does not answer"):
            store.get_file("a/b", tmp_path / "out")
        assert len(served.asked) == 2 + 1 + s3.RESUMES
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_accepts_and_never_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"ANSWER_SECONDS": 0.1, "RETRIES": 1}.items():
        monkeypatch.setattr(s3, name, value)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = open_store(f"s3://{BUCKET}?endpoint=http://127.0.0.1:{silent.getsockname()[1]}")
        for use in uses(tmp_path).values():
            with pytest.raises(StoreUnavailable, match="does not answer"):
                use(store)


def test_a_server_that_is_of_another_kind() -> None:
    files = {"videos": b"no XML", "videos/": b"no XML"}
    with serving(Served(files=files)) as served:
        store = open_store(f"s3://{BUCKET}?endpoint={served.url}")
        for html in (False, True):
            served.html = html
            with pytest.raises(StoreUnavailable, match="does not answer as S3 does"):
                erase(store, ArtifactRef(sha256="0f" * 32))


def test_a_server_that_is_overloaded_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "BACKOFF_SECONDS", 0.01)
    with serving(Served(files={"videos/a/b": b"1"}, statuses=[503, 429, 500, 502])) as served:
        assert open_store(f"s3://{BUCKET}?endpoint={served.url}").get("a/b") == b"1"
        assert len(served.asked) == 5


def test_a_download_is_not_taken_up_where_only_the_whole_can_be_had() -> None:
    with serving(Served(files={"videos/a/b": bytes(5000)}, ranges=False, cuts=[2000])) as served:
        store = open_store(f"s3://{BUCKET}?endpoint={served.url}")
        with pytest.raises(StoreUnavailable, match="broke off 'a/b' at byte 2000 and does not serve the rest alone"):
            store.get("a/b")


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///key",
        "s3://bucket?endpoint=127.0.0.1:9000",
        "s3://bucket?endpoint=ftp://host",
        "s3://bucket?endpiont=http://host",
        "s3://bucket/../other?endpoint=http://host",
        "s3://bucket?endpoint=http://host:port",
        "s3://bucket?endpoint=http://[",
        "s3://b u?endpoint=http://host",
        "s3://[?endpoint=http://host",
    ],
)
def test_urls_that_name_no_store(url: str) -> None:
    with pytest.raises(InvalidInput):
        open_store(url)


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv(variable)
    with pytest.raises(InvalidInput, match=f"needs the environment variable {variable}"):
        open_store("s3://bucket?endpoint=http://host")
