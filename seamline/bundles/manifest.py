"""`bundle.toml`: what a bundle holds, with sizes, digests, licences and sources.

Where `bundle.toml` is only a recipe (`seamline.bundles.recipe`), `installed.toml` beside it is the manifest of what
was fetched and converted.
"""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Literal, cast

from seamline.errors import InvalidInput

MANIFEST = "bundle.toml"
INSTALLED_MANIFEST = "installed.toml"
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
PRECISIONS = ("bfloat16", "float32")
Scalar = bool | int | float | str
ConfigValue = Scalar | list[Scalar]


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """One safetensors file of a bundle."""

    file: str
    """Name inside the bundle's directory."""
    sha256: str
    """Hex digest of the file's bytes."""
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class NetworkEntry(WeightFile):
    """One network: its weights and what is needed to build it."""

    licence: str
    """SPDX identifier, or a short text."""
    source: str
    """Where the weights come from: the command that trained them, or an address."""
    precision: Literal["bfloat16", "float32"] = "float32"
    """Arithmetic in which it still gives its figures when it runs frozen."""
    config: Mapping[str, ConfigValue] = field(default_factory=dict)
    """Scalars from which `seamline.networks.registry` builds it."""


@dataclass(frozen=True, kw_only=True)
class RelevanceFile(WeightFile):
    """What text edits need, and of which networks it was measured."""

    beta: float
    """Style channels of less relevance than this stay as they are, if a request does not say."""
    longest_step: float = math.inf
    """See `Relevance.longest_step`."""
    generator: str
    """Hex digest of the generator's file."""
    clip: str
    """Hex digest of CLIP's file."""
    source: str
    """The command that measured it."""


@dataclass(frozen=True, kw_only=True)
class Original:
    """A file that networks were converted from, as it was fetched."""

    sha256: str
    """Hex digest of the file's bytes."""
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class EditSpec:
    """One edit that the bundle's directions can do."""

    name: str
    description: str
    min_strength: float
    """Weakest (most negative) strength accepted, in the direction's units."""
    max_strength: float
    """Strongest strength accepted."""
    attribute: str
    """The attribute network's output that the edit moves."""
    ends: tuple[float, float] = (-inf, inf)
    """Where the faces that the generator knows end, in strengths from the average face: a step stops there."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The whole of `bundle.toml`, or of `installed.toml`."""

    name: str
    version: int
    resolution: int
    """Side of the aligned crop and of the generated image in pixels."""
    networks: Mapping[str, NetworkEntry]
    """By kind, as `seamline.networks.registry` knows them."""
    directions: WeightFile | None = None
    relevance: RelevanceFile | None = None
    edits: Mapping[str, EditSpec] = field(default_factory=dict)
    defaults: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    """Hyper-parameters of the bundle per stage: tables `invert` and `stitch`."""
    recipe: str = ""
    """Hex digest of the `bundle.toml` that it was installed from; empty if it was not."""
    originals: Mapping[str, Original] = field(default_factory=dict)
    """The files that it was installed from, by name."""

    def files(self) -> dict[str, WeightFile]:
        """Its weight files by what they are: kinds of networks, "directions", "relevance"."""
        tables = {"directions": self.directions, "relevance": self.relevance}
        return {**self.networks, **{what: entry for what, entry in tables.items() if entry is not None}}


def manifest_path(directory: Path) -> Path:
    """Where a bundle's manifest is: `installed.toml` if there is one."""
    installed = directory / INSTALLED_MANIFEST
    return installed if installed.is_file() else directory / MANIFEST


def read_manifest(directory: Path) -> tuple[Manifest, bytes]:
    """Read and check a bundle's manifest.

    Returns:
        The manifest and the bytes that it was read from.

    Raises:
        InvalidInput: The file cannot be read or a table is missing, unknown or of the wrong type.
    """
    path = manifest_path(directory)
    try:
        content = path.read_bytes()
        return parse_manifest(tomllib.loads(content.decode())), content
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        reason = f"misses {error}" if isinstance(error, KeyError) else str(error)
        raise InvalidInput(f"{path}: {reason}; write the bundle again", path=path) from error


