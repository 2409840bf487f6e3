"""A bundle that lacks an optional network."""

from dataclasses import replace
from pathlib import Path

from seamline.bundles import Bundle, load_bundle
from seamline.bundles.manifest import MANIFEST, format_manifest, read_manifest
from tests.fakes.bundle import tiny_bundle


def bundle_without(kind: str, search: Path) -> Bundle:
    """The tiny bundle, written to `search`, but for one kind of network."""
    directory = tiny_bundle(search).directory
    manifest, _ = read_manifest(directory)
    networks = {name: entry for name, entry in manifest.networks.items() if name != kind}
    (directory / MANIFEST).write_text(format_manifest(replace(manifest, networks=networks)))
    return load_bundle(directory.name, search)
