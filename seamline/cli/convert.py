"""`seamline bundles convert`: an official checkpoint into a file of this project."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seamline.checkpoints.formats import FORMATS, Format
from seamline.checkpoints.network_file import write_converted
from seamline.cli.options import console
from seamline.errors import InvalidInput


def convert_files(
    format: Annotated[str, typer.Argument(metavar="FORMAT", help="What the files are; see --formats.")] = "",
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE...", help="The official files.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The safetensors file to be written.")] = None,
    formats: Annotated[bool, typer.Option("--formats", help="List the formats, with the files of each.")] = False,
) -> None:
    """Convert official weights. Nothing in the files is run, and nothing half-written stays."""
    if formats:
        Console().print(_table())
        return
    if out is None or not format:
        raise InvalidInput("say what to convert, and to where: FORMAT FILE... -o OUT.safetensors", field="--out")
    if out.is_dir():
        raise InvalidInput(f"{out}: is a directory; name a file in it", field="--out")
    with console.status(f"converting {escape(format)}"):
        written = write_converted(out, _format(format)(files or []))
    console.print(
        f"{escape(str(out))}: {written.size / 1e6:.1f} MB, sha256 {written.sha256}", highlight=False, soft_wrap=True
    )
    typer.echo(out)


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise InvalidInput(f"there is no format {name!r}; there are: {', '.join(FORMATS)}", field="FORMAT")
    return FORMATS[name]


def _table() -> Table:
    table = Table("format", "files", "what it is", "licence", box=None, pad_edge=False)
    for each in FORMATS.values():
        table.add_row(each.name, "\n".join(map(escape, each.inputs)), escape(each.description), escape(each.licence))
    return table
