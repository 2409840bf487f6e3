"""Stores that misbehave, named by how. Each is a real `Store` over another one."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

from seamline.errors import StoreUnavailable
from seamline.storage import Entry, Store


class PassingStore:
    """Passes every call on, and counts the calls by method. The others build on it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.calls: Counter[str] = Counter()

    def put(self, key: str, data: bytes) -> None:
        self.on_call("put", key)
        self.store.put(key, data)

    def put_file(self, key: str, path: Path) -> None:
        self.on_call("put_file", key)
        self.store.put_file(key, path)

    def get(self, key: str) -> bytes:
        self.on_call("get", key)
        return self.store.get(key)

    def get_file(self, key: str, path: Path) -> None:
        self.on_call("get_file", key)
        self.store.get_file(key, path)

    def exists(self, key: str) -> bool:
        self.on_call("exists", key)
        return self.store.exists(key)

    def list(self, prefix: str) -> Iterator[Entry]:
        self.on_call("list", prefix)
        return self.store.list(prefix)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.on_call("delete", key)
            self.store.delete([key])

    def discard(self, prefix: str, before: datetime | None = None) -> int:
        self.on_call("discard", prefix)
        return self.store.discard(prefix, before)

    def uri(self, key: str) -> str:
        return self.store.uri(key)

    def key(self, uri: str) -> str:
        return self.store.key(uri)

    def on_call(self, method: str, key: str) -> None:
        """Called before each call with the method's name."""
        self.calls[method] += 1


class FailOnceStore(PassingStore):
    """Fails the first call of `method` whose key contains `part`, as a store that is away for a moment does."""

    def __init__(self, store: Store, method: str, part: str = "") -> None:
        super().__init__(store)
        self._method, self._part = method, part
        self.failed = False

    def on_call(self, method: str, key: str) -> None:
        super().on_call(method, key)
        if not self.failed and method == self._method and self._part in key:
            self.failed = True
            raise StoreUnavailable(f"the store is away at {key!r}", key=key)


class DownStore(PassingStore):
    """Never answers."""

    def on_call(self, method: str, key: str) -> None:
        super().on_call(method, key)
        raise StoreUnavailable(f"the store is down at {key!r}", key=key)


class CorruptingStore(PassingStore):
    """Flips one bit of every object whose key contains `part` when it is read."""

    def __init__(self, store: Store, part: str = "") -> None:
        super().__init__(store)
        self._part = part

    def get(self, key: str) -> bytes:
        return self._damaged(key, super().get(key))

    def get_file(self, key: str, path: Path) -> None:
        super().get_file(key, path)
        path.write_bytes(self._damaged(key, path.read_bytes()))

    def _damaged(self, key: str, data: bytes) -> bytes:
        return bytes([data[0] ^ 1]) + data[1:] if self._part in key and data else data


class PausingStore(PassingStore):
    """Calls `meanwhile` before the first call of `method` whose key contains `part`: what another process does."""

    def __init__(self, store: Store, method: str, part: str, meanwhile: Callable[[], None]) -> None:
        super().__init__(store)
        self._method, self._part = method, part
        self._meanwhile: Callable[[], None] | None = meanwhile
        self._once = threading.Lock()

    def on_call(self, method: str, key: str) -> None:
        super().on_call(method, key)
        if method == self._method and self._part in key:
            with self._once:
                meanwhile, self._meanwhile = self._meanwhile, None
            if meanwhile is not None:
                meanwhile()
