"""An edit or a preview from address to address: the editor fetches and sends, and nothing passes through here."""

import asyncio
from collections.abc import Mapping
from typing import Any

import typer
from google.protobuf.json_format import MessageToJson
from rich.console import Console

from seamline.cli.call import Start, finished
from seamline.cli.progress import StageBars
from seamline.client import Client
from seamline.errors import InvalidInput


def is_remote(video: str, deliver_to: str) -> bool:
    """Whether the editor is to fetch the video, or to send the result."""
    return bool(deliver_to) or video.lower().startswith(("https://", "http://"))


def check_remote(video: str, deliver_to: str, editor: str, local: Mapping[str, object]) -> None:
    """Says at once what does not go together.

    Args:
        video: as typed.
        deliver_to: what --deliver-to says.
        editor: what --editor says.
        local: what options say that are about files here, by their names.

    Raises:
        InvalidInput: names the option.
    """
    if not is_remote(video, ""):
        raise InvalidInput(
            "--deliver-to sends what was made of an address: give the video's, or write a file with --out",
            field="VIDEO",
        )
    if not deliver_to:
        raise InvalidInput(
            "a video at an address is sent to one: give it with --deliver-to, for instance one presigned for PUT",
            field="--deliver-to",
        )
    if given := [name for name, value in local.items() if value]:
        raise InvalidInput(f"--deliver-to writes no files here; leave {', '.join(given)} out", field=given[0])
    if not editor:
        raise InvalidInput(
            "an editor that is started here fetches nothing; name one that runs, with --editor or SEAMLINE_EDITOR",
            field="--editor",
        )


def no_output(what: str) -> InvalidInput:
    """What to raise where neither a file nor an address is given."""
    return InvalidInput(
        f"say where {what} goes: to a file with --out, or of a video at an address to another one with --deliver-to",
        field="--out",
    )


def run_remote(editor: str, start: Start, console: Console) -> None:
    """Makes a call and writes its result to the standard output, as JSON.

    Raises:
        SeamlineError: what the editor raised.
    """

    async def result() -> Any:
        with StageBars(console) as bars:
            return await finished(Client(editor), bars, start)

    typer.echo(MessageToJson(asyncio.run(result()), preserving_proto_field_name=True))
