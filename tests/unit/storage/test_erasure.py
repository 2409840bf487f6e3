"""Erasing a video with all that was made of it, and letting go of what is old."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from seamline.errors import InvalidInput, StoreUnavailable
from seamline.storage import ArtifactWriter, Recipe, Store, open_store, put_object
from seamline.storage.atomic import UNFINISHED
from seamline.storage.erasure import Removed, by_age, discard_unfinished, erase, expire
from seamline.storage.layout import SHARED, source_key
from seamline.storage.reference import sha256_of
from seamline.v1.media_pb2 import ArtifactRef
from tests.fakes.stores import FailOnceStore

FACE, OTHER = b"a face", b"another face"
NOW = datetime.now(UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Store:
    return open_store(root.as_uri())


def put_video(store: Store, data: bytes) -> ArtifactRef:
    return put_object(store, source_key(sha256_of(data), ".MP4"), data)


def edited(store: Store, video: ArtifactRef, result: bytes = b"edited") -> ArtifactRef:
    """What an edit leaves: a stage that is finished, one that is not, and the edited video."""
    parts = {"align": ["frames", "times"], "invert": ["pivots"], "mux": ["edited.mp4"]}
    for stage, names in parts.items():
        writer = ArtifactWriter(store, Recipe(video=video.sha256, stage=stage, version=1, inputs={}))
        for name in names:
            writer.put_part(name, result if stage == "mux" else name.encode())
        if stage != "invert":
            writer.finish({})
    return put_object(store, "delivered/edited.mp4", result)


def keys(store: Store, prefix: str = "") -> list[str]:
    return [entry.key for entry in store.list(prefix)]


def test_everything_of_a_video_goes_and_nothing_of_another(store: Store) -> None:
    face = put_video(store, FACE)
    style = ArtifactWriter(store, Recipe(video=SHARED, stage="style", version=1, inputs={}))
    style.put_part("change", b"1")
    style.finish({})
    other = put_video(store, OTHER)
    edited(store, other)
    rest, size = keys(store), sum(entry.size for entry in store.list(""))
    store.delete(entry.key for entry in store.list(f"artifacts/{face.sha256}/"))
    rest.remove(source_key(face.sha256, ".mp4"))
    edited(store, face, b"edited otherwise")
    store.delete(["delivered/edited.mp4"])
    rest.remove("delivered/edited.mp4")

    removed = erase(store, face)

    assert keys(store) == rest
    # align: 2 parts, 2 sidecars and the manifest; invert: a part and its sidecar; mux: 1, 1, 1; and the source
    assert removed.objects == 5 + 2 + 3 + 1
    assert removed.bytes > len(FACE)
    assert size > 0
    assert erase(store, face) == Removed()


def test_what_was_begun_and_not_finished_goes_too(root: Path, store: Store) -> None:
    face = put_video(store, FACE)
    half = root / "artifacts" / face.sha256 / "align" / f".half{UNFINISHED}"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half a frame")
    assert erase(store, face).objects == 2
    assert not half.parent.parent.exists()


def test_an_edit_of_an_edited_video_goes_with_it(store: Store) -> None:
    face = put_video(store, FACE)
    once = edited(store, face, b"smiling")
    uploaded = put_video(store, b"smiling")
    assert uploaded.sha256 == once.sha256
    edited(store, uploaded, b"smiling and old")
    edited(store, ArtifactRef(sha256=sha256_of(b"smiling and old")), FACE)  # and round again
    other = put_video(store, OTHER)
    edited(store, other)
    store.delete(["delivered/edited.mp4"])
    erase(store, ArtifactRef(sha256=face.sha256))
    assert {key.split("/")[1] for key in keys(store)} == {other.sha256}


def test_a_broken_erasure_is_repeated(store: Store) -> None:
    face = put_video(store, FACE)
    edited(store, face, b"smiling")
    edited(store, put_video(store, b"smiling"))
    store.delete(["delivered/edited.mp4"])
    for part in (f"artifacts/{sha256_of(b'smiling')}", f"artifacts/{face.sha256}/invert", f"videos/{face.sha256}"):
        with pytest.raises(StoreUnavailable):
            erase(FailOnceStore(store, "delete", part), face)
    assert erase(store, face).objects > 0
    assert keys(store) == []


def test_the_source_stays_if_asked_to(store: Store) -> None:
    face = put_video(store, FACE)
    edited(store, face)
    erase(store, face, keep_source=True)
    assert keys(store) == ["delivered/edited.mp4", source_key(face.sha256, ".mp4")]


def test_a_source_elsewhere_in_the_store_goes_by_its_address(store: Store) -> None:
    face = put_object(store, "uploads/customer 7/face.mp4", FACE)
    put_object(store, "uploads/customer 7/face.mp4.txt", b"note")
    assert erase(store, ArtifactRef(sha256=face.sha256)) == Removed()
    assert erase(store, face, keep_source=True) == Removed()
    assert erase(store, face) == Removed(objects=1, bytes=len(FACE))
    assert erase(store, face) == Removed()
    assert keys(store) == ["uploads/customer 7/face.mp4.txt"]


@pytest.mark.parametrize(
    ("uri", "sha256", "message"),
    [
        ("", "", "sha256 must be the SHA-256 of the object's bytes"),
        ("", SHARED, "sha256 must be the SHA-256 of the object's bytes"),
        ("", "../" + "0" * 61, "sha256 must be the SHA-256 of the object's bytes"),
        ("", "AB" * 32, "lower-case"),
        ("{store}/uploads/face.mp4", sha256_of(OTHER), "is another video than the one to be erased"),
        ("file:///etc/passwd", sha256_of(FACE), "is not in the store"),
        ("{store}/../face.mp4", sha256_of(FACE), "segment that starts with a dot"),
        ("https://host/face.mp4?secret", sha256_of(FACE), "'https://host/face.mp4' is not in the store"),
    ],
)
def test_nothing_is_removed_where_something_is_wrong(
    root: Path, store: Store, uri: str, sha256: str, message: str
) -> None:
    put_object(store, "uploads/face.mp4", FACE)
    edited(store, put_video(store, FACE))
    edited(store, put_video(store, OTHER))
    before = keys(store)
    with pytest.raises(InvalidInput, match=message):
        erase(store, ArtifactRef(uri=uri.format(store=root.as_uri()), sha256=sha256))
    assert keys(store) == before


def age(root: Path, part: str, days: float) -> None:
    """Makes everything below paths that contain `part` older than it is."""
    moment = (NOW - timedelta(days=days)).timestamp()
    for path in root.rglob("*"):
        if part in path.as_posix() and path.is_file():
            os.utime(path, (moment, moment))


def test_a_video_is_as_old_as_its_newest_object(root: Path, store: Store) -> None:
    face, other = put_video(store, FACE), put_video(store, OTHER)
    edited(store, face)
    edited(store, other)
    store.put("backend/clip.mp4", b"not ours")
    store.put("videos/by-hand/clip.mp4", b"not ours either")
    age(root, "", 40)
    age(root, f"{other.sha256}/invert", 3)
    old, young = by_age(store)
    assert old.prefixes == {f"artifacts/{face.sha256}/", f"videos/{face.sha256}/"}
    assert young.prefixes == {f"artifacts/{other.sha256}/", f"videos/{other.sha256}/"}
    assert old.newest == pytest.approx(NOW - timedelta(days=40), abs=timedelta(seconds=1))
    assert young.newest == pytest.approx(NOW - timedelta(days=3), abs=timedelta(seconds=1))
    assert (old.name, young.name) == (face.sha256, other.sha256)
    assert old.objects == young.objects == 11
    assert expire(store, old, NOW - timedelta(days=30)) == Removed(objects=old.objects, bytes=old.bytes)
    assert by_age(store) == [young]
    assert {"backend/clip.mp4", "videos/by-hand/clip.mp4"} <= set(keys(store))


def test_what_was_taken_up_again_since_it_was_looked_at_stays(root: Path, store: Store) -> None:
    face = put_video(store, FACE)
    edited(store, face)
    age(root, "", 40)
    (old,) = by_age(store)
    store.put(f"artifacts/{face.sha256}/stitch/new", b"1")
    before = keys(store)
    assert expire(store, old, NOW - timedelta(days=30)) == Removed()
    assert keys(store) == before


def test_sources_may_be_left_out(root: Path, store: Store) -> None:
    edited(store, put_video(store, FACE))
    put_video(store, OTHER)
    (made,) = by_age(store, keep_sources=True)
    assert made.prefixes == {f"artifacts/{sha256_of(FACE)}/"}


def test_styles_age_one_by_one_and_so_does_what_earlier_versions_left(root: Path, store: Store) -> None:
    for number in range(2):
        writer = ArtifactWriter(store, Recipe(video=SHARED, stage="style", version=number, inputs={}))
        writer.put_part("change", b"1")
    store.put(f"artifacts/align/{'0f' * 32}/parts/{'1e' * 32}/frames", b"1")
    assert sorted(each.name.rpartition("/")[0] for each in by_age(store)) == ["align", "shared/style", "shared/style"]


def test_unfinished_uploads_are_discarded_by_age(root: Path, store: Store) -> None:
    put_video(store, FACE)
    for name in ("artifacts/0f", "videos/0f", "backend"):
        (root / name).mkdir(parents=True)
        (root / name / f".1{UNFINISHED}").write_bytes(b"")
    assert discard_unfinished(store, NOW - timedelta(days=1)) == 0
    age(root, UNFINISHED, 2)
    assert discard_unfinished(store, NOW - timedelta(days=1)) == 2
