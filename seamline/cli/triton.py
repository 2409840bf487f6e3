"""`seamline triton`: frozen networks for NVIDIA's inference server."""

from pathlib import Path
from typing import Annotated

import typer

from seamline.bundles import load_bundle
from seamline.cli.arguments import bundles_directory
from seamline.cli.export import Kinds
from seamline.cli.options import console
from seamline.triton import Backend, Serving, write_repository

triton_app = typer.Typer(help="Serve frozen networks by NVIDIA's Triton.", no_args_is_help=True)


@triton_app.callback()
def _commands() -> None:
    """Keeps `export` a command of its own, though it is the only one."""


@triton_app.command("export")
def export_repository(
    name: Annotated[str, typer.Argument(help="The bundle, as `seamline bundles list` has it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model repository; other bundles in it stay.")],
    backend: Annotated[
        Backend, typer.Option(help="onnxruntime needs only the server; python needs seamline and the bundle there.")
    ] = Backend.ONNXRUNTIME,
    kinds: Kinds = None,
    instances: Annotated[int, typer.Option(min=1, help="Copies of each model on a GPU, or on the CPU.")] = 1,
    max_batch: Annotated[int, typer.Option(min=1, help="Most pictures or texts that run together.")] = 32,
    joined: Annotated[
        bool, typer.Option(help="Run requests that wait together; without, equal requests give equal bytes.")
    ] = True,
) -> None:
    """Write a bundle's frozen networks as a Triton model repository."""
    bundle = load_bundle(name, bundles_directory())
    serving = Serving(instances=instances, max_batch=max_batch, joined=joined)
    with console.status("exporting"):
        for model in write_repository(bundle, out, backend, serving, kinds or []):
            typer.echo(model)
