"""Putting a bundle's files where they belong: converted first, all of them or none."""

import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from seamline.bundles.fetch import NEEDED, Fetched
from seamline.bundles.manifest import (
    INSTALLED_MANIFEST,
    MANIFEST,
    Manifest,
    NetworkEntry,
    RelevanceFile,
    WeightFile,
    format_manifest,
    read_manifest,
)
from seamline.bundles.places import own_bundles
from seamline.bundles.recipe import Recipe, Source
from seamline.bundles.verify import verify
from seamline.checkpoints.formats import FORMATS
from seamline.checkpoints.network_file import Converted, write_converted
from seamline.errors import InvalidInput, Precondition

STAGING = ".unfinished"
"""Where a bundle's files are written first, inside its directory: what a killed process leaves there is never read."""

_NAMED = re.compile(r"[a-z0-9_]+-[0-9a-f]{8}\.safetensors")
"""What installed files are called: the source, and the beginning of their digest."""


def destination(recipe: Recipe, to: Path | None) -> Path:
    """Where a bundle is installed: below a directory of bundles, else beside its recipe, else among the user's own."""
    if to is not None:
        return to / recipe.name
    return recipe.directory if os.access(recipe.directory, os.W_OK) else own_bundles() / recipe.name


def check_formats(recipe: Recipe) -> None:
    """Refuse a recipe that this version cannot convert, before anything is fetched.

    Raises:
        InvalidInput: It names a format that is unknown.
    """
    for source in recipe.sources.values():
        if source.format not in FORMATS:
            path = recipe.directory / MANIFEST
            raise InvalidInput(
                f"{path}: sources.{source.name}: there is no format {source.format!r}; there are {', '.join(FORMATS)}",
                path=path,
            )


def check_room(sources: Sequence[Source], directory: Path) -> None:
    """Refuse to begin what cannot end for want of room.

    Raises:
        Precondition: The converted networks, at most as large as their sources, would not fit.
    """
    wanted = sum(file.size or 0 for source in sources for file in source.files)
    above = next(place for place in (directory, *directory.absolute().parents) if place.is_dir())
    if (free := shutil.disk_usage(above).free) < wanted:
        raise Precondition(
            f"{above} has {free >> 20} MiB left, and {wanted >> 20} MiB are needed; make room, leave optional sources "
            "out by --without, or name another directory of bundles with --to",
            path=above,
        )


def installed(directory: Path) -> Manifest | None:
    """What is installed from a recipe in a directory, which need not exist; None if nothing is."""
    if not (directory / INSTALLED_MANIFEST).is_file():
        return None
    try:
        return read_manifest(directory)[0]
    except InvalidInput:
        return None


def reusable(recipe: Recipe, directory: Path, names: Collection[str]) -> Manifest | None:
    """The part of what is installed that stays: of this very recipe and without fault, or put there by somebody else.

    Args:
        recipe: The bundle's.
        directory: Where it is installed, if it is.
        names: The sources that are wanted.
    """
    manifest = installed(directory)
    if manifest is None or manifest.recipe != recipe.digest:
        return None
    own = manifest.files().keys() - recipe.sources.keys()
    good = (own | set(names)) - verify(directory).keys()
    kept = replace(
        manifest,
        networks={kind: entry for kind, entry in manifest.networks.items() if kind in good},
        directions=manifest.directions if "directions" in good else None,
        relevance=manifest.relevance if good.issuperset({"relevance", *NEEDED["relevance"]}) else None,
    )
    return replace(kept, edits=manifest.edits if kept.directions else {})


def install(
    recipe: Recipe,
    fetched: Fetched,
    directory: Path,
    *,
    kept: Manifest | None = None,
    tell: Callable[[str], None] = lambda name: None,
) -> Manifest:
    """Convert what was fetched and make a bundle of it.

    Args:
        recipe: The bundle's.
        fetched: Its files.
        directory: The bundle's own; made if it does not exist. What is in use there is replaced last, in one step.
        kept: What stays of what is installed there, as `reusable` found it.
        tell: Told the name of every source before it is converted.

    Returns:
        The bundle's manifest, as it is in `installed.toml` now.

    Raises:
        InvalidInput: A file is damaged, hostile or of another format; the bundle stays as it was.
        Precondition: The directory cannot be written.
    """
    with staging(directory) as unfinished:
        manifest = Manifest(
            name=recipe.name,
            version=recipe.version,
            resolution=recipe.resolution,
            networks=kept.networks if kept else {},
            directions=kept.directions if kept else None,
            relevance=kept.relevance if kept else None,
            edits=kept.edits if kept else {},
            defaults=recipe.defaults,
            recipe=recipe.digest,
            originals={**(kept.originals if kept else {}), **fetched.originals},
        )
        for entry in manifest.files().values():
            _linked(directory / entry.file, unfinished / entry.file)
        for source in recipe.sources.values():
            if all(file.name in fetched.files for file in source.files):
                tell(source.name)
                manifest = _with(manifest, recipe, source, _written(source, fetched.files, unfinished))
        manifest = _in_order(manifest, recipe)
        (unfinished / MANIFEST).write_bytes((recipe.directory / MANIFEST).read_bytes())
        (unfinished / INSTALLED_MANIFEST).write_text(format_manifest(manifest))
        _check_whole(unfinished, manifest)
        commit(unfinished, directory)
    return manifest


