"""What `seamline bundles` prints of bundles and recipes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from seamline.bundles.manifest import EditSpec, Manifest, NetworkEntry, read_manifest
from seamline.bundles.places import has_weights
from seamline.bundles.recipe import Recipe, Source, SourceFile, read_recipe
from seamline.errors import InvalidInput


def listing(directories: Mapping[str, Path]) -> Table:
    """Every bundle by name: whether it can be used, and how large it is."""
    table = Table("bundle", "state", "pixels", "networks", "size", "where", box=None, pad_edge=False)
    for name, directory in directories.items():
        where = escape(str(directory))
        try:
            table.add_row(escape(name), *_summary(directory), where)
        except InvalidInput as error:
            table.add_row(escape(name), "[red]damaged[/]", "", "", "", escape(str(error)))
    return table


def _summary(directory: Path) -> tuple[str, str, str, str]:
    if has_weights(directory):
        manifest, _ = read_manifest(directory)
        size = sum(entry.size for entry in manifest.files().values())
        return "installed", str(manifest.resolution), str(len(manifest.networks)), decimal(size)
    recipe = read_recipe(directory)
    sources = list(recipe.sources.values())
    return "to be fetched", str(recipe.resolution), str(len(sources)), f"{_size(sources)} to download"


def contents_table(manifest: Manifest) -> Table:
    """What is in a bundle."""
    table = Table("network", "size", "licence", "source", "sha256", box=None, pad_edge=False)
    for what, entry in manifest.files().items():
        licence, source = (entry.licence, entry.source) if isinstance(entry, NetworkEntry) else ("", "")
        table.add_row(what, decimal(entry.size), escape(licence), escape(source), entry.sha256[:16])
    return table


def recipe_table(recipe: Recipe) -> Table:
    """Where a bundle's files come from."""
    table = Table("source", "file", "size", "sha256", "address", box=None, pad_edge=False)
    for source in recipe.sources.values():
        for index, file in enumerate(source.files):
            name = "" if index else f"{source.name}{' (optional)' if source.optional else ''}"
            table.add_row(name, *map(escape, _described(source, file)))
    return table


def _described(source: Source, file: SourceFile) -> tuple[str, str, str, str]:
    size = decimal(file.size) if file.size else "?"
    address = file.urls[0] if file.urls else f"by hand, from {source.page}"
    return file.name, size, file.sha256[:16] or "recorded when fetched", address


def licences_table(sources: Sequence[Source]) -> Table:
    """What one agrees to by fetching sources."""
    table = Table("source", "licence", "commercial use", "and", "text", box=None, pad_edge=False)
    for source in sources:
        commercial = "[bold red]forbidden[/]" if source.non_commercial else "see the text"
        table.add_row(source.name, escape(source.licence), commercial, escape(source.note), escape(source.licence_url))
    return table


def edits_line(edits: Mapping[str, EditSpec]) -> str:
    """The edits that directions give."""
    return f"edits: {', '.join(edits) or 'none'}"


def _size(sources: Sequence[Source]) -> str:
    sizes = [file.size for source in sources for file in source.files]
    known = decimal(sum(size or 0 for size in sizes))
    return f"over {known}" if None in sizes else known
