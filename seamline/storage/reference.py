"""References: where an object lies and what its bytes are. Every read checks the digest."""

import hashlib
from pathlib import Path

from seamline.errors import DigestMismatch, InvalidInput
from seamline.storage.layout import check_digest
from seamline.storage.store import Store
from seamline.v1.media_pb2 import ArtifactRef


def sha256_of(data: bytes | Path) -> str:
    """Lower-case hex SHA-256 of bytes, or of a file in bounded memory."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    with data.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def put_object(store: Store, key: str, data: bytes | Path) -> ArtifactRef:
    """Writes bytes, or a file, and returns the reference to them."""
    digest = sha256_of(data)
    if isinstance(data, bytes):
        store.put(key, data)
    else:
        store.put_file(key, data)
    return ArtifactRef(uri=store.uri(key), sha256=digest)


def read_object(store: Store, ref: ArtifactRef) -> bytes:
    """Reads the object that a reference names.

    Raises:
        InvalidInput: the reference is incomplete or lies outside the store.
        NotFound: there is no such object.
        DigestMismatch: its bytes are not those the reference was made of.
    """
    key = _key(store, ref)
    data = store.get(key)
    _check_digest(ref, key, sha256_of(data))
    return data


def fetch_object(store: Store, ref: ArtifactRef, path: Path) -> None:
    """As `read_object`, into a file in bounded memory. The file appears only if its digest is right."""
    key = _key(store, ref)
    unchecked = path.with_name(f".{path.name}.unchecked")
    try:
        store.get_file(key, unchecked)
        _check_digest(ref, key, sha256_of(unchecked))
        unchecked.replace(path)
    finally:
        unchecked.unlink(missing_ok=True)


def _key(store: Store, ref: ArtifactRef) -> str:
    if not ref.uri:
        raise InvalidInput("the reference has no uri", field="uri")
    check_digest(ref.sha256, uri=ref.uri)
    return store.key(ref.uri)


def _check_digest(ref: ArtifactRef, key: str, actual: str) -> None:
    if actual != ref.sha256:
        raise DigestMismatch(
            f"{ref.uri} has SHA-256 {actual}, not {ref.sha256}; it was changed or damaged: store it again, "
            "or delete it so that it is made again",
            uri=ref.uri,
            key=key,
            expected=ref.sha256,
            actual=actual,
        )
