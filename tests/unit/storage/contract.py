"""What every store must do. The tests of each adapter run all of these on it."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from seamline.errors import InvalidInput, NotFound
from seamline.storage import Store


def reads_what_was_written(store: Store, _: Path) -> None:
    for data in (b"", b"x", bytes(range(256)) * 4096):
        store.put("a/b.bin", data)
        assert store.get("a/b.bin") == data


def replaces(store: Store, _: Path) -> None:
    store.put("a/b", b"longer than the next")
    store.put("a/b", b"short")
    assert store.get("a/b") == b"short"


def moves_files(store: Store, scratch: Path) -> None:
    data = bytes(range(256)) * (4 * 20 * 1024)  # 20 MiB: more than one part of an upload
    (scratch / "in").write_bytes(data)
    store.put_file("big/ä b.bin", scratch / "in")
    store.get_file("big/ä b.bin", scratch / "deep" / "out")
    assert (scratch / "deep" / "out").read_bytes() == data
    assert sorted(path.name for path in (scratch / "deep").iterdir()) == ["out"]


def tells_what_is_missing(store: Store, scratch: Path) -> None:
    store.put("a/b", b"1")
    assert store.exists("a/b")
    for key in ("a/c", "a", "a/b/c"):
        assert not store.exists(key)
        with pytest.raises(NotFound, match=f"there is no object .*{key}'") as caught:
            store.get(key)
        assert caught.value.metadata["key"].endswith(key)
        with pytest.raises(NotFound):
            store.get_file(key, scratch / "out")
    assert list(scratch.iterdir()) == []


def refuses_a_missing_file(store: Store, scratch: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no file"):
        store.put_file("a/b", scratch / "nowhere")
    assert not store.exists("a/b")


def lists_by_prefix(store: Store, _: Path) -> None:
    keys = ["a/b", "a/bc/d", "a/bc/e f", "a-/x", "b/ä"]
    for key in reversed(keys):
        store.put(key, b"")
    assert _keys(store, "") == sorted(keys)
    assert _keys(store, "a/") == ["a/b", "a/bc/d", "a/bc/e f"]
    assert _keys(store, "a/b") == ["a/b", "a/bc/d", "a/bc/e f"]
    assert _keys(store, "a/bc/") == ["a/bc/d", "a/bc/e f"]
    assert _keys(store, "a/b/") == []
    assert _keys(store, "nothing/here") == []


def _keys(store: Store, prefix: str) -> list[str]:
    return [entry.key for entry in store.list(prefix)]


def lists_sizes_and_times(store: Store, _: Path) -> None:
    begun = datetime.now(UTC)
    store.put("a", b"12345")
    (entry,) = store.list("a")
    assert (entry.key, entry.size) == ("a", 5)
    assert abs(entry.modified - begun) < timedelta(minutes=1)
    store.put("a", b"123456789")
    (again,) = store.list("a")
    assert again.size == 9
    assert again.modified >= entry.modified


def deletes(store: Store, scratch: Path) -> None:
    (scratch / "in").write_bytes(bytes(6 << 20))  # more than one part of an upload
    store.put_file("a/large", scratch / "in")
    for key in ("a/b c/ä", "a/b", "a/c", "d"):
        store.put(key, b"1")
    store.delete(["a/large", "a/b c/ä", "a/b", "never/was", "a", "d/e"])
    assert _keys(store, "") == ["a/c", "d"]
    with pytest.raises(NotFound):
        store.get("a/b")
    store.delete([])
    store.delete(["a/c", "d"])
    assert _keys(store, "") == []
    store.put("a/b", b"2")  # and what is gone can come again
    assert store.get("a/b") == b"2"


def discards_nothing_that_is_finished(store: Store, _: Path) -> None:
    store.put("a/b", b"1")
    assert store.discard("a/") == 0
    assert store.discard("") == 0
    assert store.get("a/b") == b"1"


def addresses_lead_back(store: Store, _: Path) -> None:
    for key in ("a/b.mp4", "a/ä b%20#?.bin"):
        store.put(key, key.encode())
        assert store.key(store.uri(key)) == key
        assert store.get(store.key(store.uri(key))) == key.encode()
    base = store.uri("a/b").removesuffix("a/b")
    for uri in (
        "file:///etc/passwd", "s3://another/a/b", "a/b", "", base, f"{base}../a", f"{base}a/../../b", "file://[", "http://["
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            store.key(uri)


def keeps_what_is_secret_in_an_address(store: Store, _: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        store.key("https://user:word@host/bucket/key?X-Amz-Signature=secret#part")
    assert "'https://host/bucket/key'" in str(caught.value)
    assert caught.value.metadata["uri"] == "https://host/bucket/key"


def refuses_keys_that_lead_out(store: Store, scratch: Path) -> None:
    (scratch / "file").write_bytes(b"x")
    uses: list[Callable[[str], object]] = [
        lambda key: store.put(key, b"x"),
        lambda key: store.put_file(key, scratch / "file"),
        store.get,
        lambda key: store.get_file(key, scratch / "out"),
        store.exists,
        lambda key: list(store.list(key)),
        lambda key: store.delete(["a/b", key]),
        store.discard,
        store.uri,
    ]
    for key in ("../a", "/a", "a/../../b", "a/./b", "a//b"):
        for use in uses:
            with pytest.raises(InvalidInput):
                use(key)


def writers_race_without_mixing(store: Store, _: Path) -> None:
    versions = [bytes([number]) * 300_000 for number in range(4)]
    store.put("race", versions[0])
    seen: list[bytes] = []

    def write(data: bytes) -> None:
        for _ in range(3):
            store.put("race", data)
            seen.append(store.get("race"))

    threads = [threading.Thread(target=write, args=(data,)) for data in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 12
    assert all(data in versions for data in seen)


CONTRACT: list[Callable[[Store, Path], None]] = [
    reads_what_was_written,
    replaces,
    moves_files,
    tells_what_is_missing,
    refuses_a_missing_file,
    lists_by_prefix,
    lists_sizes_and_times,
    deletes,
    discards_nothing_that_is_finished,
    addresses_lead_back,
    keeps_what_is_secret_in_an_address,
    refuses_keys_that_lead_out,
    writers_race_without_mixing,
]
