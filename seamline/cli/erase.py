"""`seamline erase`: everything that was made of a video goes, and the video."""

import asyncio
import re
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal

from seamline.cli.arguments import cache_directory
from seamline.cli.options import StoreUrl, console
from seamline.client import Client
from seamline.errors import InvalidInput
from seamline.storage import open_store
from seamline.storage.erasure import Removed, erase
from seamline.storage.reference import sha256_of
from seamline.v1.media_pb2 import ArtifactRef


def erase_video(
    video: Annotated[str, typer.Argument(help="The source: its file, or the SHA-256 of its bytes.")],
    source: Annotated[
        str, typer.Option("--source", help="Its address in the store, if it is not where `seamline edit` puts it.")
    ] = "",
    keep_source: Annotated[
        bool, typer.Option("--keep-source", help="Leave the video itself in the store, remove what was made of it.")
    ] = False,
    editor: Annotated[
        str,
        typer.Option(
            "--editor", envvar="SEAMLINE_EDITOR", help="host:port of an editor to do it; else it is done here."
        ),
    ] = "",
    store: StoreUrl = "",
) -> None:
    """Remove a video from the store, with everything that was made of it, finished or not.

    Stop edits of it first: what they write later stays. Files on this machine stay, too.
    """
    reference = ArtifactRef(uri=source, sha256=digest_of(video))
    with console.status("erasing"):
        if editor:
            removed = asyncio.run(_asked(editor, reference, keep_source))
        else:
            url = store or (cache_directory() / "store").as_uri()
            removed = erase(open_store(url), reference, keep_source=keep_source)
    typer.echo(told("removed", removed))


async def _asked(editor: str, video: ArtifactRef, keep_source: bool) -> Removed:
    async with Client(editor) as client:
        erased = await client.erase(video, keep_source=keep_source)
    return Removed(objects=erased.objects, bytes=erased.bytes)


def digest_of(video: str) -> str:
    """The digest that was given, or that of the file. Raises InvalidInput if it is neither."""
    if re.fullmatch("[0-9a-fA-F]{64}", video):
        return video.lower()
    if not Path(video).is_file():
        raise InvalidInput(
            f"{video}: is neither a file nor the SHA-256 of one, 64 hexadecimal digits; sha256sum prints it",
            field="VIDEO",
        )
    return sha256_of(Path(video))


def told(what: str, removed: Removed) -> str:
    """The line that says how much it was."""
    return f"{what} {removed.objects} objects, {decimal(removed.bytes)}"
