"""The commands: edit, edits, serve."""

import asyncio
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seamline.bundles import EditSpec, load_bundle
from seamline.cli.arguments import (
    Landmarks,
    bundles_directory,
    cache_directory,
    check_files,
    parse_edits,
)
from seamline.cli.edit import EditJob, edit_file
from seamline.cli.progress import StageBars
from seamline.cli.session import local_deployment, opened
from seamline.cli.summary import figures_table
from seamline.client import Client
from seamline.deployment import Deployment
from seamline.errors import DigestMismatch, InvalidInput, NotFound, Precondition, SeamlineError
from seamline.v1.editor_pb2 import EditInfo
from seamline.video import probe

BAD_INPUT = (InvalidInput, NotFound, Precondition, DigestMismatch)
"""What another call would not mend: exit status 2."""

app = typer.Typer(
    help="Edit faces in videos: smile, age, glasses and what else the bundle can do.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console(stderr=True)

Bundle = Annotated[str, typer.Option("--bundle", help="Installed bundle; the default one if left out.")]
Editor = Annotated[
    str,
    typer.Option("--editor", envvar="SEAMLINE_EDITOR", help="host:port of an editor; left out, one is started here."),
]
StoreUrl = Annotated[
    str,
    typer.Option("--store", envvar="SEAMLINE_STORE", help="file:///dir or s3://bucket/prefix?endpoint=…"),
]


@app.command()
def edit(
    video: Annotated[Path, typer.Argument(help="The source video.")],
    edits: Annotated[list[str], typer.Option("--edit", help="name=strength, as `seamline edits` lists.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The edited video; figures go beside it as .json.")],
    report: Annotated[
        Path | None, typer.Option("--report", help="The report; beside the video as .html if left out.")
    ] = None,
    bundle: Bundle = "",
    landmarks: Annotated[Landmarks, typer.Option("--landmarks", help="Who finds the faces.")] = Landmarks.BUNDLE,
    stitching: Annotated[bool, typer.Option(help="Without it the edit is pasted back as it is, seam and all.")] = True,
    editor: Editor = "",
    store: StoreUrl = "",
) -> None:
    """Edit the face in a video."""
    job = EditJob(
        source=video,
        out=out,
        report=report or out.with_suffix(".html"),
        edits=parse_edits(edits),
        bundle=bundle,
        landmarks=landmarks.to_proto(),
        stitching=stitching,
    )
    check_files(video, [job.out, job.figures, job.report])
    if not editor:  # said at once, before five services start
        load_bundle(bundle, bundles_directory()).check_edits(list(job.edits.items()))
        probe(video)
    with opened(editor, store, console) as session, StageBars(console) as bars:
        figures = asyncio.run(edit_file(job, session, bars))
    console.print(figures_table(figures))
    for path in (job.out, job.figures, job.report):
        typer.echo(path)


@app.command(name="edits")
def list_edits(bundle: Bundle = "", editor: Editor = "") -> None:
    """List what a bundle can do."""
    table = Table("edit", "strength", "what it does", box=None, pad_edge=False)
    listed: Iterable[EditInfo | EditSpec] = (
        asyncio.run(_remote_edits(editor, bundle))
        if editor
        else load_bundle(bundle, bundles_directory()).edits.values()
    )
    for each in listed:
        strengths = f"{each.min_strength:+g} to {each.max_strength:+g}"
        table.add_row(escape(each.name), strengths, escape(each.description))
    Console().print(table)


async def _remote_edits(editor: str, bundle: str) -> Iterable[EditInfo]:
    async with Client(editor) as client:
        return (await client.list_edits(bundle)).edits


@app.command()
def serve(store: StoreUrl = "") -> None:
    """Run all services on this machine until Ctrl-C."""
    url = store or (cache_directory() / "store").as_uri()
    with local_deployment(url, console) as deployment, suppress(KeyboardInterrupt):
        Console().print(_endpoints(deployment))
        logs = deployment.log("editor").parent
        console.print(f"store {escape(url)}\nlogs {escape(str(logs))}\nCtrl-C stops them", soft_wrap=True)
        deployment.wait()


def _endpoints(deployment: Deployment) -> Table:
    table = Table("service", "gRPC", "metrics", box=None, pad_edge=False)
    for name, service in deployment.services.items():
        table.add_row(name, service.endpoint, f"http://127.0.0.1:{service.metrics_port}/metrics")
    return table


def main() -> None:
    """Runs the command; an error of Seamline becomes one line and an exit status.

    Exit status: 0 done, 1 failed, 2 wrong input, 130 interrupted.
    """
    # Being asked to end must stop the services just as Ctrl-C does, in a shell script's background too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        app()
    except SeamlineError as error:
        console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(2 if isinstance(error, BAD_INPUT) else 1)
