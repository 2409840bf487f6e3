"""Finds the edit directions of a bundle in W, and writes them into it: `python -m training.directions`.

Two procedures compete for every edit. Least squares regresses codes on all parameters of the renderer at once, so that
the direction of one holds the others still. InterFaceGAN (`seamline.editing.fit`) knows no parameters, only labels:
what the bundle's networks read off random faces. Both are measured on other random faces, which set the unit: a
strength of 3 goes as far as nearly all faces follow and stay themselves. The one that carries further and takes less
along, without losing faces that followed, goes into the bundle.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from seamline.bundles import INSTALLED, Bundle, EditSpec, load_bundle, put_directions
from seamline.editing.fit import Faces, draw, fit, random_codes
from seamline.editing.measure import HALVES, EditFigures, figures, interleaved, longest_unit, look, recognised_unit
from seamline.editing.measure import standardised as in_deviations
from seamline.editing.reading import Reader
from seamline.errors import InvalidInput
from seamline.networks.stylegan2 import Generator
from training.command import POSE
from training.loop import single_core
from training.renderer.parameters import HIGHS, INDEX, LOWS, MEANS, NAMES, PARAMETERS, STDS, sample, standardise


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """An edit that may go into the bundle."""

    name: str
    description: str
    parameter: str
    """The renderer's parameter that it moves."""
    witness: str
    """What tells whether it shows."""


def _parameter(name: str, description: str, parameter: str = "", witness: str = "") -> Wanted:
    return Wanted(name=name, description=description, parameter=parameter or name, witness=witness or name)


WANTED = (
    _parameter("smile", "Smile more, or less"),
    _parameter("mouth_open", "Open or close the mouth"),
    _parameter("eyes_open", "Open the eyes wider, or shut them"),
    _parameter("age", "Look older, or younger"),
    _parameter("gender", "Look more masculine, or more feminine"),
    _parameter("glasses", "Put glasses on, or take them off"),
    _parameter("hat", "Put a hat on, or take it off"),
    _parameter("earrings", "Put earrings on, or take them off"),
    _parameter("beard", "Grow a beard, or shave it"),
    _parameter("hair_length", "Longer, or shorter hair"),
    _parameter("hair_colour", "Lighter, or darker hair"),
    _parameter("yaw", "Turn the head to the image's right, or left"),
    _parameter("pitch", "Look up, or down"),
    _parameter("brow_raise", "Raise, or lower the brows", witness="eye_eyebrow_distance"),
    _parameter("nose_length", "Longer, or shorter nose"),
    _parameter("fringe", "More, or less of a fringe"),
    _parameter("skin_tone", "Lighter, or darker skin"),
    _parameter("eye_distance", "Eyes further apart, or closer together", "eye_spacing"),
    _parameter("eye_size", "Larger, or smaller eyes", witness="eye_ratio"),
)
"""In the order of the bundle's list."""
ACCEPTED = 5.0
"""Strengths that a bundle accepts either way: beyond what faces follow an edit still is what was asked for."""
STRONGEST = 3.0
"""No edit goes further at a strength of 3 than so many standard deviations of its parameter."""
INSIDE = 0.9
"""Share of the rendered poses that an edit stays in: who is turned already is drawn worst at their end."""
LEAST_EFFECT = 0.25
"""Standard deviations of its witness per unit of strength; an edit that shows less is not offered."""
MOST_LEAKAGE = 0.4
"""Share of it that may appear in another attribute."""
LEAST_REACH = 1.5
"""A strength of 3 goes as far even where fewer faces follow, as those near an end cannot."""
FOLLOWING = 0.97
"""Share of the faces that should follow an edit to its end, so that of other faces 95 % do."""
RECOGNISED = 0.64
"""Least identity that a strength of 2 may leave, so that other faces keep 0.7 of what pictures of one person share."""
FACES = 60
"""Faces that edits are measured on."""
ENTANGLED = 0.1
"""Correlation in the sample from which another reading is held still."""
FARTHER = 1.1
"""How many times as far as the other a direction must carry to be taken for that alone."""
BETTER = 0.05
"""Leakage by which InterFaceGAN's direction must be better where both carry about as far."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A direction for an edit, and what it does."""

    procedure: str
    direction: Tensor
    """(num_ws, w_dim) for a strength of 1."""
    reach: float
    """Standard deviations of the parameter that a strength of 3 goes."""
    figures: EditFigures

    @property
    def works(self) -> bool:
        """Whether it can be offered."""
        return self.figures.effect >= LEAST_EFFECT and self.figures.leakage <= MOST_LEAKAGE

    def beats(self, other: "Candidate") -> bool:
        """Whether it is worth taking instead."""
        if self.works != other.works:
            return self.works
        if max(self.reach, other.reach) > FARTHER * min(self.reach, other.reach):
            return self.reach > other.reach
        follows = self.figures.monotone >= min(other.figures.monotone, FOLLOWING)
        return follows and self.figures.leakage < other.figures.leakage - BETTER