def parse_manifest(table: dict[str, Any]) -> Manifest:
    """Check the tables of `bundle.toml`; KeyError, TypeError and ValueError tell what is wrong."""
    networks = {kind: NetworkEntry(**entry) for kind, entry in table.get("networks", {}).items()}
    directions = WeightFile(**table["directions"]) if "directions" in table else None
    relevance = RelevanceFile(**table["relevance"]) if "relevance" in table else None
    manifest = Manifest(
        name=str(table["name"]),
        version=int(table["version"]),
        resolution=int(table["resolution"]),
        networks=networks,
        directions=directions,
        relevance=relevance,
        edits=parse_edits(table),
        defaults=parse_defaults(table),
        recipe=str(table.get("recipe", "")),
        originals={name: Original(**entry) for name, entry in table.get("originals", {}).items()},
    )
    for what, entry in manifest.files().items():
        _check_entry(what, entry)
    if manifest.edits and directions is None:
        raise ValueError("has edits but no [directions] file")
    return manifest


def parse_defaults(table: Mapping[str, Any]) -> dict[str, Mapping[str, Scalar]]:
    """The hyper-parameters of `Manifest.defaults`."""
    return {stage: table.get(stage, {}) for stage in ("invert", "stitch")}


def parse_edits(table: Mapping[str, Any]) -> dict[str, EditSpec]:
    """The edits of a table; TypeError and ValueError tell what is wrong."""
    return {name: _edit(name, **entry) for name, entry in table.get("edits", {}).items()}


def _edit(
    name: str, *, description: str, min: float, max: float, attribute: str, ends: Sequence[float] = (-inf, inf)
) -> EditSpec:
    if not min <= 0 <= max or min == max:
        raise ValueError(f"edits.{name}: the range {min} to {max} must hold 0 and more")
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise ValueError(f"edits.{name}: ends must be two numbers, the lower first, got {list(ends)}")
    return EditSpec(
        name=name,
        description=description,
        min_strength=min,
        max_strength=max,
        attribute=attribute,
        ends=(float(ends[0]), float(ends[1])),
    )


def _check_entry(what: str, entry: WeightFile) -> None:
    if not PLAIN_NAME.fullmatch(entry.file):
        raise ValueError(f"{what}: file {entry.file!r} must be a plain name inside the bundle's directory")
    if not re.fullmatch(r"[0-9a-f]{64}", entry.sha256):
        raise ValueError(f"{what}: sha256 must be 64 hex digits")
    if isinstance(entry, RelevanceFile) and not 0 <= entry.beta < 1:
        raise ValueError(f"{what}: beta must be from 0 to below 1, got {entry.beta}")
    if isinstance(entry, RelevanceFile) and not entry.longest_step > 0:
        raise ValueError(f"{what}: longest_step must be above 0, got {entry.longest_step}")
    if isinstance(entry, NetworkEntry) and entry.precision not in PRECISIONS:
        raise ValueError(f"{what}: precision must be one of {PRECISIONS}, got {entry.precision!r}")


def format_manifest(manifest: Manifest) -> str:
    """Write a manifest as TOML; `parse_manifest` reads it back to an equal one."""
    lines = [f"{key} = {_value(getattr(manifest, key))}" for key in ("name", "version", "resolution")]
    if manifest.recipe:
        lines.append(f"recipe = {_value(manifest.recipe)}")
    for stage, table in manifest.defaults.items():
        if table:
            lines += _table(stage, table)
    for kind, entry in manifest.networks.items():
        fields = asdict(entry)
        config = cast(dict[str, ConfigValue], fields.pop("config"))
        lines += _table(f"networks.{kind}", fields) + _table(f"networks.{kind}.config", config)
    if manifest.directions:
        lines += _table("directions", asdict(manifest.directions))
    if manifest.relevance:
        lines += _table("relevance", asdict(manifest.relevance))
    for edit in manifest.edits.values():
        lines += _table(f"edits.{edit.name}", _fields(edit))
    for name, original in manifest.originals.items():
        lines += _table(f"originals.{_value(name)}", asdict(original))
    return "\n".join(lines) + "\n"


def _fields(edit: EditSpec) -> Mapping[str, ConfigValue]:
    fields: dict[str, ConfigValue] = {
        "description": edit.description,
        "min": edit.min_strength,
        "max": edit.max_strength,
        "attribute": edit.attribute,
    }
    return fields if edit.ends == EditSpec.ends else {**fields, "ends": [*edit.ends]}


def _table(name: str, values: Mapping[str, ConfigValue]) -> list[str]:
    return ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in values.items())]


def _value(value: ConfigValue) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)
