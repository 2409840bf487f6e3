"""`seamline gc`: what nobody has written to for long is removed from the store."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from seamline.cli.arguments import cache_directory
from seamline.cli.erase import told
from seamline.cli.options import StoreUrl, console
from seamline.errors import InvalidInput
from seamline.storage import open_store
from seamline.storage.erasure import Aged, Removed, by_age, discard_unfinished, expire

LEAST = timedelta(hours=1)
"""What works on a video writes more often than this."""

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def collect(
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="AGE", help="12h, 30d or 8w: for so long nothing was written of a video."),
    ],
    keep_sources: Annotated[
        bool, typer.Option("--keep-sources", help="Leave the videos themselves, remove what was made of them.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    store: StoreUrl = "",
) -> None:
    """Remove old videos from the store, each as a whole, with everything that was made of them.

    A video is as old as what was last written of it. What is edited again after that is made again.
    """
    before = datetime.now(UTC) - parse_age(older_than)
    opened = open_store(store or (cache_directory() / "store").as_uri())
    with console.status("looking through the store"):
        old = [aged for aged in by_age(opened, keep_sources=keep_sources) if aged.newest < before]
    if old:
        Console().print(_table(old))
    if dry_run:
        listed = Removed(objects=sum(aged.objects for aged in old), bytes=sum(aged.bytes for aged in old))
        typer.echo(told("would remove", listed))
        return
    with console.status("removing"):
        removed = sum((expire(opened, aged, before) for aged in old), Removed())
        unfinished = discard_unfinished(opened, before)
    typer.echo(told("removed", removed) + (f", and {unfinished} unfinished uploads" if unfinished else ""))


def parse_age(text: str) -> timedelta:
    """The time that "30d" stands for. Raises InvalidInput if it is none, or so short that work under way is in it."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text)
    age = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta()
    if age < LEAST:
        raise InvalidInput(
            f"--older-than is {text!r}; write hours, days or weeks as in 12h, 30d, 8w, one hour at least",
            field="--older-than",
        )
    return age


def _table(old: list[Aged]) -> Table:
    table = Table("video", "last written, UTC", "objects", "size", box=None, pad_edge=False)
    for aged in old:
        table.add_row(aged.name, f"{aged.newest:%Y-%m-%d %H:%M}", str(aged.objects), decimal(aged.bytes))
    return table
