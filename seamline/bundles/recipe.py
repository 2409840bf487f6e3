"""`bundle.toml` as a recipe: where a bundle's networks come from, and under which licences."""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from seamline.bundles.manifest import MANIFEST, PLAIN_NAME, EditSpec, Scalar, parse_defaults, parse_edits
from seamline.errors import InvalidInput


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file as its authors publish it."""

    name: str
    """What it is called in a directory or below a mirror's address."""
    urls: tuple[str, ...] = ()
    """Its public addresses, the first to be tried first; empty where it has to be got by hand."""
    size: int | None = None
    """Bytes; None where they are not publicly documented."""
    sha256: str = ""
    """Hex digest; empty where it is not publicly documented: the first fetch records it."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What one network, the directions or the relevance are converted from."""

    name: str
    """The kind of network, "directions" or "relevance"."""
    format: str
    """A key of `seamline.checkpoints.formats.FORMATS`."""
    files: tuple[SourceFile, ...]
    """In the order in which the format takes them."""
    page: str
    """Where its authors publish it."""
    licence: str
    """SPDX identifier, or a short text."""
    licence_url: str
    non_commercial: bool = False
    """Whether the licence forbids commercial use."""
    note: str = ""
    """What else binds who uses it, for instance the terms of what it was trained on."""
    optional: bool = False
    """Whether the bundle is of use without it."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The whole of a `bundle.toml` with sources."""

    directory: Path
    """Where it was read."""
    digest: str
    """sha256 of its bytes."""
    name: str
    version: int
    resolution: int
    """Side of the aligned crop and of the generated image in pixels."""
    sources: Mapping[str, Source]
    edits: Mapping[str, EditSpec] = field(default_factory=dict)
    """Of the directions."""
    defaults: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    """Hyper-parameters per stage."""


def read_recipe(directory: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        InvalidInput: The file cannot be read or a table is missing, unknown or of the wrong type.
    """
    path = directory / MANIFEST
    try:
        content = path.read_bytes()
        return _parsed(tomllib.loads(content.decode()), directory, hashlib.sha256(content).hexdigest())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        reason = f"misses {error}" if isinstance(error, KeyError) else str(error)
        raise InvalidInput(f"{path}: {reason}; correct it, or get it again", path=path) from error


def _parsed(table: dict[str, Any], directory: Path, digest: str) -> Recipe:
    sources = {name: _source(name, **entry) for name, entry in table.get("sources", {}).items()}
    if not sources:
        raise ValueError("has no [sources]: nothing of this bundle can be fetched")
    names = [file.name for source in sources.values() for file in source.files]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise ValueError(f"names the file {twice!r} twice")
    return Recipe(
        directory=directory,
        digest=digest,
        name=str(table["name"]),
        version=int(table["version"]),
        resolution=int(table["resolution"]),
        sources=sources,
        edits=parse_edits(table),
        defaults=parse_defaults(table),
    )


def _source(name: str, *, files: list[dict[str, Any]], **entry: Any) -> Source:
    if not files:
        raise ValueError(f"sources.{name}: has no files")
    return Source(name=name, files=tuple(_file(f"sources.{name}", **each) for each in files), **entry)


def _file(what: str, *, name: str, urls: list[str] | None = None, **entry: Any) -> SourceFile:
    file = SourceFile(name=name, urls=tuple(urls or ()), **entry)
    if not PLAIN_NAME.fullmatch(name):
        raise ValueError(f"{what}: file {name!r} must be a plain name")
    if file.sha256 and not re.fullmatch(r"[0-9a-f]{64}", file.sha256):
        raise ValueError(f"{what}: {name}: sha256 must be 64 hex digits")
    if file.size is not None and file.size <= 0:
        raise ValueError(f"{what}: {name}: size must be positive")
    for url in file.urls:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"{what}: {name}: address {url!r} must start with http:// or https://")
    return file
