"""Making and extending bundles."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from seamline.bundles.manifest import (
    ConfigValue,
    EditSpec,
    Manifest,
    NetworkEntry,
    RelevanceFile,
    Scalar,
    format_manifest,
    manifest_path,
    read_manifest,
)
from seamline.bundles.relevance import FILE, Relevance
from seamline.bundles.weights import write_weights


@dataclass(frozen=True, kw_only=True)
class NetworkSource:
    """A network to be put into a bundle."""

    module: nn.Module
    """The network, of the class that the registry has for the kind."""
    config: Mapping[str, ConfigValue]
    """What the registry builds it from."""
    licence: str
    """SPDX identifier, or a short text."""
    source: str
    """Where the weights come from."""
    precision: Literal["bfloat16", "float32"] = "float32"
    """Arithmetic in which it may run frozen."""


def write_bundle(
    directory: Path,
    *,
    name: str,
    resolution: int,
    version: int = 1,
    networks: Mapping[str, NetworkSource] | None = None,
    defaults: Mapping[str, Mapping[str, Scalar]] | None = None,
) -> None:
    """Start a bundle: write its manifest, and the networks that are there already."""
    directory.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(name=name, version=version, resolution=resolution, networks={}, defaults=dict(defaults or {}))
    _save(directory, manifest)
    for kind, network in (networks or {}).items():
        put_network(directory, kind, network)


def put_network(directory: Path, kind: str, network: NetworkSource) -> NetworkEntry:
    """Add or replace one network.

    Returns:
        Its entry in the manifest.
    """
    written = write_weights(directory / f"{kind}.safetensors", network.module.state_dict())
    entry = NetworkEntry(
        file=written.file,
        sha256=written.sha256,
        size=written.size,
        licence=network.licence,
        source=network.source,
        precision=network.precision,
        config=network.config,
    )
    manifest, _ = read_manifest(directory)
    _save(directory, replace(manifest, networks={**manifest.networks, kind: entry}))
    return entry


def put_directions(directory: Path, directions: Mapping[str, Tensor], edits: Sequence[EditSpec]) -> None:
    """Replace the edits and their directions.

    Args:
        directory: The bundle.
        directions: (num_ws, w_dim) per edit, for a strength of 1.
        edits: One per direction.
    """
    missing = {edit.name for edit in edits} ^ set(directions)
    if missing:
        raise ValueError(f"edits and directions differ in {sorted(missing)}")
    written = write_weights(directory / "directions.safetensors", directions)
    manifest, _ = read_manifest(directory)
    _save(directory, replace(manifest, directions=written, edits={edit.name: edit for edit in edits}))


def put_relevance(directory: Path, relevance: Relevance, source: str) -> RelevanceFile:
    """Add or replace what text edits need, for the generator and the CLIP that the bundle has now.

    Args:
        directory: The bundle.
        relevance: As measured.
        source: The command that measured it.

    Returns:
        Its entry in the manifest.
    """
    written = write_weights(directory / FILE, relevance.tensors())
    manifest, _ = read_manifest(directory)
    generator, clip = (manifest.networks[kind].sha256 for kind in ("generator", "clip"))
    entry = RelevanceFile(
        **asdict(written),
        beta=relevance.beta,
        longest_step=relevance.longest_step,
        generator=generator,
        clip=clip,
        source=source,
    )
    _save(directory, replace(manifest, relevance=entry))
    return entry


def put_defaults(directory: Path, stage: Literal["invert", "stitch"], table: Mapping[str, Scalar]) -> None:
    """Replace the hyper-parameters of one stage."""
    manifest, _ = read_manifest(directory)
    _save(directory, replace(manifest, defaults={**manifest.defaults, stage: dict(table)}))


def _save(directory: Path, manifest: Manifest) -> None:
    # Written beside and renamed, so that a reader never sees half a manifest.
    path = manifest_path(directory)
    partial = directory / f".{path.name}.partial"
    partial.write_text(format_manifest(manifest))
    partial.replace(path)
