"""A bundle in one file, for where there is no network."""

import hashlib
import io
import shutil
import tarfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from seamline.bundles.install import commit, staging
from seamline.bundles.manifest import INSTALLED_MANIFEST, MANIFEST, PLAIN_NAME, Manifest, WeightFile, read_manifest
from seamline.bundles.places import is_recipe
from seamline.errors import DigestMismatch, InvalidInput, NotFound, Precondition
from seamline.storage.atomic import atomic_write

LARGEST_MANIFEST = 1 << 20
"""Bytes."""
MOST_MEMBERS = 256


def pack(directory: Path, out: Path) -> Manifest:
    """Write a bundle to one tar file: the same bundle always gives the same bytes.

    Args:
        directory: The bundle's.
        out: Appears whole or not at all.

    Returns:
        What was packed.

    Raises:
        NotFound, DigestMismatch: A weight file is missing or damaged.
        InvalidInput: The manifest is wrong, or `out` cannot be written.
    """
    manifest, _ = read_manifest(directory)
    manifests = [name for name in (MANIFEST, INSTALLED_MANIFEST) if (directory / name).is_file()]
    try:
        with atomic_write(out) as file, tarfile.open(fileobj=file, mode="w:", format=tarfile.PAX_FORMAT) as tar:
            for name in manifests:
                content = (directory / name).read_bytes()
                _add(tar, f"{manifest.name}/{name}", len(content), io.BytesIO(content))
            for entry in _in_order(manifest):
                with _opened(directory, entry) as content:
                    _add(tar, f"{manifest.name}/{entry.file}", entry.size, content)
    except OSError as error:
        raise InvalidInput(
            f"{out} cannot be written: {error.strerror or error}; choose another place", field="--out"
        ) from error
    return manifest


def _in_order(manifest: Manifest) -> list[WeightFile]:
    return sorted({entry.file: entry for entry in manifest.files().values()}.values(), key=lambda entry: entry.file)


def _add(tar: tarfile.TarFile, name: str, size: int, content: BinaryIO) -> None:
    member = tarfile.TarInfo(name)  # owner, group, mode and time are the same everywhere
    member.size, member.mode = size, 0o644
    tar.addfile(member, content)


@contextmanager
def _opened(directory: Path, entry: WeightFile) -> Iterator[BinaryIO]:
    path = directory / entry.file
    try:
        file = path.open("rb")
    except OSError as error:
        raise NotFound(f"{path}: {error.strerror}; install the bundle again", path=path) from error
    with file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if file.tell() != entry.size or digest != entry.sha256:
            raise DigestMismatch(
                f"{path}: is not the file that the manifest names; install the bundle again", path=path
            )
        file.seek(0)
        yield file


def unpack(packed: Path, bundles: Path) -> Path:
    """Install a bundle from a file that `pack` wrote.

    Only plain files that the packed manifest names are taken, of the sizes and digests that it gives.

    Args:
        packed: The tar file.
        bundles: Directory of bundles.

    Returns:
        The bundle's directory.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It is damaged, or holds anything else; nothing of it stays.
        DigestMismatch: A weight file in it is damaged.
        Precondition: Another bundle of this name is there, or the directory cannot be written.
    """
    if not packed.is_file():
        raise NotFound(f"there is no file {packed}", path=packed)
    try:
        with tarfile.open(packed, mode="r:") as tar:
            return _unpacked(tar, packed, bundles)
    except (tarfile.TarError, EOFError, UnicodeError) as error:
        raise _refused(packed, f"is no tar file, or is cut off ({error})") from error


def _unpacked(tar: tarfile.TarFile, packed: Path, bundles: Path) -> Path:
    members = _members(tar, packed)
    name = _bundle_name(tar, members, packed)
    directory = bundles / name
    with staging(directory) as unfinished:
        for each in (MANIFEST, INSTALLED_MANIFEST):
            if each in members:
                (unfinished / each).write_bytes(_content(tar, members[each], packed))
        manifest, _ = read_manifest(unfinished)
        _check_place(directory, unfinished, manifest)
        entries = {entry.file: entry for entry in manifest.files().values()}
        if odd := sorted(members.keys() ^ (entries.keys() | {MANIFEST} | ({INSTALLED_MANIFEST} & members.keys()))):
            raise _refused(packed, f"its manifest and its contents differ in {odd[0]!r}")
        for file, entry in entries.items():
            _extract(tar, members[file], entry, unfinished / file, packed)
        commit(unfinished, directory)
    return directory


def _members(tar: tarfile.TarFile, packed: Path) -> dict[str, tarfile.TarInfo]:
    """Its members by the last part of their names, once it is clear that they are plain files of one directory."""
    found: dict[str, tarfile.TarInfo] = {}
    above = ""
    for member in tar:
        place, _, name = member.name.partition("/")
        plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.sparse
        if not plain or not PLAIN_NAME.fullmatch(place) or not PLAIN_NAME.fullmatch(name):
            raise _refused(packed, f"holds {member.name!r}, which is not a plain file in one directory")
        if place != (above or place) or name in found or len(found) == MOST_MEMBERS:
            raise _refused(packed, f"holds {member.name!r}: a second directory, a file twice, or too many files")
        above, found[name] = place, member
    if MANIFEST not in found:
        raise _refused(packed, f"holds no {MANIFEST}")
    return found


def _bundle_name(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], packed: Path) -> str:
    """The name in the manifest, which must be that of the directory."""
    place = members[MANIFEST].name.partition("/")[0]
    try:
        name = tomllib.loads(_content(tar, members[MANIFEST], packed).decode()).get("name")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _refused(packed, f"its {MANIFEST} is wrong ({error})") from error
    if name != place:
        raise _refused(packed, f"holds the directory {place!r}, and its {MANIFEST} says {name!r}")
    return place


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, packed: Path) -> bytes:
    if member.size > LARGEST_MANIFEST:
        raise _refused(packed, f"{member.name} has {member.size} bytes, and at most {LARGEST_MANIFEST} are read")
    content = cast(BinaryIO, tar.extractfile(member)).read()
    if len(content) != member.size:
        raise _refused(packed, f"is cut off in {member.name}")
    return content


def _check_place(directory: Path, unfinished: Path, manifest: Manifest) -> None:
    """Leave a bundle alone whose files have the same names, but are not the same."""
    there = directory / MANIFEST
    if not there.is_file() or there.read_bytes() == (unfinished / MANIFEST).read_bytes():
        return
    if not (manifest.recipe and is_recipe(directory)):  # the files of an installed one have names of their own
        raise Precondition(
            f"another bundle {manifest.name} is in {directory}; remove it, or name another directory with --to",
            path=directory,
        )


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, entry: WeightFile, path: Path, packed: Path) -> None:
    if member.size != entry.size:
        raise _refused(packed, f"{member.name} has {member.size} bytes, its manifest says {entry.size}")
    try:
        with path.open("xb") as file:
            shutil.copyfileobj(cast(BinaryIO, tar.extractfile(member)), file, 1 << 20)
    except OSError as error:
        raise Precondition(f"{path} cannot be written: {error.strerror}; make room, or give --to", path=path) from error
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
            raise DigestMismatch(f"{packed}: {member.name} is damaged; copy the file again", path=packed)


def _refused(packed: Path, reason: str) -> InvalidInput:
    return InvalidInput(f"{packed}: {reason}; give a file that `seamline bundles pack` wrote", path=packed)
