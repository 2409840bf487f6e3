"""Finds the edit directions of a bundle in W, and writes them into it: `python -m training.directions`.

As in InterFaceGAN (Shen et al. 2020, arXiv:1907.10786) a direction is linear in W, but all attributes are
fitted together: codes are regressed on all parameters of the domain at once, by least squares, so that the
direction of one holds the others still. One hyperplane per attribute would take along what it is correlated
with. How far an edit goes, what it takes along and whether it grows steadily is then measured on pictures,
with the attribute network, which has never seen the generator.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from seamline.bundles import INSTALLED, Bundle, EditSpec, load_bundle, put_directions
from seamline.networks.attributes import AttributeNetwork
from seamline.networks.stylegan2 import Generator
from training.command import POSE
from training.loop import single_core
from training.renderer.parameters import INDEX, NAMES, PARAMETERS, STDS, sample, standardise

DESCRIPTIONS = {
    "smile": "Smile more, or less",
    "mouth_open": "Open or close the mouth",
    "eyes_open": "Open the eyes wider, or shut them",
    "age": "Look older, or younger",
    "gender": "Look more masculine, or more feminine",
    "glasses": "Put glasses on, or take them off",
    "beard": "Grow a beard, or shave it",
    "hair_length": "Longer, or shorter hair",
    "hair_colour": "Lighter, or darker hair",
    "yaw": "Turn the head to the image's right, or left",
    "pitch": "Look up, or down",
    "brow_raise": "Raise, or lower the brows",
    "brow_frown": "Frown, or look worried",
    "gaze_x": "Look to the image's right, or left",
    "pucker": "Round the lips",
    "nose_length": "Longer, or shorter nose",
    "nose_width": "Wider, or narrower nose",
    "eye_size": "Larger, or smaller eyes",
    "lip_fullness": "Fuller, or thinner lips",
    "brow_thickness": "Bushier, or thinner brows",
    "face_width": "Wider, or narrower face",
    "fringe": "More, or less of a fringe",
    "skin_tone": "Lighter, or darker skin",
}
"""The edits, by the attribute that they move."""
STRONGEST = 4.0
"""No edit goes further than so many standard deviations."""
LEAST_EFFECT, LEAST_MONOTONE = 0.1, 0.8
"""An edit that the attribute network sees move less, or less steadily, is not offered."""
STEPS = np.linspace(-1, 1, 9)
"""Strengths at which an edit is measured, as a share of its range."""


@dataclass(frozen=True, kw_only=True)
class EditFigures:
    """What an edit does, in standard deviations of the attributes."""

    effect: float
    """Change of its attribute over its whole range, per unit of strength."""
    leakage: float
    """Largest change of another attribute, as a share of that."""
    leaks_into: str
    monotone: float
    """Share of the steps through its range that move its attribute the right way, over all faces."""

    @property
    def works(self) -> bool:
        """Whether the edit can be offered."""
        return self.effect >= LEAST_EFFECT and self.monotone >= LEAST_MONOTONE


@torch.no_grad()
def fit(generator: Generator, count: int = 4000, seed: int = 5) -> Tensor:
    """Change of w per standard deviation of every parameter (P, w_dim): least squares over sampled codes."""
    rng = np.random.default_rng((seed, 1))
    parameters = torch.from_numpy(standardise(sample(rng, count)))
    codes = generator.mapping(parameters)[:, 0]
    ones = torch.ones(count, 1)
    # Fixed parameters have no spread; the minimum-norm solution leaves them alone.
    solution = np.linalg.lstsq(torch.cat([parameters, ones], 1).numpy(), codes.numpy(), rcond=1e-6)[0]
    return torch.from_numpy(solution[:-1]).float()


def strength_range(name: str) -> float:
    """Strength that carries an attribute from one end of what is rendered to the other."""
    parameter = PARAMETERS[INDEX[name]]
    share = POSE if parameter.group == "pose" else 1.0
    return round(min(share * float((parameter.high - parameter.low) / STDS[INDEX[name]]), STRONGEST), 1)


def specs(names: tuple[str, ...]) -> list[EditSpec]:
    """The edits on the attributes that the bundle can measure."""
    return [
        EditSpec(
            name=name,
            description=DESCRIPTIONS[name],
            min_strength=-strength_range(name),
            max_strength=strength_range(name),
            attribute=name,
        )
        for name in names
        if name in DESCRIPTIONS
    ]


@torch.inference_mode()
def measure(bundle: Bundle, edit: EditSpec, direction: Tensor, faces: int = 8, seed: int = 6) -> EditFigures:
    """Apply an edit to random faces that start at the middle of its range, and read the attributes.

    Args:
        bundle: Its generator and attribute network.
        edit: The edit.
        direction: (num_ws, w_dim).
        faces: How many faces.
        seed: Draws them.
    """
    generator = cast(Generator, bundle.module("generator"))
    names = cast(AttributeNetwork, bundle.module("attributes")).config.names
    z = torch.from_numpy(standardise(sample(np.random.default_rng((seed, 2)), faces)))
    z[:, [INDEX["yaw"], INDEX["pitch"]]] *= POSE
    z[:, INDEX[edit.attribute]] = 0
    strengths = STEPS * edit.max_strength / 2
    ws = generator.mapping(z)[:, None] + torch.from_numpy(strengths).float()[:, None, None] * direction
    images = [generator.synthesis(part, "none").clamp(-1, 1) for part in ws]
    values = torch.stack([bundle.infer("attributes", part) for part in images]).numpy()
    change = (values[:, -1] - values[:, 0]).mean(0) / (strengths[-1] - strengths[0])
    own = names.index(edit.attribute)
    others = np.delete(np.abs(change), own)
    steps = np.diff(values[:, :, own], axis=1)
    return EditFigures(
        effect=float(change[own]),
        leakage=float(others.max() / max(abs(change[own]), 1e-6)),
        leaks_into=np.delete(np.array(names), own)[others.argmax()].item(),
        monotone=float((steps > 0).mean()),
    )


def table(figures: Mapping[str, EditFigures], edits: Sequence[EditSpec]) -> str:
    """The figures of the edits that work as Markdown, and the names of the others."""
    lines = [
        "| edit | strengths | effect per unit | leakage | into | monotone |",
        "|---|---|---|---|---|---|",
    ]
    for edit in edits:
        name, own = edit.name, figures[edit.name]
        if not own.works:
            continue
        span = f"{edit.min_strength:g} to {edit.max_strength:g}"
        shown = f"{own.effect:.2f} | {100 * own.leakage:.0f} % | {own.leaks_into} | {100 * own.monotone:.0f} %"
        lines.append(f"| {name} | {span} | {shown} |")
    left_out = ", ".join(name for name, own in figures.items() if not own.works)
    return "\n".join([*lines, "", f"Left out, for want of a measurable effect: {left_out or 'none'}."])


def main() -> None:
    """Fit, write, measure."""
    parser = argparse.ArgumentParser(prog="python -m training.directions", description=__doc__)
    parser.add_argument("--bundle", default="avatar-256", help="name of an installed bundle")
    parser.add_argument("--out", type=Path, default=Path("runs/directions"), help="figures as JSON")
    asked = parser.parse_args()
    single_core()
    bundle = load_bundle(asked.bundle)
    per_parameter = fit(cast(Generator, bundle.module("generator")))
    edits = specs(cast(AttributeNetwork, bundle.module("attributes")).config.names)
    directions = {edit.name: per_parameter[NAMES.index(edit.attribute)].expand(bundle.num_ws, -1) for edit in edits}
    figures = {edit.name: measure(bundle, edit, directions[edit.name]) for edit in edits}
    offered = [edit for edit in edits if figures[edit.name].works]
    put_directions(INSTALLED / asked.bundle, {edit.name: directions[edit.name] for edit in offered}, offered)
    asked.out.mkdir(parents=True, exist_ok=True)
    written = {name: asdict(own) for name, own in figures.items()}
    (asked.out / "figures.json").write_text(json.dumps(written, indent=1) + "\n")
    print(table(figures, edits))


if __name__ == "__main__":
    main()
