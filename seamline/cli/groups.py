"""Groups of commands that are imported when they are called: most of them read networks, and torch takes a second."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import typer.main
from typer.core import TyperGroup

GROUPS: Final[Mapping[str, str]] = {
    "benchmark": "seamline.cli.ablations:benchmark_app",
    "bundles": "seamline.cli.bundles:bundles_app",
    "directions": "seamline.cli.directions:directions_app",
    "styleclip": "seamline.cli.styleclip:styleclip_app",
    "triton": "seamline.cli.triton:triton_app",
}
"""Module and name of each group's application."""


class Groups(TyperGroup):
    """The commands of an application, and the groups above. What typer calls contexts and commands is private to it."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, of the groups last."""
        return [*super().list_commands(ctx), *GROUPS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command, or a group with what it takes to run it."""
        if cmd_name not in GROUPS:
            return super().get_command(ctx, cmd_name)
        module, name = GROUPS[cmd_name].split(":")
        group = typer.main.get_command(getattr(import_module(module), name))
        group.name = cmd_name
        return group
