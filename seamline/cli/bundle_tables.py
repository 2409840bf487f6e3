"""What `seamline bundles` prints of bundles and recipes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from seamline.bundles.manifest import EditSpec, Manifest, NetworkEntry, read_manifest
from seamline.bundles.places import has_weights
from seamline.bundles.recipe import Recipe, Source, read_recipe
from seamline.errors import InvalidInput


def listing(directories: Mapping[str, Path]) -> Table:
    """Every bundle by name: whether it can be used, and how large it is."""
    table = Table("bundle", "state", "pixels", "networks", "size", box=None, pad_edge=False)
    table.add_column("where", overflow="fold")
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
    return "to be fetched", str(recipe.resolution), str(len(recipe.sources)), _size(list(recipe.sources.values()))


def contents(manifest: Manifest) -> str:
    """What is in a bundle, a paragraph for each file."""
    paragraphs = []
    for what, entry in manifest.files().items():
        lines = [what, f"  {entry.file}  {decimal(entry.size)}", f"  sha256 {entry.sha256}"]
        if isinstance(entry, NetworkEntry):
            lines += [f"  {entry.licence}", f"  from {entry.source}"]
        paragraphs.append(lines)
    return _joined(paragraphs)


def sources(recipe: Recipe) -> str:
    """Where a bundle's files come from, a paragraph for each source."""
    paragraphs = []
    for source in recipe.sources.values():
        lines = licence_lines(source)
        for file in source.files:
            lines.append(f"  {file.name}  {decimal(file.size) if file.size else 'size not documented'}")
            lines.append(f"    sha256 {file.sha256 or 'not documented: recorded when it is first fetched'}")
            lines += [f"    {url}" for url in file.urls] or [f"    by hand, from {source.page}"]
        paragraphs.append(lines)
    return _joined(paragraphs)


def licences(wanted: Sequence[Source]) -> str:
    """What one agrees to by fetching sources, a paragraph for each."""
    return _joined([licence_lines(source) for source in wanted])


def licence_lines(source: Source) -> list[str]:
    """A source's name, its licence, where that is to be read, and what else binds."""
    terms = ", non-commercial use only" if source.non_commercial else ""
    name = f"{source.name}{' (optional)' if source.optional else ''}"
    return [
        name,
        f"  {source.licence}{terms}",
        f"  {source.licence_url}",
        *([f"  {source.note}"] if source.note else []),
    ]


def _joined(paragraphs: list[list[str]]) -> str:
    return "\n\n".join("\n".join(lines) for lines in paragraphs)


def edits_line(edits: Mapping[str, EditSpec]) -> str:
    """The edits that directions give."""
    return f"edits: {', '.join(edits) or 'none'}"


def _size(wanted: Sequence[Source]) -> str:
    sizes = [file.size for source in wanted for file in source.files]
    known = decimal(sum(size or 0 for size in sizes))
    return f"> {known}" if None in sizes else known
