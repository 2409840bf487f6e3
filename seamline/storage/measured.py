"""A store whose operations are measured."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from seamline.errors import NotFound, StoreUnavailable
from seamline.rpc.metrics import STORE_BYTES, STORE_FAILURES, STORE_SECONDS
from seamline.storage.entry import Entry

if TYPE_CHECKING:
    from seamline.storage.store import Store

_OPERATIONS = ("put", "get", "exists", "list", "delete", "discard")
_ERRORS = ("unavailable", "not_found", "other")

for _operation in _OPERATIONS:
    STORE_SECONDS.labels(_operation)
    for _error in _ERRORS:
        STORE_FAILURES.labels(_operation, _error)
for _operation in ("put", "get"):
    STORE_BYTES.labels(_operation)


class MeasuredStore:
    """A `Store` that counts the seconds, bytes and failures of another."""

    def __init__(self, store: "Store") -> None:
        self._store = store

    def put(self, key: str, data: bytes) -> None:
        with _measured("put"):
            self._store.put(key, data)
        STORE_BYTES.labels("put").inc(len(data))

    def put_file(self, key: str, path: Path) -> None:
        with _measured("put"):
            self._store.put_file(key, path)
        STORE_BYTES.labels("put").inc(path.stat().st_size)

    def get(self, key: str) -> bytes:
        with _measured("get"):
            data = self._store.get(key)
        STORE_BYTES.labels("get").inc(len(data))
        return data

    def get_file(self, key: str, path: Path) -> None:
        with _measured("get"):
            self._store.get_file(key, path)
        STORE_BYTES.labels("get").inc(path.stat().st_size)

    def exists(self, key: str) -> bool:
        with _measured("exists"):
            return self._store.exists(key)

    def list(self, prefix: str) -> Iterator[Entry]:
        with _measured("list"):  # with what its reader does in between
            yield from self._store.list(prefix)

    def delete(self, keys: Iterable[str]) -> None:
        with _measured("delete"):
            self._store.delete(keys)

    def discard(self, prefix: str, before: datetime | None = None) -> int:
        with _measured("discard"):
            return self._store.discard(prefix, before)

    def uri(self, key: str) -> str:
        return self._store.uri(key)

    def key(self, uri: str) -> str:
        return self._store.key(uri)


@contextmanager
def _measured(operation: str) -> Iterator[None]:
    with STORE_SECONDS.labels(operation).time():
        try:
            yield
        except Exception as error:
            STORE_FAILURES.labels(operation, _kind(error)).inc()
            raise


def _kind(error: Exception) -> str:
    if isinstance(error, StoreUnavailable):
        return "unavailable"
    return "not_found" if isinstance(error, NotFound) else "other"