@torch.no_grad()
def regress(generator: Generator, count: int = 4000, seed: int = 5) -> Tensor:
    """Change of w per standard deviation of every parameter (P, w_dim): least squares over sampled codes."""
    rng = np.random.default_rng((seed, 1))
    parameters = torch.from_numpy(standardise(sample(rng, count)))
    codes = generator.mapping(parameters)[:, 0]
    ones = torch.ones(count, 1)
    # Fixed parameters have no spread; the minimum-norm solution leaves them alone.
    solution = np.linalg.lstsq(torch.cat([parameters, ones], 1).numpy(), codes.numpy(), rcond=1e-6)[0]
    return torch.from_numpy(solution[:-1]).float()


def rendered_range(parameter: str) -> tuple[float, float]:
    """Where what is rendered of a parameter ends, or nearly, of a pose: in standard deviations from its mean."""
    index = INDEX[parameter]
    share = INSIDE * POSE if PARAMETERS[index].group == "pose" else 1.0
    low, high = (share * float((end[index] - MEANS[index]) / STDS[index]) for end in (LOWS, HIGHS))
    return low, high


def strength_range(parameter: str) -> float:
    """Strength that carries a parameter from one end of `rendered_range` to the other."""
    low, high = rendered_range(parameter)
    return round(min(high - low, STRONGEST), 1)


def entangled(faces: Faces, name: str) -> dict[str, Tensor]:
    """Labels of the attributes of other edits that come along with a reading in the sample."""
    correlation = np.corrcoef(torch.cat([faces.labels(name)[:, None], faces.values], 1).numpy().T)[0, 1:]
    known = {wanted.witness for wanted in WANTED if wanted.witness == wanted.parameter} - {name}
    return {
        other: faces.labels(other)
        for other, value in zip(faces.names, correlation, strict=True)
        if other in known and abs(value) > ENTANGLED
    }


class Search:
    """Candidates for edits, measured on the same faces."""

    def __init__(self, bundle: Bundle, faces: Faces, unseen: int = FACES, seed: int = 7) -> None:
        self.bundle, self.faces, self.reader = bundle, faces, Reader(bundle)
        self.codes = random_codes(bundle, unseen, seed)[:, None].expand(-1, bundle.num_ws, -1)
        self.seen = self.reader.see(self.codes)
        self.per_parameter = regress(cast(Generator, bundle.module("generator")))

    def candidates(self, wanted: Wanted) -> Iterator[Candidate]:
        """By least squares, and by InterFaceGAN unless the attribute is all that its conditions are."""
        regressed = self.per_parameter[NAMES.index(wanted.parameter)].expand(self.bundle.num_ws, -1)
        yield self.measured(wanted, "least squares", regressed)
        labels = self.faces.labels(wanted.witness)
        try:
            found = fit(self.bundle, self.faces, labels, entangled(self.faces, wanted.witness))
        except InvalidInput:
            return
        # In the units of the other: a standard deviation of the parameter.
        found = found * (regressed.square().sum() / (found * regressed).sum()).clamp(0, 10)
        yield self.measured(wanted, "InterFaceGAN", found)

    def measured(self, wanted: Wanted, procedure: str, direction: Tensor) -> Candidate:
        """Find the unit of a direction, given for one deviation of the parameter, and measure it."""
        farthest = strength_range(wanted.parameter)
        column = self.reader.names.index(wanted.witness)

        def move(codes: Tensor, strength: float) -> Tensor:
            return codes + strength * direction * farthest / STRONGEST

        coarse = look(self.reader, self.codes, move, self.seen)
        found = figures(self.reader, coarse, wanted.witness)
        if found.monotone >= FOLLOWING and found.identity >= RECOGNISED:  # nothing to shorten
            whole = direction * farthest / STRONGEST
            return Candidate(procedure=procedure, direction=whole, reach=farthest, figures=found)
        curves = interleaved(coarse, look(self.reader, self.codes, move, strengths=HALVES))
        follow = farthest * longest_unit(in_deviations(self.reader, curves.values)[..., column], FOLLOWING)
        reach = min(max(follow, LEAST_REACH), farthest * recognised_unit(curves.identity, RECOGNISED))
        unit = direction * reach / STRONGEST
        stimulus = look(self.reader, self.codes, lambda codes, strength: codes + strength * unit, self.seen)
        found = figures(self.reader, stimulus, wanted.witness)
        return Candidate(procedure=procedure, direction=unit, reach=reach, figures=found)


