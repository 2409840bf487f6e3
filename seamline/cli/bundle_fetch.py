"""`seamline bundles fetch`: licences, downloads, conversion."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from seamline.bundles.download import Advance
from seamline.bundles.fetch import Fetched, downloads, fetch, open_origin
from seamline.bundles.install import check_formats, check_room, destination, install, installed, reusable
from seamline.bundles.places import find_bundle, is_recipe, places
from seamline.bundles.recipe import Recipe, Source, read_recipe
from seamline.cli.arguments import bundles_directory, cache_directory
from seamline.cli.bundle_tables import licences
from seamline.cli.options import console
from seamline.errors import InvalidInput, Precondition

ALL = "all"
"""Stands for every licence."""

To = Annotated[
    Path | None, typer.Option("--to", help="Directory of bundles; left out, beside the recipe or among your own.")
]


def fetch_bundle(
    name: Annotated[str, typer.Argument(help="The bundle, as `seamline bundles list` has it.")],
    origin: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="PLACE",
            help="A directory, or an http://, https:// or s3:// address, with the files by name; left out, their "
            "authors' addresses.",
        ),
    ] = "",
    accepted: Annotated[
        list[str] | None,
        typer.Option("--accept-licence", metavar="NAME", help="Accept a source's licence; `all` for all. Repeatable."),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="NAME", help="Leave an optional source out. Repeatable.")
    ] = None,
    to: To = None,
) -> None:
    """Download, check and convert a bundle's networks. What an interrupted fetch got is not fetched again."""
    recipe = _recipe(name)
    chosen = _chosen(recipe, without or [])
    place, directory = open_origin(origin), destination(recipe, to)
    before = installed(directory)
    kept = reusable(recipe, directory, {source.name for source in chosen})
    have = set(kept.files()) if kept else set()
    missing = [source for source in chosen if source.name not in have]
    if missing:
        accept(missing, _known(accepted or [], recipe))
    with downloads(cache_directory(), recipe) as downloaded:
        check_room(missing, directory)
        known = before.originals if before else {}
        with DownloadBars(console) as bars:
            fetched = fetch(missing, place, downloaded, known=known, have=have, watch=bars.watch)
        if fetched.files or before is None or kept is None or kept.files() != before.files():
            with console.status("converting") as status:
                install(
                    recipe, fetched, directory, kept=kept, tell=lambda what: status.update(f"converting {escape(what)}")
                )
    _tell_left_out(fetched)
    tell_place(directory)


def _recipe(name: str) -> Recipe:
    directory = find_bundle(name, bundles_directory())
    if not is_recipe(directory):
        raise InvalidInput(f"bundle {name} has its networks already: there is nothing to fetch", field="NAME")
    recipe = read_recipe(directory)
    check_formats(recipe)
    return recipe


def _chosen(recipe: Recipe, without: Sequence[str]) -> list[Source]:
    optional = [source.name for source in recipe.sources.values() if source.optional]
    for name in without:
        if name not in optional:
            raise InvalidInput(
                f"--without {name}: only {', '.join(optional) or 'nothing'} of {recipe.name} can be left out",
                field="--without",
            )
    return [source for source in recipe.sources.values() if source.name not in without]


def _known(accepted: Sequence[str], recipe: Recipe) -> Sequence[str]:
    for name in accepted:
        if name not in (ALL, *recipe.sources):
            raise InvalidInput(
                f"--accept-licence {name}: {recipe.name} has {', '.join(recipe.sources)}", field="--accept-licence"
            )
    return accepted


def accept(sources: Sequence[Source], accepted: Sequence[str]) -> None:
    """Show licences and see to it that they are accepted, by option or by answering a question.

    Raises:
        Precondition: They are not accepted.
    """
    names = [source.name for source in sources]
    open_ones = [] if ALL in accepted else [source for source in sources if source.name not in accepted]
    console.print(escape(licences(sources)), "", sep="\n", soft_wrap=True, highlight=False)
    if not open_ones:
        return
    listed = ", ".join(source.name for source in open_ones)
    if not is_interactive():
        options = " ".join(f"--accept-licence {source.name}" for source in open_ones)
        raise Precondition(
            f"the licences of {listed} have to be accepted: read them, then add {options}, or --accept-licence {ALL}",
            field="--accept-licence",
        )
    if not typer.confirm(f"Do you accept the licences of {listed}?", err=True):
        raise Precondition(
            f"without accepting the licences of {listed} nothing is fetched; optional sources can be left out by "
            f"--without, and these are wanted: {', '.join(names)}"
        )


def is_interactive() -> bool:
    """Whether somebody can answer."""
    return sys.stdin.isatty() and console.is_terminal


def _tell_left_out(fetched: Fetched) -> None:
    for name, reason in fetched.left_out.items():
        console.print(f"[bold]{name}[/] is left out: {escape(reason)}", soft_wrap=True, highlight=False)


def tell_place(directory: Path) -> None:
    """Print where a bundle is, and what to set if it would not be found there."""
    typer.echo(directory)
    searched = [place.resolve() for place in places(bundles_directory())]
    if directory.parent.resolve() not in searched:
        console.print(
            f"to use it, set SEAMLINE_BUNDLES={escape(str(directory.parent))}", soft_wrap=True, highlight=False
        )


class DownloadBars:
    """One bar per file on a terminal, a line per file elsewhere."""

    def __init__(self, terminal: Console) -> None:
        self._console = terminal
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=terminal,
            disable=not terminal.is_terminal,
        )

    def __enter__(self) -> "DownloadBars":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def watch(self, name: str) -> Advance:
        """What to tell of a file's progress."""
        if not self._console.is_terminal:
            self._console.print(f"{escape(name)} …")
        task = self._bars.add_task(escape(name), total=None)
        return lambda done, total: self._bars.update(task, completed=done, total=total)
