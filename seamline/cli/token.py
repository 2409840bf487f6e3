"""A new token for a client of an editor."""

import hashlib
import re
import secrets
from typing import Annotated

import typer

from seamline.cli.options import console
from seamline.errors import InvalidInput

PREFIX = "seamline_"
"""By which programs that look for secrets in the wrong places know one."""


def make_token(
    name: Annotated[
        str, typer.Argument(help="The client, as the editor's log is to name it: letters, digits, - and _.")
    ],
) -> None:
    """Make a token for a client: the token itself, and the lines that let it in.

    Nobody can make the token out of the lines, so they may lie in a repository.
    """
    if not re.fullmatch("[A-Za-z0-9_-]{1,64}", name):
        raise InvalidInput(f"{name!r} is not a client's name: take up to 64 letters, digits, - and _", field="NAME")
    token = PREFIX + secrets.token_urlsafe(32)
    console.print("give this to the client, as SEAMLINE_TOKEN; it is shown only here:", style="dim")
    typer.echo(token)
    console.print("and put this into the editor's file of clients, SEAMLINE_CLIENTS:", style="dim")
    typer.echo(f'[clients.{name}]\ntokens = ["{hashlib.sha256(token.encode()).hexdigest()}"]')
