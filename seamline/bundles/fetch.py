"""Getting the files of a recipe: from their authors, a mirror, a directory or a bucket."""

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from seamline.bundles.download import Advance, Wanted, download
from seamline.bundles.manifest import Original
from seamline.bundles.recipe import Recipe, Source, SourceFile
from seamline.errors import DigestMismatch, InvalidInput, NotFound, Precondition, SeamlineError
from seamline.storage import Store, open_store

NEEDED = {"relevance": ("generator", "clip")}
"""What a source is of no use without."""

Watch = Callable[[str], Advance]
"""Gives what to tell of a file's progress, by its name."""


class Origin(Protocol):
    """Where files are fetched from."""

    def get(self, source: Source, file: SourceFile, target: Path, advance: Advance) -> Path:
        """Make a file available.

        Args:
            source: What it belongs to.
            file: The file; its size and digest, where known, are held against what arrives.
            target: Where it may be written.
            advance: Told how far it is.

        Returns:
            Where it lies: `target`, or a place that is not ours to change.

        Raises:
            NotFound, Precondition: It cannot be had there; see `seamline.bundles.download.download`.
        """
        ...


class Authors:
    """The public addresses that the recipe names."""

    def get(self, source: Source, file: SourceFile, target: Path, advance: Advance) -> Path:
        remedy = f"get it from {source.page} in a browser, put it into a directory, and add --from DIRECTORY"
        if not file.urls:
            raise NotFound(f"{file.name} has no address of its own; {remedy}", file=file.name)
        failures: list[SeamlineError] = []
        for url in file.urls:
            try:
                download(Wanted(url=url, size=file.size, checked=bool(file.sha256)), target, advance)
                return target
            except SeamlineError as error:
                failures.append(error)
        reasons = "; ".join(str(error) for error in failures)
        raise type(failures[-1])(f"{file.name} cannot be fetched: {reasons}; or {remedy}", file=file.name)


@dataclass(frozen=True)
class Mirror:
    """All files below one http or https address, by name."""

    prefix: str

    def get(self, source: Source, file: SourceFile, target: Path, advance: Advance) -> Path:
        parts = urlsplit(self.prefix)
        url = urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(file.name)}"))
        download(Wanted(url=url, size=file.size, checked=bool(file.sha256)), target, advance)
        return target


@dataclass(frozen=True)
class Directory:
    """All files in one directory, by name; they are read where they are."""

    path: Path

    def get(self, source: Source, file: SourceFile, target: Path, advance: Advance) -> Path:
        found = self.path / file.name
        if not found.is_file():
            raise NotFound(f"there is no {file.name} in {self.path}; get it from {source.page}", file=file.name)
        advance(size := found.stat().st_size, size)
        return found


@dataclass(frozen=True)
class Bucket:
    """All files below one s3:// address, by name."""

    store: Store

    def get(self, source: Source, file: SourceFile, target: Path, advance: Advance) -> Path:
        self.store.get_file(file.name, target)
        advance(size := target.stat().st_size, size)
        return target


