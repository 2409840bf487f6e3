"""Measures edits from texts on unseen faces: `python -m training.styleclip`.

The attribute network, which takes no part in the edits, says how far each face's attribute moved; the identity
network says how much of the person is left.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from seamline.bundles import Bundle, load_bundle
from seamline.bundles.frozen import has_fast_bfloat16
from seamline.editing.edit import Text
from seamline.editing.styleclip import default_beta, style_direction
from seamline.networks.arcface import face_window
from seamline.networks.attributes import AttributeNetwork
from seamline.networks.stylegan2 import Generator
from training.command import POSE
from training.loop import single_core
from training.renderer.parameters import INDEX, sample, standardise

SEED = 970_101
"""No training set has it."""
SHOWN, SIZE, LABEL = 6, 112, 190
"""Faces of the sheet, their side and the width of the prompts, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A text edit, and the attribute that it should move."""

    neutral: str = "face"
    target: str
    attribute: str
    sign: int = 1


CASES = (
    Case(target="face with glasses", attribute="glasses"),
    Case(target="smiling face", attribute="smile"),
    Case(target="sad face", attribute="smile", sign=-1),
    Case(target="face with a beard", attribute="beard"),
    Case(target="old face", attribute="age"),
    Case(target="young face", attribute="age", sign=-1),
    Case(target="face with long hair", attribute="hair_length"),
    Case(target="bald face", attribute="hair_length", sign=-1),
    Case(target="face with blond hair", attribute="hair_colour"),
    Case(target="face with black hair", attribute="hair_colour", sign=-1),
    Case(target="face with an open mouth", attribute="mouth_open"),
    Case(target="face with closed eyes", attribute="eyes_open", sign=-1),
    Case(neutral="person", target="woman", attribute="gender", sign=-1),
    Case(neutral="person", target="man", attribute="gender"),
    Case(target="face with dark skin", attribute="skin_tone", sign=-1),
    Case(target="angry face", attribute="brow_frown"),
    Case(target="face with a hat", attribute="hat"),
)


@dataclass(frozen=True, kw_only=True)
class CaseFigures:
    """What an edit did to N faces."""

    channels: int
    """Style channels that it moves."""
    right: float
    """Share of faces whose attribute moved the right way."""
    moved: float
    """Mean movement the right way, in standard deviations."""
    leakage: float
    """Largest mean movement of another attribute, in standard deviations."""
    leaks_into: str
    identity: float
    """Mean cosine of the identity embeddings before and after."""


def unseen(bundle: Bundle, count: int) -> Tensor:
    """Codes (count, num_ws, w_dim) of faces that no training has seen."""
    z = torch.from_numpy(standardise(sample(np.random.default_rng(SEED), count)))
    z[:, [INDEX["yaw"], INDEX["pitch"]]] *= POSE
    with torch.no_grad():
        return cast(Generator, bundle.module("generator")).mapping(z)


@torch.inference_mode()
def drawn(bundle: Bundle, codes: Tensor, direction: Sequence[Tensor] | None = None, strength: float = 0.0) -> Tensor:
    """Pictures (N, 3, R, R) of codes, edited or as they are."""
    generator = cast(Generator, bundle.module("generator"))
    pictures = []
    with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bfloat16(bundle.device)):
        for part in codes.split(4):
            styles = generator.styles(part)
            if direction is not None:
                styles = [style + strength * step for style, step in zip(styles, direction, strict=True)]
            pictures.append(generator.synthesis_from_styles(styles, "none").clamp(-1, 1))
    return torch.cat(pictures)


def read(bundle: Bundle, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Attributes (N, A) and identity embeddings (N, D) of pictures."""
    parts = pictures.split(20)
    values = torch.cat([bundle.infer("attributes", part) for part in parts])
    return values, F.normalize(torch.cat([bundle.infer("identity", face_window(part)) for part in parts]))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How all edits are tried."""

    bundle: Bundle
    codes: Tensor
    beta: float
    strength: float

    def figures(self, case: Case, before: tuple[Tensor, Tensor]) -> CaseFigures:
        """Measure one edit, given what `read` saw of the faces as they are."""
        direction = self.direction(case)
        values, people = read(self.bundle, drawn(self.bundle, self.codes, direction, self.strength))
        names = list(cast(AttributeNetwork, self.bundle.module("attributes")).config.names)
        change = values - before[0]
        own = names.index(case.attribute)
        mean = change.mean(0).abs()
        mean[own] = 0
        return CaseFigures(
            channels=sum(int(step.count_nonzero()) for step in direction),
            right=float((case.sign * change[:, own] > 0).float().mean()),
            moved=float(case.sign * change[:, own].mean()),
            leakage=float(mean.max()),
            leaks_into=names[int(mean.argmax())],
            identity=float((people * before[1]).sum(1).mean()),
        )

    def direction(self, case: Case) -> list[Tensor]:
        """The edit's direction."""
        return style_direction(self.bundle, Text(neutral=case.neutral, target=case.target, beta=self.beta))

    def sheet(self) -> Image.Image:
        """A row for every edit, below the faces as they are."""
        codes = self.codes[:SHOWN]
        rows = [_row("as they are", drawn(self.bundle, codes))]
        rows += [
            _row(f"{case.neutral} → {case.target}", drawn(self.bundle, codes, self.direction(case), self.strength))
            for case in CASES
        ]
        return Image.fromarray(np.concatenate(rows))


def _row(label: str, pictures: Tensor) -> np.ndarray:
    """(SIZE, LABEL + N * SIZE, 3) uint8."""
    small = F.interpolate(pictures, (SIZE, SIZE), mode="area")
    faces = ((small + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    text = Image.new("RGB", (LABEL, SIZE), "white")
    ImageDraw.Draw(text).text((4, SIZE // 2 - 6), label.replace("→", "->"), fill="black")
    return np.concatenate([np.asarray(text), *faces], axis=1)


def table(figures: dict[Case, CaseFigures]) -> str:
    """The figures as Markdown."""
    lines = [
        "| neutral → target | attribute | channels | moved the right way | mean movement | leakage | identity |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, own in figures.items():
        lines.append(
            f"| {case.neutral} → {case.target} | {'-' if case.sign < 0 else ''}{case.attribute} | {own.channels} | "
            f"{100 * own.right:.0f} % | {own.moved:+.2f} | {own.leakage:.2f} {own.leaks_into} | {own.identity:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, draw the sheet."""
    parser = argparse.ArgumentParser(prog="python -m training.styleclip", description=__doc__)
    parser.add_argument("--bundle", default="", help="name of an installed bundle")
    parser.add_argument("--faces", type=int, default=60, help="unseen faces to edit")
    parser.add_argument("--beta", type=float, help="relevance that a channel must have; the bundle's own if left out")
    parser.add_argument("--strength", type=float, default=4.0, help="of every edit")
    parser.add_argument("--sheet", type=Path, help="PNG to draw the first faces to")
    asked = parser.parse_args()
    single_core()
    bundle = load_bundle(asked.bundle)
    beta = default_beta(bundle) if asked.beta is None else asked.beta
    trial = Trial(bundle=bundle, codes=unseen(bundle, asked.faces), beta=beta, strength=asked.strength)
    before = read(bundle, drawn(bundle, trial.codes))
    print(table({case: trial.figures(case, before) for case in CASES}))
    if asked.sheet:
        asked.sheet.parent.mkdir(parents=True, exist_ok=True)
        trial.sheet().quantize(256).save(asked.sheet, optimize=True)


if __name__ == "__main__":
    main()
