"""The commands: edit, preview, edits, benchmark, bundles, directions, styleclip, triton, token, serve, doctor,
erase, gc."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seamline.algorithm import Algorithm
from seamline.cli import options
from seamline.cli.arguments import (
    AskedEdits,
    cache_directory,
    check_directory,
    check_files,
    parse_edits,
    parse_style,
)
from seamline.cli.choices import Blending, Choices, Inversion, Landmarks, Pivots, blending
from seamline.cli.doctor import doctor
from seamline.cli.edit import EditJob, edit_call, edit_file
from seamline.cli.erase import erase_video
from seamline.cli.gc import collect
from seamline.cli.groups import Groups
from seamline.cli.inverted import read_inverted
from seamline.cli.options import console
from seamline.cli.preview import PreviewJob, preview_call, preview_file
from seamline.cli.progress import StageBars
from seamline.cli.remote import check_remote, is_remote, no_output, run_remote
from seamline.cli.session import check_here, find_abilities, local_deployment, opened
from seamline.cli.summary import figures_table
from seamline.cli.sweep import sweep_files, sweep_jobs
from seamline.cli.token import make_token
from seamline.deployment import Deployment
from seamline.errors import (
    DigestMismatch,
    Forbidden,
    InvalidInput,
    NotFound,
    Precondition,
    SeamlineError,
    Unauthenticated,
)
from seamline.v1.editor_pb2 import ListEditsResponse
from seamline.v1.media_pb2 import EditMethod

BAD_INPUT = (InvalidInput, NotFound, Precondition, DigestMismatch, Unauthenticated, Forbidden)
"""What another call would not mend: exit status 2."""

app = typer.Typer(
    cls=Groups,
    help="Edit faces in videos: smile, age, glasses and what else the bundle can do.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(doctor)
app.command(name="token")(make_token)
app.command(name="erase")(erase_video)
app.command(name="gc")(collect)


@app.command()
def edit(
    video: options.Video,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The edited video, its figures beside it as .json; a directory for a sweep."),
    ] = None,
    edits: options.Edits = None,
    text: options.Text = None,
    beta: options.Beta = None,
    strength: options.Strength = None,
    style: options.Style = None,
    style_strength: options.StyleStrength = None,
    inversion: options.InversionOption = Inversion.PTI,
    pivots: options.PivotsOption = Pivots.E4E,
    algorithm: options.AlgorithmOption = Algorithm.DEFAULT,
    locality: options.Locality = False,
    blend: options.BlendOption = Blending.STITCH,
    no_stitching: options.NoStitching = False,
    preset: options.PresetOption = None,
    landmarks: options.LandmarksOption = Landmarks.BUNDLE,
    report: Annotated[
        Path | None, typer.Option("--report", help="The report; beside the video as .html if left out.")
    ] = None,
    started: options.From = None,
    deliver_to: options.DeliverTo = "",
    bundle: options.Bundle = "",
    editor: options.Editor = "",
    store: options.StoreUrl = "",
) -> None:
    """Edit the face in a video."""
    asked = parse_edits(edits or [], text, beta, strength, parse_style(style, style_strength))
    own, inverted = read_inverted(started) if started else ("", None)
    choices = Choices(
        bundle=bundle or own,
        landmarks=landmarks,
        inversion=inversion,
        pivots=pivots,
        locality=locality,
        blend=blending(blend, no_stitching=no_stitching),
        preset=preset,
        algorithm=algorithm,
        inverted=inverted,
    )
    if is_remote(video, deliver_to):
        local = {"--out": out, "--report": report, "the sweep": asked.strengths}
        check_remote(video, deliver_to, editor, local)
        (variant,) = asked.variants()
        run_remote(editor, lambda client: edit_call(client, video, variant, choices, deliver_to), console)
    elif out is None:
        raise no_output("the edited video")
    elif asked.strengths:
        _sweep(Path(video), out, report, asked, choices, editor, store)
    else:
        (variant,) = asked.variants()
        report = report or out.with_suffix(".html")
        job = EditJob(source=Path(video), out=out, report=report, variant=variant, choices=choices)
        _edit_one(job, editor, store)


def _edit_one(job: EditJob, editor: str, store: str) -> None:
    check_files(job.source, job.files)
    check_here(editor, job.source, [job.variant], job.choices)
    with opened(editor, store, console) as session, StageBars(console) as bars:
        figures = asyncio.run(edit_file(job, session, bars))
    console.print(figures_table(figures))
    _tell(job.files)


def _sweep(
    video: Path, out: Path, report: Path | None, asked: AskedEdits, choices: Choices, editor: str, store: str
) -> None:
    if report is not None:
        raise InvalidInput("a sweep writes a report beside each of its videos; leave --report out", field="--report")
    check_directory(out)
    jobs = sweep_jobs(video, out, asked.variants(), choices)
    check_files(video, [path for job in jobs for path in job.files])
    check_here(editor, video, [job.variant for job in jobs], choices)
    with opened(editor, store, console) as session:
        index = sweep_files(jobs, session, console)
    _tell([job.out for job in jobs] + [index])


@app.command()
def preview(
    video: options.Video,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The contact sheet, a PNG.")] = None,
    edits: options.Edits = None,
    text: options.Text = None,
    beta: options.Beta = None,
    strength: options.Strength = None,
    style: options.Style = None,
    style_strength: options.StyleStrength = None,
    frames: Annotated[int, typer.Option("--frames", min=1, max=256, help="Frames to show, evenly spread.")] = 3,
    inversion: options.InversionOption = Inversion.PTI,
    pivots: options.PivotsOption = Pivots.E4E,
    algorithm: options.AlgorithmOption = Algorithm.DEFAULT,
    locality: options.Locality = False,
    preset: options.PresetOption = None,
    landmarks: options.LandmarksOption = Landmarks.BUNDLE,
    started: options.From = None,
    deliver_to: options.DeliverTo = "",
    bundle: options.Bundle = "",
    editor: options.Editor = "",
    store: options.StoreUrl = "",
) -> None:
    """Draw a sheet of what edits would look like: a row for each frame, a column for each strength of a sweep."""
    own, inverted = read_inverted(started) if started else ("", None)
    choices = Choices(
        bundle=bundle or own,
        landmarks=landmarks,
        inversion=inversion,
        pivots=pivots,
        locality=locality,
        preset=preset,
        algorithm=algorithm,
        inverted=inverted,
    )
    asked = parse_edits(edits or [], text, beta, strength, parse_style(style, style_strength))
    if is_remote(video, deliver_to):
        check_remote(video, deliver_to, editor, {"--out": out})
        run_remote(editor, lambda client: preview_call(client, video, asked, frames, choices, deliver_to), console)
        return
    if out is None:
        raise no_output("the sheet")
    source = Path(video)
    job = PreviewJob(source=source, out=out, asked=asked, frames=frames, choices=choices)
    check_files(source, [out])
    check_here(editor, source, asked.variants(), choices)
    with opened(editor, store, console) as session, StageBars(console) as bars:
        asyncio.run(preview_file(job, session, bars))
    _tell([out])


@app.command(name="edits")
def list_edits(
    bundle: options.Bundle = "",
    html: Annotated[Path | None, typer.Option("--html", help="A page with a picture of every edit.")] = None,
    editor: options.Editor = "",
) -> None:
    """List what a bundle can do."""
    if html:
        from seamline.cli import here

        here.draw_edits(html, bundle)
        _tell([html])
        return
    listed = find_abilities(editor, bundle)
    Console().print(_edits_table(listed))
    inversions = ", ".join(way.value for way in Inversion if way.to_proto() in listed.inversions)
    text, style = ("yes" if possible else "no" for possible in (listed.text, listed.style))
    Console().print(f"\nedits by text: {text}\nstyles by text: {style}\ninversions: {inversions}")


def _edits_table(listed: ListEditsResponse) -> Table:
    table = Table("edit", "strength", "what it does", "also by", box=None, pad_edge=False)
    for each in listed.edits:
        strengths = f"{each.min_strength:+g} to {each.max_strength:+g}"
        transformer = EditMethod.EDIT_METHOD_LATENT_TRANSFORMER in each.methods
        table.add_row(escape(each.name), strengths, escape(each.description), ":lt" if transformer else "")
    return table


@app.command()
def serve(store: options.StoreUrl = "") -> None:
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


def _tell(paths: Sequence[Path]) -> None:
    for path in paths:
        typer.echo(path)


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
