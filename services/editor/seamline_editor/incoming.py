"""A video from an address into the store, where the stages read it."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from seamline.errors import DigestMismatch
from seamline.job import Job
from seamline.storage import Store
from seamline.storage.layout import source_key
from seamline.storage.reference import sha256_of
from seamline.v1.media_pb2 import ArtifactRef, Timing
from seamline_editor.addresses import Address
from seamline_editor.connections import Bounds
from seamline_editor.transfer import download


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What fetching gives."""

    video: ArtifactRef
    """In the store."""
    timing: Timing


def fetch(store: Store, address: Address, sha256: str, bounds: Bounds, job: Job) -> Fetched:
    """Puts the video of an address into the store, under its digest, unless it is there.

    Args:
        store: where it goes.
        address: where it is.
        sha256: its digest, or empty if the caller does not know it; then it is fetched to find out.
        bounds: what that may cost.
        job: the call.

    Raises:
        DigestMismatch: the address has another file.
        StoreUnavailable: as `Store`.
        SeamlineError: as `download`.
    """
    if not sha256 or not store.exists(source_key(sha256, address.suffix)):
        with TemporaryDirectory(prefix="seamline-fetch-") as directory:
            path = Path(directory) / "source"
            download(address, path, bounds, job)
            with job.step("keep"):
                sha256 = _kept(store, address, sha256, path)
    video = ArtifactRef(uri=store.uri(source_key(sha256, address.suffix)), sha256=sha256)
    return Fetched(video=video, timing=Timing(step_seconds=job.seconds))


def _kept(store: Store, address: Address, sha256: str, path: Path) -> str:
    """The digest of what was fetched, once that is in the store."""
    actual = sha256_of(path)
    if sha256 and actual != sha256:
        raise DigestMismatch(
            f"{address.field}: {address} has SHA-256 {actual}, not {sha256}; give the digest of what lies there, or "
            "leave it out",
            field=address.field.replace("uri", "sha256"),
            expected=sha256,
            actual=actual,
        )
    key = source_key(actual, address.suffix)
    if not store.exists(key):
        store.put_file(key, path)
    return actual
