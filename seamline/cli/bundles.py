"""`seamline bundles`: what is installed, how to get more, and how to take it along."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from seamline.bundles.manifest import read_manifest
from seamline.bundles.pack import pack, unpack
from seamline.bundles.places import (
    INSTALLED,
    bundle_directories,
    find_bundle,
    find_installed,
    has_weights,
    is_recipe,
    own_bundles,
)
from seamline.bundles.recipe import read_recipe
from seamline.bundles.verify import remedy, verify
from seamline.cli.arguments import bundles_directory
from seamline.cli.bundle_fetch import To, fetch_bundle, tell_place
from seamline.cli.bundle_tables import contents, edits_line, listing, sources
from seamline.cli.convert import convert_files
from seamline.cli.export import export_networks
from seamline.cli.import_stit import import_stit
from seamline.cli.options import console

bundles_app = typer.Typer(help="Get, check, pack and convert bundles of networks.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The bundle, as `seamline bundles list` has it.")]


@bundles_app.command("list")
def list_bundles() -> None:
    """List bundles: those that can be used, and those that have to be fetched."""
    Console().print(listing(bundle_directories(bundles_directory())))


@bundles_app.command()
def show(name: Name) -> None:
    """Show a bundle's networks, licences, sources, digests and edits."""
    directory = find_bundle(name, bundles_directory())
    shown = [str(directory)]
    if has_weights(directory):
        manifest, _ = read_manifest(directory)
        shown += [contents(manifest), edits_line(manifest.edits)]
    if is_recipe(directory):
        recipe = read_recipe(directory)
        shown.append(sources(recipe))
        if not has_weights(directory):
            shown.append(edits_line(recipe.edits))
    typer.echo("\n\n".join(shown))


@bundles_app.command("verify")
def verify_bundle(name: Name) -> None:
    """Check every file of a bundle: size, digest, shapes, numbers."""
    directory = find_installed(name, bundles_directory())
    manifest, _ = read_manifest(directory)
    with Progress(console=console, transient=True) as bars:
        task = bars.add_task("", total=len(manifest.files()))
        faults = verify(directory, lambda what: bars.update(task, description=what, advance=1))
    for fault in faults.values():
        console.print(f"[bold red]fault:[/] {escape(fault)}", soft_wrap=True, highlight=False)
    if faults:
        console.print(f"{len(faults)} faults in {escape(name)}: {escape(remedy(manifest))}", soft_wrap=True)
        raise typer.Exit(1)
    typer.echo(f"{name}: {len(manifest.files())} files are as they should be")


bundles_app.command("fetch")(fetch_bundle)
bundles_app.command("convert")(convert_files)
bundles_app.command("import-stit")(import_stit)
bundles_app.command("export")(export_networks)


@bundles_app.command("pack")
def pack_bundle(
    name: Name, out: Annotated[Path, typer.Option("--out", "-o", help="The tar file; the same bundle, the same bytes.")]
) -> None:
    """Write a bundle to one file, for where there is no network."""
    directory = find_installed(name, bundles_directory())
    with console.status(f"packing {escape(name)}"):
        pack(directory, out)
    typer.echo(out)


@bundles_app.command("unpack")
def unpack_bundle(
    packed: Annotated[Path, typer.Argument(help="A file that `seamline bundles pack` wrote.")], to: To = None
) -> None:
    """Install a bundle from a packed file."""
    bundles = to or bundles_directory() or (INSTALLED if os.access(INSTALLED, os.W_OK) else own_bundles())
    with console.status(f"unpacking {escape(packed.name)}"):
        directory = unpack(packed, bundles)
    tell_place(directory)
