"""The object store, as everything else sees it. The adapters are `local` and `s3`."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

from seamline.errors import InvalidInput
from seamline.storage.entry import Entry
from seamline.storage.measured import MeasuredStore


class Store(Protocol):
    """Objects by key. Writes are atomic: a reader sees an object whole or not at all, whoever dies meanwhile.

    Keys follow `seamline.storage.keys`. Every method raises `InvalidInput` for any other key and
    `StoreUnavailable` if the store does not answer, refuses the credentials or cannot write.
    """

    def put(self, key: str, data: bytes) -> None:
        """Writes an object, replacing one of that key."""
        ...

    def put_file(self, key: str, path: Path) -> None:
        """Writes an object from a file in bounded memory. Raises InvalidInput if there is no such file."""
        ...

    def get(self, key: str) -> bytes:
        """Reads an object. Raises NotFound."""
        ...

    def get_file(self, key: str, path: Path) -> None:
        """Reads an object into a file, which appears whole or not at all. Raises NotFound."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is an object of that key."""
        ...

    def list(self, prefix: str) -> Iterator[Entry]:
        """Objects whose keys start with `prefix` (letter by letter, as in S3), in ascending order of the keys."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Removes objects; those that are not there are passed over. If it fails, some of them may be gone."""
        ...

    def discard(self, prefix: str, before: datetime | None = None) -> int:
        """Removes what writers began below a prefix and have not finished, which no listing shows.

        A writer that is still at it fails, and may repeat its write.

        Args:
            prefix: ends with a slash.
            before: leave what was begun later than this; None for no such limit.

        Returns:
            How many unfinished objects there were.
        """
        ...

    def uri(self, key: str) -> str:
        """The address of an object in this store, for an `ArtifactRef`."""
        ...

    def key(self, uri: str) -> str:
        """The key behind an address. Raises InvalidInput if it lies outside this store."""
        ...


def open_store(url: str) -> Store:
    """Opens the store that a URL names.

    Args:
        url: `file:///directory`, or `s3://bucket/prefix?endpoint=http://host:9000&region=us-east-1` with the
            credentials in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if temporary, AWS_SESSION_TOKEN.
            Without an endpoint it is AWS.

    Raises:
        InvalidInput: the URL or the credentials are incomplete. The store itself is first asked on first use.
    """
    scheme = url.partition("://")[0]
    # The adapters are imported when asked for: a service on a local directory needs no S3 client.
    if scheme == "file":
        from seamline.storage.local import LocalStore

        return MeasuredStore(LocalStore.from_url(url))
    if scheme == "s3":
        from seamline.storage.s3 import S3Store

        return MeasuredStore(S3Store.from_url(url))
    raise InvalidInput(f"store URL {url!r} starts with neither file:// nor s3://", url=url)
