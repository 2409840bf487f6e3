"""`seamline bundles export`: networks for servers and programs that have no torch."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from seamline.bundles import load_bundle
from seamline.cli.arguments import bundles_directory
from seamline.cli.options import console
from seamline.exporting import MODELS, TOLERANCE, Exported, export_bundle
from seamline.exporting.signatures import Port

Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", help=f"One of {', '.join(MODELS)}; repeatable. All that the bundle has if left out."),
]


def export_networks(
    name: Annotated[str, typer.Argument(help="The bundle, as `seamline bundles list` has it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files, one for each network.")],
    kinds: Kinds = None,
) -> None:
    """Write a bundle's frozen networks as ONNX, each checked against torch before it is there."""
    bundle = load_bundle(name, bundles_directory())
    done = []
    try:
        with console.status("exporting"):
            for exported in export_bundle(bundle, out, kinds or []):
                console.print(f"{exported.path}", highlight=False, soft_wrap=True)
                done.append(exported)
    finally:
        if done:
            Console().print(_table(done))


def _table(done: list[Exported]) -> Table:
    table = Table("network", "takes", "gives", "MB", *_columns(done), box=None, pad_edge=False)
    for each in done:
        takes, gives = " ".join(map(_shape, each.signature.inputs)), _shape(each.signature.output)
        size = sum(path.stat().st_size for path in each.path.parent.glob(f"{each.path.name}*"))
        figures = (f"{error:.1e}" for error in each.errors.values())
        table.add_row(each.name, takes, gives, f"{size / 1e6:.1f}", *figures)
    table.caption = f"largest difference to torch over the largest number, at most {TOLERANCE:.0e}"
    return table


def _columns(done: list[Exported]) -> list[str]:
    return [f"batch of {count}" for count in done[0].errors]


def _shape(port: Port) -> str:
    return "x".join(["N", *(str(side) if isinstance(side, int) else side.name for side in port.shape)])
