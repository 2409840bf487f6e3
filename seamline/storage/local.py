"""The store in a local directory: for a laptop, a test, or one machine with a disk."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

from seamline.errors import InvalidInput, NotFound, StoreUnavailable
from seamline.storage.atomic import UNFINISHED, atomic_write
from seamline.storage.entry import Entry
from seamline.storage.keys import check_key, check_prefix, is_key, named


class LocalStore:
    """A `Store` whose keys are paths below one directory, which is made on the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    @classmethod
    def from_url(cls, url: str) -> "LocalStore":
        """Opens `file:///directory`. Raises InvalidInput if the path is not absolute."""
        host, slash, path = url.removeprefix("file://").partition("/")
        path = slash + unquote(path)
        if host not in ("", "localhost") or not slash or re.search("[?#]", url):
            raise InvalidInput(f"store URL {url!r} is not of the form file:///absolute/directory", url=url)
        return cls(Path(path))

    def put(self, key: str, data: bytes) -> None:
        with self._failures_named(key), atomic_write(self._path(key)) as file:
            file.write(data)

    def put_file(self, key: str, path: Path) -> None:
        if not path.is_file():
            raise InvalidInput(f"there is no file {path} to store as {key!r}", path=path, key=key)
        with self._failures_named(key), path.open("rb") as source, atomic_write(self._path(key)) as file:
            shutil.copyfileobj(source, file, 1 << 20)

    def get(self, key: str) -> bytes:
        with self._failures_named(key):
            return self._path(key).read_bytes()

    def get_file(self, key: str, path: Path) -> None:
        with self._failures_named(key), self._path(key).open("rb") as source, atomic_write(path) as file:
            shutil.copyfileobj(source, file, 1 << 20)

    def exists(self, key: str) -> bool:
        with self._failures_named(key):
            return self._path(key).is_file()

    def list(self, prefix: str) -> Iterator[Entry]:
        # The last segment of a prefix may be half a name, so the walk starts at the directory above it.
        above = check_prefix(prefix).rpartition("/")[0]
        with self._failures_named(prefix):
            entries = [
                Entry(key=key, size=found.st_size, modified=_time_of(found))
                for path, found in self._files(above)
                if is_key(key := path.relative_to(self.root).as_posix()) and key.startswith(prefix)
            ]
        yield from sorted(entries, key=lambda entry: entry.key)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            with self._failures_named(key):
                path = self._path(key)
                with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                    path.unlink()
                    self._prune(path.parent)

    def discard(self, prefix: str, before: datetime | None = None) -> int:
        with self._failures_named(prefix):
            unfinished = [
                path
                for path, found in self._files(check_prefix(prefix))
                if path.name.endswith(UNFINISHED) and (before is None or _time_of(found) < before)
            ]
            for path in unfinished:
                path.unlink(missing_ok=True)
                self._prune(path.parent)
        return len(unfinished)

    def uri(self, key: str) -> str:
        return self._path(key).as_uri()

    def key(self, uri: str) -> str:
        base = f"{self.root}/"
        # Taken apart by hand: `urlsplit` has errors of its own for what is no address at all.
        scheme, _, rest = uri.partition("://")
        path = unquote(re.split("[?#]", rest)[0])
        if scheme != "file" or not path.startswith(base):
            raise InvalidInput(
                f"{named(uri)!r} is not in the store {self.root.as_uri()}; upload the object there first",
                field="uri",
                uri=named(uri),
                store=self.root.as_uri(),
            )
        return check_key(path.removeprefix(base))

    def _files(self, below: str) -> Iterator[tuple[Path, os.stat_result]]:
        """The files below a directory, unfinished ones too; those that vanish meanwhile are left out."""
        for directory, inner, names in os.walk(self.root / below, onerror=_raise_unless_missing):
            inner[:] = [name for name in inner if not name.startswith(".")]
            for path in (Path(directory, name) for name in names):
                with suppress(FileNotFoundError):
                    yield path, path.stat()

    def _prune(self, directory: Path) -> None:
        """Removes directories that have become empty, as their names say what was there; those at the top stay."""
        with suppress(OSError):  # not empty, or gone
            while self.root not in (directory, directory.parent):
                directory.rmdir()
                directory = directory.parent

    def _path(self, key: str) -> Path:
        path = self.root / check_key(key)
        if not path.resolve().is_relative_to(self.root):  # a symbolic link in the directory may lead out
            raise InvalidInput(f"object key {key!r} leads out of the store {self.root}", key=key)
        return path

    @contextmanager
    def _failures_named(self, key: str) -> Iterator[None]:
        where = {"store": self.root.as_uri(), "key": key}
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise NotFound(f"there is no object {key!r} in the store {where['store']}", **where) from error
        except OSError as error:
            raise StoreUnavailable(
                f"the store {where['store']} failed at {key!r}: {error.strerror}; check the directory's "
                "permissions and free space",
                **where,
            ) from error


def _time_of(found: os.stat_result) -> datetime:
    return datetime.fromtimestamp(found.st_mtime, UTC)


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
