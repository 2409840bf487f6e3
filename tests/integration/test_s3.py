"""The S3 store against a real server: real signatures, real multipart uploads, real failures."""

import itertools
import socket
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from minio import Minio

from seamline.errors import InvalidInput, NotFound, StoreUnavailable
from seamline.storage import Artifact, ArtifactWriter, Recipe, Store, fetch_object, open_store, put_object
from seamline.storage.s3 import PART_BYTES
from tests.fakes.cutting_proxy import CuttingProxy
from tests.integration.swift import ACCESS_KEY, SECRET_KEY, Swift, running_swift
from tests.unit.storage.contract import CONTRACT

BUCKET = "videos"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def swift() -> Iterator[Swift]:
    with running_swift() as server:
        client = Minio(server.endpoint.removeprefix("http://"), ACCESS_KEY, SECRET_KEY, secure=False)
        client.make_bucket(BUCKET)
        yield server


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


@pytest.mark.parametrize("use", ["put", "put_file", "get", "get_file", "exists", "list"])
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


@pytest.mark.parametrize("use", ["put", "put_file", "get", "get_file", "list"])
def test_a_missing_bucket_is_named_with_a_remedy(swift: Swift, tmp_path: Path, use: str) -> None:
    with pytest.raises(NotFound, match=r"there is no bucket 'nowhere' at http.*; create it") as caught:
        uses(tmp_path)[use](open_store(swift.url("nowhere")))
    assert caught.value.metadata["endpoint"] == swift.endpoint


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///key",
        "s3://bucket?endpoint=127.0.0.1:9000",
        "s3://bucket?endpoint=ftp://host",
        "s3://bucket?endpiont=http://host",
        "s3://bucket/../other?endpoint=http://host",
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
