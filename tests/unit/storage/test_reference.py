"""References: a digest on every read."""

import hashlib
from pathlib import Path

import pytest

from seamline.errors import DigestMismatch, InvalidInput, NotFound
from seamline.storage import Store, fetch_object, open_store, put_object, read_object
from seamline.v1.media_pb2 import ArtifactRef
from tests.fakes.stores import CorruptingStore

DATA = bytes(range(256)) * 9000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store((tmp_path / "store").as_uri())


def test_bytes_and_files_give_the_same_reference(tmp_path: Path, store: Store) -> None:
    (tmp_path / "in").write_bytes(DATA)
    refs = [put_object(store, "a/b", DATA), put_object(store, "a/b", tmp_path / "in")]
    assert refs[0] == refs[1]
    assert refs[0].sha256 == hashlib.sha256(DATA).hexdigest()
    assert read_object(store, refs[0]) == DATA
    fetch_object(store, refs[0], tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == DATA


def test_damage_is_found_and_no_file_appears(tmp_path: Path, store: Store) -> None:
    ref = put_object(store, "a/b", DATA)
    damaged = CorruptingStore(store)
    (tmp_path / "scratch").mkdir()
    with pytest.raises(DigestMismatch, match=f"not {ref.sha256}; it was changed or damaged") as caught:
        read_object(damaged, ref)
    assert caught.value.metadata["uri"] == ref.uri
    assert caught.value.metadata["key"] == "a/b"
    with pytest.raises(DigestMismatch):
        fetch_object(damaged, ref, tmp_path / "scratch" / "out")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_missing_object(tmp_path: Path, store: Store) -> None:
    ref = ArtifactRef(uri=store.uri("a/b"), sha256="0" * 64)
    with pytest.raises(NotFound, match="no object 'a/b'"):
        read_object(store, ref)
    with pytest.raises(NotFound):
        fetch_object(store, ref, tmp_path / "out")


@pytest.mark.parametrize(
    ("ref", "field"),
    [
        (ArtifactRef(), "uri"),
        (ArtifactRef(uri="file:///etc/passwd", sha256="0" * 64), "uri"),
        (ArtifactRef(uri="{base}a"), "sha256"),
        (ArtifactRef(uri="{base}a", sha256="A" * 64), "sha256"),
        (ArtifactRef(uri="{base}a", sha256="0" * 63), "sha256"),
        (ArtifactRef(uri="{base}a", sha256="0" * 64 + "\n"), "sha256"),
    ],
)
def test_an_incomplete_reference_names_its_field(store: Store, ref: ArtifactRef, field: str) -> None:
    store.put("a", b"")
    ref.uri = ref.uri.format(base=store.uri("a").removesuffix("a"))
    with pytest.raises(InvalidInput) as caught:
        read_object(store, ref)
    assert caught.value.field == field
    if field == "sha256":
        assert caught.value.metadata["uri"] == ref.uri
