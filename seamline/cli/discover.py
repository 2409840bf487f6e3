"""`seamline directions discover` and `install`: directions without labels, and making an edit of one."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from seamline.bundles import Bundle, EditSpec, load_bundle, put_directions
from seamline.bundles.manifest import PLAIN_NAME
from seamline.cli.arguments import bundles_directory
from seamline.contact_sheet import contact_sheet
from seamline.editing.discovery import Method, discovered
from seamline.editing.fit import random_codes
from seamline.editing.measure import STEPS, look, standardised
from seamline.editing.reading import Reader
from seamline.errors import InvalidInput
from seamline.storage.atomic import atomic_write
from seamline.tuning import to_pixels

DIRECTIONS, SHEET = "directions.safetensors", "sheet.png"
MENTIONED = 3
"""Readings named beside a direction."""
FACES, SEED = 8, 1
"""Faces on which they are read."""

console = Console(stderr=True)

BundleName = Annotated[str, typer.Option("--bundle", help="Installed bundle; the default one if left out.")]


def discover_directions(
    out: Annotated[Path, typer.Option("--out", "-o", help=f"Folder for {DIRECTIONS} and {SHEET}.")],
    method: Annotated[Method, typer.Option(help="Where to look.")] = Method.SEFA,
    count: Annotated[int, typer.Option(min=1, help="How many directions.")] = 8,
    layers: Annotated[str, typer.Option(help="Codes to move, first-last, for instance 0-3; all if left out.")] = "",
    bundle: BundleName = "",
) -> None:
    """Find directions without labels, and draw what each does to the average face."""
    opened = load_bundle(bundle, bundles_directory())
    directions = discovered(opened, method, count, _layers(layers))
    out.mkdir(parents=True, exist_ok=True)
    named = {str(number): direction.clone() for number, direction in enumerate(directions, 1)}
    save_file(named, out / DIRECTIONS, metadata={"bundle": opened.name, "digest": opened.digest})
    with atomic_write(out / SHEET) as file:
        file.write(_sheet(opened, directions))
    typer.echo(out / DIRECTIONS)
    typer.echo(out / SHEET)


def install_direction(
    file: Annotated[Path, typer.Argument(help="What discover or fit wrote.")],
    direction: Annotated[str, typer.Argument(help="Its number, or name, in the file.")],
    name: Annotated[str, typer.Option("--as", help="Name of the edit.")],
    description: Annotated[str, typer.Option(help="What `seamline edits` says about it.")] = "",
    bundle: BundleName = "",
) -> None:
    """Make a direction an edit of the bundle."""
    if not PLAIN_NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} cannot be an edit's name; use letters, digits, '.', '_' and '-'", field="--as")
    opened = load_bundle(bundle, bundles_directory())
    install_edit(opened, name, description or f"More, or less {name}", _read(file, direction, opened))
    console.print(f"{opened.name} has the edit {name} now", highlight=False)


def install_edit(bundle: Bundle, name: str, description: str, direction: Tensor) -> None:
    """Add or replace one edit of a bundle; strengths go from -3 to +3."""
    edit = EditSpec(name=name, description=description, min_strength=STEPS[0], max_strength=STEPS[-1], attribute=name)
    directions = {other: known.cpu() for other, known in bundle.directions.items()} | {name: direction}
    put_directions(bundle.directory, directions, list(({**bundle.edits, name: edit}).values()))


def _layers(text: str) -> tuple[int, int] | None:
    first, dash, last = text.partition("-")
    if not text:
        return None
    if not (dash and first.isdecimal() and last.isdecimal()):
        raise InvalidInput(f"layers are first-last, for instance 0-3, not {text!r}", field="--layers")
    return int(first), int(last) + 1


def _read(file: Path, direction: str, bundle: Bundle) -> Tensor:
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"{file} cannot be read as directions: {error}", field="FILE") from error
    if direction not in tensors:
        raise InvalidInput(f"{file} has no direction {direction!r}, only {', '.join(tensors)}", field="DIRECTION")
    found, wanted = tensors[direction].float(), (bundle.num_ws, bundle.w_dim)
    if found.shape != wanted or not found.isfinite().all():
        raise InvalidInput(
            f"direction {direction!r} of {file} is {tuple(found.shape)}; {bundle.name} needs {wanted}, all finite",
            field="DIRECTION",
        )
    return found


def _sheet(bundle: Bundle, directions: Tensor) -> bytes:
    """A column for each direction, a row for each strength; above it what it moves most."""
    reader, faces = Reader(bundle), random_codes(bundle, FACES, SEED).to(bundle.device)
    codes = faces[:, None].expand(-1, bundle.num_ws, -1)
    average = bundle.latent_avg.to(bundle.device)
    titles, columns = [], []
    for number, direction in enumerate(directions.to(bundle.device), 1):
        titles.append([str(number), *_moved(reader, codes, direction)])
        columns.append(to_pixels(reader.pictures(average + codes.new_tensor(STEPS)[:, None, None] * direction)))
    return contact_sheet(titles, columns)


def _moved(reader: Reader, codes: Tensor, direction: Tensor) -> list[str]:
    """The readings that one unit moves most, in standard deviations."""
    stimulus = look(reader, codes, lambda ws, strength: ws + strength * direction, strengths=(-1.0, 0.0, 1.0))
    values = standardised(reader, stimulus.values)
    change = ((values[2] - values[0]).mean(0) / 2).tolist()
    most = sorted(zip(reader.names, change, strict=True), key=lambda pair: -abs(pair[1]))[:MENTIONED]
    return [f"{name} {moved:+.1f}" for name, moved in most]
