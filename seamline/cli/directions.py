"""`seamline directions`: find an edit from labels, and put it into a bundle."""

import csv
from pathlib import Path
from typing import Annotated

import torch
import typer
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from safetensors.torch import save_file
from torch import Tensor

from seamline.bundles import Bundle, load_bundle
from seamline.bundles.manifest import PLAIN_NAME
from seamline.cli.arguments import bundles_directory
from seamline.cli.discover import BundleName, discover_directions, install_direction, install_edit
from seamline.editing.fit import Faces, calibrated, draw, fit, random_codes
from seamline.editing.measure import STEPS, EditFigures, figures, look
from seamline.editing.reading import Reader
from seamline.errors import InvalidInput

SEED, UNSEEN_SEED, UNSEEN = 0, 1, 24
"""Of the faces that a direction is fitted on; of those that it is measured on, and how many these are."""

directions_app = typer.Typer(
    help="Find edits of your own: from labels by InterFaceGAN, or without any.", no_args_is_help=True
)
console = Console(stderr=True)

directions_app.command("discover")(discover_directions)
directions_app.command("install")(install_direction)

Samples = Annotated[int, typer.Option(min=1, max=100_000, help="Random faces to draw.")]


@directions_app.command("draw")
def draw_faces(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures, one per face.")],
    samples: Samples = 400,
    bundle: BundleName = "",
) -> None:
    """Draw random faces for labelling by hand: N.png is what `--labels` calls index N."""
    opened = load_bundle(bundle, bundles_directory())
    out.mkdir(parents=True, exist_ok=True)
    reader, codes = Reader(opened), random_codes(opened, samples, SEED)
    with Progress(console=console) as bars:
        for index in bars.track(range(samples), description="drawing"):
            code = codes[index].to(opened.device).expand(1, opened.num_ws, -1)
            picture = ((reader.pictures(code)[0] + 1) * 127.5).round().byte().permute(1, 2, 0)
            Image.fromarray(picture.cpu().numpy()).save(out / f"{index}.png")


@directions_app.command("fit")
def fit_direction(
    attribute: Annotated[
        str, typer.Option(help="What the edit moves: a reading of the bundle, or what the labels say.")
    ],
    samples: Samples = 4000,
    condition: Annotated[list[str] | None, typer.Option(help="A reading that must not come along; repeatable.")] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV with the columns index and label: 1 or 0, or a number that grows with the attribute."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The direction as safetensors, (codes, w_dim) per unit of strength."),
    ] = None,
    install: Annotated[bool, typer.Option("--install", help="Make it an edit of the bundle.")] = False,
    description: Annotated[str, typer.Option(help="What `seamline edits` says about it.")] = "",
    bundle: BundleName = "",
) -> None:
    """Fit a direction to an attribute and measure it on faces that it was not fitted on."""
    if out is None and not install:
        raise InvalidInput("nothing to do with the direction; give --out, --install or both", field="--out")
    if not PLAIN_NAME.fullmatch(attribute):
        raise InvalidInput(f"{attribute!r} cannot be an edit's name", field="--attribute")
    opened = load_bundle(bundle, bundles_directory())
    own = read_labels(labels) if labels else None
    _check_names(opened, [*([] if own else [attribute]), *(condition or [])])
    direction = _fitted(opened, attribute, own, condition or [], samples)
    measured = _measured(opened, attribute, direction)
    if measured:
        Console().print(figures_table(measured))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        save_file({attribute: direction}, out, metadata={"bundle": opened.name, "digest": opened.digest})
        typer.echo(out)
    if install:
        install_edit(opened, attribute, description or f"More, or less {attribute}", direction)
        console.print(f"{opened.name} has the edit {attribute} now", highlight=False)


def read_labels(path: Path) -> dict[int, float]:
    """Labels by the index of the face.

    Raises:
        InvalidInput: The file cannot be read; the message names the line.
    """
    labels: dict[int, float] = {}
    try:
        with path.open(newline="") as lines:
            for row in csv.DictReader(lines):
                labels[int(row["index"])] = float(row["label"])
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        where = f"after {len(labels)} labels: misses the column {error}" if isinstance(error, KeyError) else error
        raise InvalidInput(f"{path}: {where}; it needs the columns index and label", field="--labels") from error
    if not labels or min(labels) < 0:
        raise InvalidInput(f"{path} has no labels, or a negative index", field="--labels")
    return labels


def _check_names(bundle: Bundle, names: list[str]) -> None:
    known = Reader(bundle).names
    for name in names:
        if name not in known:
            raise InvalidInput(
                f"bundle {bundle.name} reads no {name!r}, only {', '.join(known)}; give --labels", field="--attribute"
            )


def _fitted(
    bundle: Bundle, attribute: str, own: dict[int, float] | None, conditions: list[str], samples: int
) -> Tensor:
    faces = _faces(bundle, max(own) + 1 if own else samples, bool(conditions) or own is None)
    if own is not None:
        rows = torch.tensor(sorted(own))
        faces = Faces(codes=faces.codes[rows], values=faces.values[rows], names=faces.names)
        wanted = torch.tensor([own[int(row)] for row in rows])
        return fit(bundle, faces, wanted, {name: faces.labels(name) for name in conditions})
    wanted = faces.labels(attribute)
    found = fit(bundle, faces, wanted, {name: faces.labels(name) for name in conditions})
    # The attribute network's values are standard deviations already; a proportion's have to be made such.
    reader = Reader(bundle)
    deviation = 1.0 if reader.names.index(attribute) < reader.attributes else float(wanted.std())
    return calibrated(bundle, found, attribute, deviation)


def _faces(bundle: Bundle, count: int, read: bool) -> Faces:
    if not read:
        return Faces(codes=random_codes(bundle, count, SEED), values=torch.zeros(count, 0), names=())
    with Progress(console=console) as bars:
        task = bars.add_task("drawing and reading faces", total=count)
        return draw(bundle, count, SEED, lambda done: bars.advance(task, done))


def _measured(bundle: Bundle, attribute: str, direction: Tensor) -> EditFigures | None:
    """Figures of an attribute that the bundle reads."""
    reader = Reader(bundle)
    if attribute not in reader.names:
        return None
    codes = random_codes(bundle, UNSEEN, UNSEEN_SEED).to(bundle.device)[:, None].expand(-1, bundle.num_ws, -1)
    offset = direction.to(bundle.device)
    return figures(reader, look(reader, codes, lambda ws, strength: ws + strength * offset), attribute)


def figures_table(measured: EditFigures) -> Table:
    """The figures as they are printed."""
    table = Table("on unseen faces", "", box=None, pad_edge=False)
    for strength, change in zip(STEPS, measured.response, strict=True):
        table.add_row(f"change at strength {strength:+g}", f"{change:+.2f} standard deviations")
    table.add_row("faces that follow every step", f"{100 * measured.monotone:.0f} %")
    table.add_row("effect per unit", f"{measured.effect:.2f} standard deviations")
    table.add_row("largest leakage", f"{100 * measured.leakage:.0f} % into {measured.leaks_into or 'nothing'}")
    table.add_row("identity kept at ±2", f"cosine {measured.identity:.2f}")
    return table
