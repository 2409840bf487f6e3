"""`seamline styleclip`: get a bundle ready for edits from texts."""

from math import inf
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from seamline.bundles import load_bundle, put_relevance
from seamline.cli.arguments import bundles_directory
from seamline.editing.preparation import Preparation, prepared

PARTIAL = ".relevance.partial"

styleclip_app = typer.Typer(help="Edits from texts, by StyleCLIP's global directions.", no_args_is_help=True)
console = Console(stderr=True)


@styleclip_app.callback()
def _commands() -> None:
    """Keeps `prepare` a command of its own, though it is the only one."""


@styleclip_app.command()
def prepare(
    bundle: Annotated[str, typer.Option("--bundle", help="Installed bundle; the default one if left out.")] = "",
    samples: Annotated[
        int, typer.Option(min=1, max=1000, help="Faces in which each channel is moved; the time grows with them.")
    ] = 8,
    beta: Annotated[
        float, typer.Option(min=0.0, max=0.99, help="Relevance a channel must have, where an edit does not say.")
    ] = 0.2,
    longest_step: Annotated[
        float,
        typer.Option(
            min=0.1, help="Standard deviations, over all channels, that a strength of 1 moves; inf as published."
        ),
    ] = inf,
    seed: Annotated[int, typer.Option(help="Draws the faces.")] = 0,
) -> None:
    """Measure what each style channel does to what CLIP sees, and write it into the bundle.

    Needed once for every pair of generator and CLIP. A run that is broken off goes on where it was.
    """
    opened = load_bundle(bundle, bundles_directory())
    asked = Preparation(
        samples=samples, beta=beta, longest_step=longest_step, seed=seed, partial=opened.directory / PARTIAL
    )
    with Progress(console=console) as bars:
        task = bars.add_task("moving channels", total=None)
        relevance = prepared(opened, asked, lambda done, total: bars.update(task, completed=done, total=total))
    options = f"--samples {samples} --beta {beta:g} --longest-step {longest_step:g} --seed {seed}"
    entry = put_relevance(opened.directory, relevance, f"seamline styleclip prepare {options}")
    console.print(f"{entry.file}: {len(relevance.std)} channels, {entry.size / 1e6:.2f} MB", highlight=False)
