"""Draws the contact sheets of docs/models.md and the strips of docs/edits.md: `python -m training.sheets`.

`inversion.jpg`: portraits of unseen people, what the generator draws from their parameters, and what it draws
from the encoder's codes. `edits.jpg`: every edit of the bundle on one of them, from -3 to +3. The strips have an edit
each, with the same strengths.
"""

from pathlib import Path
from typing import Annotated, cast

import numpy as np
import torch
import torch.nn.functional as F
import typer
from PIL import Image, ImageDraw
from torch import Tensor

from seamline.bundles import Bundle, load_bundle
from seamline.editing import direction
from seamline.networks.e4e import E4eEncoder
from seamline.networks.stylegan2 import Generator
from training.command import POSE
from training.directions import WANTED
from training.renderer.dataset import DatasetConfig, render_sample
from training.renderer.parameters import INDEX, standardise, unstandardise

SEED = 970_003
"""No training set has it."""
REST = {
    "smile": 0.1, "mouth_open": 0.0, "pucker": 0.0, "eyes_open": 0.9, "gaze_x": 0.0, "gaze_y": 0.0, "brow_raise": 0.0,
    "brow_frown": 0.0, "yaw": 0.0, "pitch": 0.0, "glasses": 0.0, "hat": 0.0, "earrings": 0.0, "beard": 0.0,
    "fringe": 0.3, "age": 0.45, "hair_colour": 0.35, "gender": 0.0, "skin_tone": 0.5,
}  # fmt: skip
"""The renderer's parameters of a face that does nothing and hides nothing, so that every edit is easy to see."""
BETWEEN = {"age": 0.65}
"""Where an edit's own strip begins if the face at rest is so near one end that one way would show nothing."""
STRENGTHS = (-3.0, -1.5, 0.0, 1.5, 3.0)
LABEL, CELL = 110, 176
"""Width of an edit's name, and side of a strip's faces, in pixels."""


def portraits(count: int) -> tuple[Tensor, Tensor]:
    """Unseen people: pictures (N, 3, 256, 256) in [-1, 1] and standardised parameters (N, P)."""
    samples = [render_sample(DatasetConfig(seed=SEED, pose=POSE), index) for index in range(count)]
    images = np.stack([rendering.image for _, rendering in samples])
    z = standardise(np.stack([params for params, _ in samples]))
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1, torch.from_numpy(z).float()


def pixels(images: Tensor) -> np.ndarray:
    """(N, 3, H, W) in [-1, 1] to one row (H, N * W, 3) uint8."""
    rows = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return np.concatenate(list(rows), axis=1)


def inversion_sheet(bundle: Bundle, count: int = 7) -> Image.Image:
    """Rows: the renderer's picture, the generator from its parameters, the generator from the encoder's codes."""
    images, z = portraits(count)
    generator = cast(Generator, bundle.module("generator"))
    side = cast(E4eEncoder, bundle.module("e4e")).config.input_size
    codes = bundle.infer("e4e", F.interpolate(images, (side, side), mode="area")) + bundle.latent_avg
    drawn = generator.synthesis(generator.mapping(z), "none")
    inverted = generator.synthesis(codes, "none")
    return Image.fromarray(np.concatenate([pixels(images), pixels(drawn), pixels(inverted)]))


def calm_person() -> np.ndarray:
    """Parameters (P,) of the unseen person who is the most ordinary in what the edits move, at rest."""
    _, z = portraits(40)
    moved = z[:, [INDEX[wanted.parameter] for wanted in WANTED]]
    person = unstandardise(z[moved.square().sum(1).argmin()].numpy())
    for name, value in REST.items():
        person[INDEX[name]] = value
    return person


def strip(bundle: Bundle, name: str, person: np.ndarray, size: int = CELL) -> np.ndarray:
    """One edit on a person (P,), at all `STRENGTHS` or as far as it goes: (size, 5 * size, 3) uint8."""
    edit, generator = bundle.edits[name], cast(Generator, bundle.module("generator"))
    if name in BETWEEN:
        person = person.copy()
        person[INDEX[name]] = BETWEEN[name]
    codes = generator.mapping(torch.from_numpy(standardise(person))[None])
    strengths = torch.tensor([min(max(strength, edit.min_strength), edit.max_strength) for strength in STRENGTHS])
    edited = direction.moved(bundle, name, codes.expand(len(strengths), -1, -1), strengths)
    return pixels(F.interpolate(generator.synthesis(edited, "none"), (size, size), mode="area"))


def edits_sheet(bundle: Bundle, size: int = 128) -> Image.Image:
    """A row for every edit, a column for every strength; the third column is the face itself."""
    person, rows = calm_person(), []
    for name in bundle.edits:
        faces = strip(bundle, name, person, size)
        label = Image.new("RGB", (LABEL, size), "white")
        ImageDraw.Draw(label).text((4, size // 2 - 6), name, fill="black")
        rows.append(np.concatenate([np.asarray(label), faces], axis=1))
    columns = 2
    rows += [np.full_like(rows[0], 255)] * (-len(rows) % columns)
    half = len(rows) // columns
    return Image.fromarray(np.concatenate([np.concatenate(rows[:half]), np.concatenate(rows[half:])], axis=1))


@torch.no_grad()
def main(
    bundle: Annotated[str, typer.Option(help="Installed bundle.")] = "",
    out: Annotated[Path, typer.Option(help="Folder for the sheets.")] = Path("docs/images"),
    strips: Annotated[Path, typer.Option(help="Folder for a strip per edit.")] = Path("docs/edits"),
) -> None:
    """Draw both sheets and the strips."""
    out.mkdir(parents=True, exist_ok=True)
    opened = load_bundle(bundle)
    for name, sheet in (("inversion", inversion_sheet(opened)), ("edits", edits_sheet(opened))):
        sheet.save(out / f"{name}.jpg", quality=88)
    strips.mkdir(parents=True, exist_ok=True)
    person = calm_person()
    for name in opened.edits:
        Image.fromarray(strip(opened, name, person)).save(strips / f"{name}.png", optimize=True)


if __name__ == "__main__":
    typer.run(main)