def best(candidates: Sequence[Candidate]) -> Candidate:
    """The one to offer; the first unless a later one beats it."""
    chosen = candidates[0]
    for other in candidates[1:]:
        chosen = other if other.beats(chosen) else chosen
    return chosen


def spec(wanted: Wanted, reach: float, attributes: Sequence[str]) -> EditSpec:
    """The edit as the bundle lists it, where a strength of 3 goes so many deviations far."""
    low, high = (round(end / reach * STRONGEST, 2) for end in rendered_range(wanted.parameter))
    return EditSpec(
        name=wanted.name,
        description=wanted.description,
        min_strength=-ACCEPTED,
        max_strength=ACCEPTED,
        attribute=wanted.name if wanted.name in attributes else wanted.witness,
        ends=(low, high),
    )


def table(found: Mapping[str, Sequence[Candidate]]) -> str:
    """All candidates as Markdown; a star marks what goes into the bundle."""
    lines = [
        "| edit | procedure | deviations at 3 | follow | effect per unit | leakage | into | identity at ±2 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, candidates in found.items():
        for one in candidates:
            own, star = one.figures, " *" if one is best(candidates) and one.works else ""
            reach = f"{one.reach:.1f} | {100 * own.monotone:.0f} %"
            shown = f"{own.effect:.2f} | {100 * own.leakage:.0f} % | {own.leaks_into} | {own.identity:.2f}"
            lines.append(f"| {name} | {one.procedure}{star} | {reach} | {shown} |")
    return "\n".join(lines)


def main() -> None:
    """Fit, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m training.directions", description=__doc__)
    parser.add_argument("--bundle", default="avatar-256", help="name of an installed bundle")
    parser.add_argument("--samples", type=int, default=1600, help="faces that InterFaceGAN learns from")
    parser.add_argument("--out", type=Path, default=Path("runs/directions"), help="figures as JSON")
    asked = parser.parse_args()
    single_core()
    bundle = load_bundle(asked.bundle)
    search = Search(bundle, draw(bundle, asked.samples, seed=3))
    readable = [wanted for wanted in WANTED if wanted.witness in search.reader.names]
    found = {wanted.name: list(search.candidates(wanted)) for wanted in readable}
    attributes = search.reader.names[: search.reader.attributes]
    chosen = {name: best(candidates) for name, candidates in found.items() if best(candidates).works}
    offered = [spec(wanted, chosen[wanted.name].reach, attributes) for wanted in readable if wanted.name in chosen]
    put_directions(INSTALLED / asked.bundle, {name: one.direction for name, one in chosen.items()}, offered)
    asked.out.mkdir(parents=True, exist_ok=True)
    written = {name: {one.procedure: asdict(one.figures) for one in own} for name, own in found.items()}
    (asked.out / "figures.json").write_text(json.dumps(written, indent=1) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
