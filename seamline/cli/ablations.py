"""What each part of the method is worth, measured on one clip: the table of the paper, and its rivals."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seamline.cli import options
from seamline.cli.arguments import (
    AskedEdits,
    NamedEdits,
    check_directory,
    check_files,
    parse_edits,
)
from seamline.cli.choices import Blending, Choices, Inversion, Landmarks, Pivots
from seamline.cli.edit import EditJob, edit_file
from seamline.cli.options import console
from seamline.cli.progress import StageBars
from seamline.cli.session import Session, check_here, find_abilities, opened
from seamline.errors import InvalidInput
from seamline.report import Reference, Shown, write_comparison
from seamline.v1.editor_pb2 import ListEditsResponse
from seamline.v1.inverter_pb2 import InversionMethod
from seamline.v1.media_pb2 import Edit, EditMethod

PAPER = Reference(
    name="STIT's paper, full method",
    note="Other videos, another domain (FFHQ at 1024 px), another identity network: not to be ranked with these rows.",
    tl_id=0.996,
    tg_id=0.933,
)
TABLE, PAGE = "ablations.json", "index.html"

benchmark_app = typer.Typer(help="Measure the method on a video.", no_args_is_help=True)


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """One row of the table."""

    name: str
    file: str
    choices: Choices
    edits: tuple[Edit, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The rows, and what is said of those that are not possible."""

    rows: Sequence[Ablation]
    left_out: Sequence[str]


@benchmark_app.callback()
def _benchmark() -> None:
    """Keeps `ablations` a command of its own while it is the only one."""


@benchmark_app.command()
def ablations(
    video: options.VideoFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory for videos, table and page.")] = Path(
        "out/ablations"
    ),
    edits: options.Edits = None,
    landmarks: options.LandmarksOption = Landmarks.BUNDLE,
    bundle: options.Bundle = "",
    editor: options.Editor = "",
    store: options.StoreUrl = "",
) -> None:
    """Edit one clip (smile=+2 if no --edit) by the full method, without each of its parts, and by other methods."""
    asked = parse_edits(edits or ["smile=+2"])
    check_edits(asked)
    check_directory(out)
    check_files(video, [])
    choices = Choices(bundle=bundle, landmarks=landmarks)
    check_here(editor, video, asked.variants(), choices)
    plan = planned_rows(choices, asked.edits, find_abilities(editor, bundle))
    with opened(editor, store, console) as session:
        shown = run_rows(plan.rows, video, out, session)
    write_table(out / TABLE, shown, plan.left_out)
    write_comparison(out / PAGE, video, shown, title=f"Ablations on {video.name}", reference=PAPER)
    Console().print(results_table(shown, plan.left_out))
    for path in (out / TABLE, out / PAGE):
        typer.echo(path)


def check_edits(asked: AskedEdits) -> None:
    """Refuses edits whose methods the rows choose, and sweeps.

    Raises:
        InvalidInput: there is one.
    """
    methods = (EditMethod.EDIT_METHOD_UNSPECIFIED, EditMethod.EDIT_METHOD_DIRECTION)
    if asked.strengths or any(edit.method not in methods for edit in asked.edits):
        raise InvalidInput(
            "ablations choose the method themselves and take one strength: write --edit smile=+2", field="--edit"
        )


def planned_rows(full: Choices, edits: tuple[Edit, ...], can: ListEditsResponse) -> Plan:
    """The rows that a bundle makes possible.

    Args:
        full: the full method.
        edits: what to do in every row.
        can: the bundle's abilities.
    """
    rows = [
        Ablation(name="full method", file="full", choices=full, edits=edits),
        Ablation(
            name="without the encoder (W, optimised)",
            file="without-encoder",
            choices=replace(full, pivots=Pivots.W_OPT),
            edits=edits,
        ),
        Ablation(
            name="without pivotal tuning",
            file="without-pti",
            choices=replace(full, inversion=Inversion.E4E),
            edits=edits,
        ),
        Ablation(
            name="without stitching tuning",
            file="without-stitching",
            choices=replace(full, blend=Blending.FEATHER),
            edits=edits,
        ),
        Ablation(name="with PTI's locality", file="locality", choices=replace(full, locality=True), edits=edits),
    ]
    left_out: list[str] = []
    if InversionMethod.INVERSION_METHOD_HYPERSTYLE in can.inversions:
        predicted = replace(full, inversion=Inversion.HYPERSTYLE)
        rows.append(Ablation(name="HyperStyle for PTI", file="hyperstyle", choices=predicted, edits=edits))
    else:
        left_out.append(f"HyperStyle: bundle {can.bundle} has no hypernetwork")
    if transformed := _by_latent_transformer(edits, can):
        rival = replace(full, inversion=Inversion.E4E, blend=Blending.POISSON)
        rows.append(
            Ablation(name="Latent Transformer, Poisson", file="latent-transformer", choices=rival, edits=transformed)
        )
    else:
        left_out.append(f"Latent Transformer: bundle {can.bundle} has none for {', '.join(e.name for e in edits)}")
    return Plan(rows=rows, left_out=left_out)