def open_origin(place: str) -> Origin:
    """The origin that `--from` names.

    Args:
        place: Empty for the authors' addresses; a directory; an http:// or https:// prefix; or an s3:// prefix as
            `seamline.storage.open_store` takes it.

    Raises:
        InvalidInput: It is none of these.
    """
    scheme = urlsplit(place).scheme
    if not place:
        return Authors()
    if scheme in ("http", "https"):
        return Mirror(place)
    if scheme == "s3":
        return Bucket(open_store(place))
    path = Path(place.removeprefix("file://"))
    if not path.is_dir():
        raise InvalidInput(
            f"--from {place!r}: there is no such directory; give one, or an http://, https:// or s3:// address "
            "below which the files lie by name",
            field="--from",
        )
    return Directory(path)


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What there is of a recipe."""

    files: Mapping[str, Path]
    """By name."""
    originals: Mapping[str, Original]
    """Their digests and sizes, by name."""
    left_out: Mapping[str, str]
    """Optional sources that cannot be had, with the reason."""


@contextmanager
def downloads(cache: Path, recipe: Recipe) -> Iterator[Path]:
    """The directory of a recipe's downloads, for this process alone; it is emptied when the block ends well.

    Raises:
        Precondition: Another process is fetching the same bundle.
    """
    above = cache / "downloads"
    directory = above / f"{recipe.name}-{recipe.digest[:12]}"
    directory.mkdir(parents=True, exist_ok=True)
    with (above / f".{recipe.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Precondition(
                f"another process is fetching bundle {recipe.name}; wait for it to end", bundle=recipe.name
            ) from error
        yield directory
        for finished in above.glob(f"{recipe.name}-*"):
            shutil.rmtree(finished, ignore_errors=True)


def fetch(
    sources: Sequence[Source],
    origin: Origin,
    directory: Path,
    *,
    known: Mapping[str, Original] | None = None,
    have: Collection[str] = (),
    watch: Watch = lambda name: lambda done, total: None,
) -> Fetched:
    """Get and check every file of a recipe's sources.

    Args:
        sources: What to get.
        origin: Where from.
        directory: Where downloads go, and lie already if an earlier process was killed.
        known: Digests of an earlier fetch, for files of which the recipe gives none.
        have: Names of sources that need not be fetched.
        watch: Shows progress.

    Raises:
        DigestMismatch: A file is not what the recipe, or an earlier fetch, says.
        NotFound, Precondition, InvalidInput, ServiceUnavailable, StoreUnavailable: A file of a source that is not
            optional cannot be had.
    """
    files: dict[str, Path] = {}
    originals: dict[str, Original] = {}
    left_out: dict[str, str] = {}
    chosen = {source.name for source in sources} | set(have)
    for source in sources:
        if lacking := [name for name in NEEDED.get(source.name, ()) if name not in chosen - left_out.keys()]:
            left_out[source.name] = f"it is of no use without {lacking[0]}"
            continue
        try:
            there = {
                file.name: _get(source, _pinned(file, known or {}), origin, directory, watch) for file in source.files
            }
        except (NotFound, Precondition) as error:
            if not source.optional:
                raise
            left_out[source.name] = str(error)
            continue
        files |= {name: path for name, (path, _) in there.items()}
        originals |= {name: original for name, (_, original) in there.items()}
    return Fetched(files=files, originals=originals, left_out=left_out)


def _pinned(file: SourceFile, known: Mapping[str, Original]) -> SourceFile:
    """The file with the digest that an earlier fetch found, where the recipe has none."""
    if file.sha256 or file.name not in known:
        return file
    earlier = known[file.name]
    return replace(file, size=earlier.size, sha256=earlier.sha256)


def _get(source: Source, file: SourceFile, origin: Origin, directory: Path, watch: Watch) -> tuple[Path, Original]:
    target, advance = directory / file.name, watch(file.name)
    found = ""
    # A download that does not match is repeated once from its beginning, where it can be from another address: a byte
    # may have turned over on the way, or the first address may not be what it was.
    for wanted in (file, replace(file, urls=file.urls[1:] + file.urls[:1])):
        path = target if target.is_file() else origin.get(source, wanted, target, advance)
        original = digest_of(path)
        advance(original.size, original.size)
        found = _difference(file, original)
        if not found:
            return path, original
        if path != target:
            break
        target.unlink()
    raise DigestMismatch(
        f"{file.name}: {found}; it is damaged or another file: get it again from {source.page}, or from another mirror",
        file=file.name,
    )


def _difference(file: SourceFile, found: Original) -> str:
    if file.size is not None and found.size != file.size:
        return f"has {found.size} bytes, not {file.size}"
    if file.sha256 and found.sha256 != file.sha256:
        return f"sha256 is {found.sha256}, not {file.sha256}"
    return ""


def digest_of(path: Path) -> Original:
    """Digest and size of a file.

    Raises:
        NotFound: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return Original(sha256=hashlib.file_digest(file, "sha256").hexdigest(), size=file.seek(0, 2))
    except OSError as error:
        raise NotFound(f"{path}: {error.strerror}", path=path) from error
