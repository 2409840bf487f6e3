"""The store in a directory."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from seamline.errors import InvalidInput, StoreUnavailable
from seamline.storage import Store, open_store
from seamline.storage.atomic import UNFINISHED, atomic_write
from tests.unit.storage.contract import CONTRACT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "the store"


@pytest.fixture
def store(root: Path) -> Store:
    return open_store(root.as_uri())


@pytest.mark.parametrize("rule", CONTRACT, ids=lambda rule: rule.__name__)
def test_contract(rule: Callable[[Store, Path], None], store: Store, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    rule(store, tmp_path / "scratch")


def test_a_write_that_dies_leaves_the_old_object_and_no_rubbish(root: Path, store: Store) -> None:
    store.put("a/b", b"old")

    def die_half_way() -> None:
        with atomic_write(root / "a" / "b") as file:
            file.write(b"half of the new")
            file.flush()
            # A reader in this moment sees the old object, and no listing shows the unfinished one.
            assert store.get("a/b") == b"old"
            assert [entry.key for entry in store.list("")] == ["a/b"]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die_half_way()
    assert store.get("a/b") == b"old"
    assert [path.name for path in (root / "a").iterdir()] == ["b"]


def test_the_bytes_are_on_the_disk_before_the_name(root: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, bool]] = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), (root / "a").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    store.put("a", b"1")
    (file, named_before), (directory, named_after) = synced
    assert Path(file).parent == Path(directory) == root
    assert (named_before, named_after) == (False, True)


def test_a_symbolic_link_does_not_lead_out(tmp_path: Path, root: Path, store: Store) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_bytes(b"secret")
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "secret")
    for use in (store.get, store.exists, lambda key: store.put(key, b"")):
        with pytest.raises(InvalidInput, match="leads out of the store"):
            use("link/file")
    assert (tmp_path / "secret" / "file").read_bytes() == b"secret"


def test_a_disk_that_refuses_is_an_unavailable_store(root: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="No space left on device") as caught:
        store.put("a/b", b"1")
    assert caught.value.metadata == {"store": root.as_uri(), "key": "a/b"}
    assert not store.exists("a/b")


@pytest.mark.parametrize(
    "url", ["file://relative/path", "file:relative", "file:///a?b=c", "/a/b", "ftp://x/y", "file://[", "file://", ""]
)
def test_urls_that_name_no_store(url: str) -> None:
    with pytest.raises(InvalidInput, match="store URL"):
        open_store(url)


def test_what_was_deleted_leaves_no_directory_that_names_it(root: Path, store: Store) -> None:
    for key in ("artifacts/0f/align/a", "artifacts/0f/align/b", "artifacts/1e/align/a", "top"):
        store.put(key, b"1")
    store.delete(["artifacts/0f/align/a"])
    assert (root / "artifacts" / "0f" / "align" / "b").exists()
    store.delete(["artifacts/0f/align/b", "top"])
    assert [path.name for path in (root / "artifacts").iterdir()] == ["1e"]
    store.delete(["artifacts/1e/align/a"])
    assert [path.name for path in root.iterdir()] == ["artifacts"]


def test_what_a_killed_writer_left_is_discarded(root: Path, store: Store) -> None:
    store.put("artifacts/0f/whole", b"1")
    left = [
        root / "artifacts" / video / f".{name}{UNFINISHED}"
        for video, name in (("0f", "old"), ("0f", "new"), ("1e", "x"))
    ]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    os.utime(left[0], (0, 0))
    assert store.discard("artifacts/", before=datetime(2000, 1, 1, tzinfo=UTC)) == 1
    assert [path.exists() for path in left] == [False, True, True]
    assert store.discard("artifacts/1e/") == 1
    assert not left[2].parent.exists()
    assert store.discard("artifacts/0f/") == 1
    assert [path.name for path in (root / "artifacts" / "0f").iterdir()] == ["whole"]


def test_files_that_are_no_objects_are_not_listed(root: Path, store: Store) -> None:
    store.put("a/b", b"1")
    for stray in (root / "a" / "back\\slash", root / ".git" / "config"):
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"")
    assert [entry.key for entry in store.list("")] == ["a/b"]
