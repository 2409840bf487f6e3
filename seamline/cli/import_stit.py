"""`seamline bundles import-stit`: go on with what Stitch it in Time has trained."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from seamline.bundles import load_bundle
from seamline.checkpoints.stit_import import find_source, import_run
from seamline.checkpoints.stit_run import read_run
from seamline.cli import options
from seamline.cli.arguments import bundles_directory, cache_directory
from seamline.cli.call import upload
from seamline.cli.inverted import write_inverted
from seamline.cli.options import console
from seamline.cli.progress import StageBars
from seamline.errors import InvalidInput
from seamline.job import Job
from seamline.storage import open_store
from seamline.v1.editor_pb2 import InvertedVideo

BUNDLE = "ffhq-1024"
"""Whose generator Stitch it in Time tunes."""


def import_stit(
    folder: Annotated[Path, typer.Argument(help="A clone of Stitch it in Time, or its checkpoints.")],
    run: Annotated[str, typer.Option("--run", help="The name that train.py was given with --run_name.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="What `seamline edit --from` takes; the run's name with .json if left out."),
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option("--video", help="The video, or the folder of its frames; by default train.py's --input_folder."),
    ] = None,
    start_frame: Annotated[
        int | None, typer.Option("--start-frame", min=0, help="The first of its frames that the run used.")
    ] = None,
    fps: Annotated[str, typer.Option("--fps", help="Of the video that is made of a folder's frames.")] = "25",
    bundle: Annotated[str, typer.Option("--bundle", help="The one with the generator that was tuned.")] = BUNDLE,
    store: options.StoreUrl = "",
) -> None:
    """Take up a finished run of Stitch it in Time, so that it is edited without inverting again.

    Nothing in its files is run. Where the run was made from a folder of frames, a video of them is written beside
    --out.
    """
    out = out or Path(f"{Path(run).name}.json")
    found = load_bundle(bundle, bundles_directory())
    with console.status(f"reading {run}"):
        read = read_run(folder, run)
        source = find_source(read, video, start_frame, out.with_suffix(".mp4"), _rate(fps))
    place = open_store(store or (cache_directory() / "store").as_uri())
    upload(place, source.video)
    with StageBars(console) as bars:
        imported = import_run(Job("align", on_progress=bars.show), place, found, read, source)
    inverted = InvertedVideo(alignment=imported.alignment, inversion=imported.inversion)
    write_inverted(out, found.name, inverted)
    console.print(
        f"{len(read.quads)} frames: {imported.pivot_psnr_db:.1f} dB from the codes alone, {imported.psnr_db:.1f} dB "
        f"with the tuned generator. Go on with: seamline edit {source.video} --from {out} --edit …",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
    typer.echo(out)


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise InvalidInput(f"--fps must be frames a second, as 25 or 30000/1001, got {text!r}", field="--fps")
    return rate
