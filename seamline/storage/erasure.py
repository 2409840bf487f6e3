"""Removing videos from a store, with everything that was made of them: one when its owner asks, many by age."""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from seamline.errors import DigestMismatch, InvalidInput, NotFound
from seamline.storage.entry import Entry
from seamline.storage.layout import artifacts_prefix, check_digest, videos_prefix
from seamline.storage.reference import fetch_object
from seamline.storage.store import Store
from seamline.v1.media_pb2 import ArtifactRef

_EDITED = re.compile(r"artifacts/[0-9a-f]{64}/mux/[0-9a-f]{64}/parts/([0-9a-f]{64})/")
"""An edited video, named by its digest: it may have been edited again."""

_OWN = re.compile(r"(?:artifacts/(?:[^/]+/)*?|videos/)([0-9a-f]{64})/")
"""Up to the first digest: a video's, or that of an artifact which is of no video."""


@dataclass(frozen=True, kw_only=True)
class Removed:
    """What was removed."""

    objects: int = 0
    bytes: int = 0

    def __add__(self, other: "Removed") -> "Removed":
        return Removed(objects=self.objects + other.objects, bytes=self.bytes + other.bytes)


@dataclass(frozen=True, kw_only=True)
class Aged:
    """All that a store has of one video, or one artifact that is of none."""

    prefixes: frozenset[str]
    """Where it lies."""
    objects: int
    bytes: int
    newest: datetime
    """When its newest object was written."""

    @property
    def name(self) -> str:
        """The video's digest; of what is of no video, its place."""
        return re.sub("^(artifacts|videos)/", "", min(self.prefixes)).rstrip("/")


def erase(store: Store, video: ArtifactRef, *, keep_source: bool = False) -> Removed:
    """Removes everything that was made of a video, finished or not, and the video itself.

    If an edited video was the source of another edit, what was made of that goes too. Whoever still works on the video
    may write again what is removed here. Broken off, it is to be repeated.

    Args:
        store: where it lies.
        video: its digest; its address, if it lies in the store elsewhere than an upload does.
        keep_source: leave the video itself.

    Raises:
        InvalidInput: the digest is missing or malformed, the address lies outside the store, or what lies there is
            another video. Nothing has been removed then.
        StoreUnavailable: as `Store`.
    """
    check_digest(video.sha256)
    source = None if keep_source else _source(store, video)
    removed = _erase_derived(store, video.sha256, set())
    if not keep_source:
        removed += _remove(store, videos_prefix(video.sha256))
    if source is not None:
        store.delete([source.key])
        removed += Removed(objects=1, bytes=source.size)
    return removed


def _source(store: Store, video: ArtifactRef) -> Entry | None:
    """The object at the video's address, if it is there and is the video."""
    if not video.uri:
        return None
    key = store.key(video.uri)
    if key.startswith(videos_prefix(video.sha256)):  # goes with the rest
        return None
    entry = next((entry for entry in store.list(key) if entry.key == key), None)
    if entry is not None:
        _check_is(store, video)
    return entry


def _check_is(store: Store, video: ArtifactRef) -> None:
    """An object that is not the video must not be lost to a mistake in a request."""
    with tempfile.TemporaryDirectory(prefix="seamline-erase-") as directory:
        try:
            fetch_object(store, video, Path(directory, "source"))
        except NotFound:  # gone in this moment
            return
        except DigestMismatch as error:
            raise InvalidInput(
                f"{video.uri} is another video than the one to be erased, sha256 {video.sha256}; give the two that "
                "belong together, or the digest alone",
                field="uri",
            ) from error


def _erase_derived(store: Store, video: str, seen: set[str]) -> Removed:
    """Removes what was made of a video, what was made of that first: a broken erasure finds its way again."""
    seen.add(video)
    prefix, removed = artifacts_prefix(video), Removed()
    edited = {match[1] for entry in store.list(f"{prefix}mux/") if (match := _EDITED.match(entry.key))}
    for each in sorted(edited - seen):
        removed += _erase_derived(store, each, seen) + _remove(store, videos_prefix(each))
    return removed + _remove(store, prefix)


def _remove(store: Store, prefix: str) -> Removed:
    # Unfinished first: what is finished in between is in the listing.
    discarded = store.discard(prefix)
    entries = list(store.list(prefix))
    store.delete(entry.key for entry in entries)
    return Removed(objects=len(entries) + discarded, bytes=sum(entry.size for entry in entries))


def by_age(store: Store, *, keep_sources: bool = False) -> list[Aged]:
    """Everything that can be removed, each video as a whole, what nobody has written to for longest first.

    Args:
        store: looked through entirely.
        keep_sources: leave uploaded and fetched videos out.
    """
    found: dict[str, Aged] = {}
    for entry in _entries(store, keep_sources):
        if match := _OWN.match(entry.key):
            one = Aged(prefixes=frozenset([match[0]]), objects=1, bytes=entry.size, newest=entry.modified)
            known = found.get(match[1])
            found[match[1]] = one if known is None else _together(known, one)
    return sorted(found.values(), key=lambda aged: aged.newest)


def _entries(store: Store, keep_sources: bool) -> Iterator[Entry]:
    yield from store.list("artifacts/")
    if not keep_sources:
        yield from store.list("videos/")


def _together(one: Aged, other: Aged) -> Aged:
    return Aged(
        prefixes=one.prefixes | other.prefixes,
        objects=one.objects + other.objects,
        bytes=one.bytes + other.bytes,
        newest=max(one.newest, other.newest),
    )


def expire(store: Store, aged: Aged, before: datetime) -> Removed:
    """Removes something that `by_age` found, unless somebody works on it again: it was written to since `before`."""
    if any(entry.modified >= before for prefix in aged.prefixes for entry in store.list(prefix)):
        return Removed()
    return sum((_remove(store, prefix) for prefix in sorted(aged.prefixes)), Removed())


def discard_unfinished(store: Store, before: datetime) -> int:
    """Removes uploads that were begun before a moment and never finished; returns how many there were."""
    return sum(store.discard(prefix, before) for prefix in ("artifacts/", "videos/"))