def _by_latent_transformer(edits: Sequence[Edit], can: ListEditsResponse) -> tuple[Edit, ...]:
    """The same edits by the latent transformer; empty if it cannot do one of them."""
    method = EditMethod.EDIT_METHOD_LATENT_TRANSFORMER
    able = {info.name for info in can.edits if method in info.methods}
    if not all(edit.name in able for edit in edits):
        return ()
    return tuple(
        Edit(name=edit.name, strength=edit.strength, keyframes=edit.keyframes, method=method) for edit in edits
    )


def run_rows(rows: Sequence[Ablation], video: Path, out: Path, session: Session) -> list[Shown]:
    """Makes every row's video; rows share the alignment, and the inversion where it is the same."""
    shown: list[Shown] = []
    invert_seconds: dict[bytes, float] = {}
    for number, row in enumerate(rows, start=1):
        console.print(f"{number} of {len(rows)}: {escape(row.name)}")
        path = out / f"{row.file}.mp4"
        job = EditJob(
            source=video,
            out=path,
            report=path.with_suffix(".html"),
            variant=NamedEdits(name=row.file, edits=row.edits),
            choices=row.choices,
        )
        with StageBars(console) as bars:
            figures = asyncio.run(edit_file(job, session, bars))
        seconds = figures["stage_seconds"]
        # The row that came first with an inversion paid for it; all that use it are told what it cost.
        key = row.choices.invert_options().SerializeToString(deterministic=True)
        invert = invert_seconds.setdefault(key, seconds["invert"])
        shown.append(Shown(name=row.name, video=path, figures=figures, seconds=invert + seconds["stitch"]))
    return shown


def write_table(path: Path, shown: Sequence[Shown], left_out: Sequence[str]) -> None:
    """Writes the table as JSON."""
    paper = {"name": PAPER.name, "note": PAPER.note, "tl_id": PAPER.tl_id, "tg_id": PAPER.tg_id}
    table = {"rows": [_row(each) for each in shown], "paper": paper, "left_out": list(left_out)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table, indent=2) + "\n")


def _row(shown: Shown) -> Mapping[str, Any]:
    figures = shown.figures
    names = ("edits", "methods", "inversion", "pivots", "blend", "tl_id", "tg_id", "inversion_psnr_db", "edit_effect")
    return {
        "name": shown.name,
        "video": shown.video.name,
        **{name: figures[name] for name in names},
        "border_error": figures["seam_error"]["stitched"],
        "invert_and_stitch_seconds": round(shown.seconds or 0.0, 3),
    }


def results_table(shown: Sequence[Shown], left_out: Sequence[str]) -> Table:
    """The table for the terminal."""
    note = "; ".join((f"{PAPER.name}: {PAPER.note}", *(f"left out: {what}" for what in left_out)))
    headings = ("TL-ID", "TG-ID", "inversion", "border error", "effect", "seconds")
    table = Table("", *headings, caption=escape(note), caption_justify="left", box=None, pad_edge=False)
    for each in shown:
        row = _row(each)
        effect = row["edit_effect"]
        table.add_row(
            escape(each.name),
            f"{row['tl_id']:.3f}",
            f"{row['tg_id']:.3f}",
            f"{row['inversion_psnr_db']:.1f} dB",
            f"{row['border_error']:.4f}",
            "" if effect is None else f"{effect:+.2f}",
            f"{row['invert_and_stitch_seconds']:.1f}",
        )
    table.add_row(escape(PAPER.name), f"{PAPER.tl_id:.3f}", f"{PAPER.tg_id:.3f}", "", "", "", "", style="dim")
    return table