def _linked(path: Path, beside: Path) -> None:
    try:
        os.link(path, beside)
    except OSError:  # a file system without links
        shutil.copyfile(path, beside)


def _check_whole(unfinished: Path, manifest: Manifest) -> None:
    """Refuse networks that do not belong together."""
    generator = manifest.networks.get("generator")
    if generator and generator.config.get("resolution") != manifest.resolution:
        found = generator.config.get("resolution")
        raise InvalidInput(
            f"the generator draws {found} px, and bundle {manifest.name} has {manifest.resolution}; get the right file"
        )
    for fault in verify(unfinished).values():
        raise InvalidInput(f"what was fetched does not fit together: {fault}; get its files again")


def _in_order(manifest: Manifest, recipe: Recipe) -> Manifest:
    """The same manifest whatever was there before: in the recipe's order, and with the originals of what it has."""
    sources = [source for source in recipe.sources.values() if source.name in manifest.files()]
    names = [file.name for source in sources for file in source.files]
    kinds = [*recipe.sources, *(kind for kind in manifest.networks if kind not in recipe.sources)]
    return replace(
        manifest,
        networks={kind: manifest.networks[kind] for kind in kinds if kind in manifest.networks},
        originals={name: manifest.originals[name] for name in names if name in manifest.originals},
    )


def _written(source: Source, files: Mapping[str, Path], unfinished: Path) -> tuple[Converted, WeightFile]:
    converted = FORMATS[source.format]([files[file.name] for file in source.files])
    if converted.kind != source.name:
        raise InvalidInput(
            f"{files[source.files[0].name]}: holds {converted.kind}, where {source.name} is wanted; are files swapped?"
        )
    path = unfinished / f"{source.name}.safetensors"
    described = replace(converted, licence=source.licence, source=source.page)
    written = write_converted(path, described)
    # The digest is part of the name, so that new files never take the place of those that a bundle in use names.
    named = path.with_name(f"{source.name}-{written.sha256[:8]}.safetensors")
    return described, replace(written, file=path.rename(named).name)


def _with(manifest: Manifest, recipe: Recipe, source: Source, written: tuple[Converted, WeightFile]) -> Manifest:
    converted, file = written
    if source.name == "directions":
        edits = {name: edit for name, edit in recipe.edits.items() if name in converted.tensors}
        return replace(manifest, directions=file, edits=edits)
    if source.name == "relevance":
        generator, clip = (manifest.networks[kind].sha256 for kind in NEEDED["relevance"])
        beta = float(str(converted.config.get("beta", 0.0)))
        relevance = RelevanceFile(**asdict(file), beta=beta, generator=generator, clip=clip, source=source.page)
        return replace(manifest, relevance=relevance)
    entry = NetworkEntry(
        **asdict(file),
        licence=source.licence,
        source=source.page,
        precision="bfloat16" if converted.precision == "bfloat16" else "float32",
        config=converted.config,
    )
    return replace(manifest, networks={**manifest.networks, source.name: entry})


@contextmanager
def staging(directory: Path) -> Iterator[Path]:
    """An empty directory inside a bundle's, gone when the block ends.

    Raises:
        Precondition: It cannot be made.
    """
    unfinished = directory / STAGING
    existed = directory.is_dir()
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
    except OSError as error:
        raise Precondition(
            f"{directory} cannot be written: {error.strerror}; name another directory of bundles with --to",
            path=directory,
        ) from error
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        if not existed and not any(directory.iterdir()):
            directory.rmdir()


def commit(unfinished: Path, directory: Path) -> None:
    """Move a whole bundle to where it belongs; it is in use once the last file, its manifest, is there.

    Weight files of an earlier installation that the manifest does not name are removed then.
    """
    manifest, _ = read_manifest(unfinished)
    names = [entry.file for entry in manifest.files().values()]
    for name in names:
        _synced(unfinished / name).replace(directory / name)
    for name in (MANIFEST, INSTALLED_MANIFEST):
        if (unfinished / name).is_file():
            _synced(unfinished / name).replace(directory / name)
    for path in directory.iterdir():
        if _NAMED.fullmatch(path.name) and path.name not in names:
            path.unlink()


def _synced(path: Path) -> Path:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return path
