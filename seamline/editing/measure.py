"""What an edit does to faces that it was not fitted on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seamline.editing.reading import Reader, Seen

STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Strengths at which an edit is looked at."""
HALVES = (-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)
"""Strengths in between, at which a direction is looked at whose unit is yet to be chosen."""
FINE = tuple(sorted(STEPS + HALVES))
"""Both, in order."""
SET_BACK = 0.1
"""A step may take back so much of an attribute, in standard deviations: at the end of what a generator can draw, the
reading stands still and trembles."""
Move = Callable[[Tensor, float], Tensor]
"""Codes (N, L, w_dim) and a strength to edited codes."""


@dataclass(frozen=True, kw_only=True)
class EditFigures:
    """What an edit does. Values are in standard deviations, of faces for proportions."""

    monotone: float
    """Share of the faces whose reading rises with every step of one from -3 to +3, but for `SET_BACK`."""
    response: tuple[float, ...]
    """Mean change of the reading at every strength of `STEPS`."""
    effect: float
    """Change of its attribute per unit of strength, from -1 to +1."""
    strong_effect: float
    """Change of its attribute at +2."""
    leakage: float
    """Largest change of another attribute from -2 to +2, as a share of that of its own."""
    leaks_into: str
    identity: float
    """Mean cosine between the face and the face edited by -2 and by +2; not a number without an identity network."""


@dataclass(frozen=True, kw_only=True)
class Stimulus:
    """Readings (S, N, V) and embeddings (S, N, D) of N faces at S strengths."""

    values: Tensor
    identity: Tensor


def look(
    reader: Reader, codes: Tensor, move: Move, face: Seen | None = None, strengths: Sequence[float] = STEPS
) -> Stimulus:
    """Edit the faces of codes (N, L, w_dim) by all strengths and read them; `face` is what is seen on them unedited."""
    seen = [face if face and not strength else reader.see(move(codes, strength)) for strength in strengths]
    return Stimulus(
        values=torch.stack([one.values for one in seen]), identity=torch.stack([one.identity for one in seen])
    )


def interleaved(steps: Stimulus, halves: Stimulus) -> Stimulus:
    """What was seen at the strengths `STEPS` and at those in between, in the order of `FINE`."""
    order = [(*STEPS, *HALVES).index(strength) for strength in FINE]
    values, identity = ((steps.values, halves.values), (steps.identity, halves.identity))
    return Stimulus(values=torch.cat(values)[order], identity=torch.cat(identity)[order])


def longest_unit(own: Tensor, share: float) -> float:
    """The largest part of a direction, in steps of 0.05 from 0.3 to 1, in whose units a share of the faces follows.

    Args:
        own: (S, N) readings at the strengths `FINE`, between which they are taken to be straight lines.
        share: Of the faces, that should rise with every step of one from -3 to +3, but for `SET_BACK`.

    Returns:
        0 if there is none.
    """
    for twentieths in range(20, 5, -1):
        at = np.array(STEPS) * (twentieths / 20)
        curves = np.stack([np.interp(at, FINE, curve) for curve in own.numpy().T], axis=1)
        if (np.diff(curves, axis=0) > -SET_BACK).all(0).mean() >= share:
            return twentieths / 20
    return 0.0


def recognised_unit(identity: Tensor, cosine: float) -> float:
    """The largest part of a direction, up to 1, in whose units a face edited by ±2 is still like itself.

    Args:
        identity: (S, N, D) embeddings of unit length at the strengths `FINE`.
        cosine: Least mean cosine with the unedited face, of both ways together.
    """
    middle = FINE.index(0.0)
    cosines = (identity * identity[middle]).sum(2).mean(1)
    both = (cosines[middle:] + cosines[: middle + 1].flip(0)) / 2
    falling = both.cummin(0).values.flip(0).numpy()
    return min(1.0, float(np.interp(cosine, falling, (*FINE[:middle:-1], 0.0))) / 2)


def figures(reader: Reader, stimulus: Stimulus, name: str) -> EditFigures:
    """The figures of an edit of the reader's value `name`, looked at at the strengths `STEPS`."""
    column = reader.names.index(name)
    own = standardised(reader, stimulus.values)[..., column]
    at = {strength: index for index, strength in enumerate(STEPS)}
    change = (stimulus.values[at[2.0]] - stimulus.values[at[-2.0]]).mean(0)[: reader.attributes]
    moved = float((own[at[2.0]] - own[at[-2.0]]).mean())
    others = change.abs()
    if column < reader.attributes:
        others[column] = 0
    face = stimulus.identity[at[0.0]]
    cosines = [(stimulus.identity[at[strength]] * face).sum(1).mean() for strength in (-2.0, 2.0)]
    return EditFigures(
        monotone=float((own.diff(dim=0) > -SET_BACK).all(0).double().mean()),
        response=tuple(round(float(change), 3) for change in (own - own[at[0.0]]).mean(1)),
        effect=float((own[at[1.0]] - own[at[-1.0]]).mean() / 2),
        strong_effect=float((own[at[2.0]] - own[at[0.0]]).mean()),
        leakage=float(others.max() / max(abs(moved), 1e-6)) if reader.attributes else 0.0,
        leaks_into=reader.names[int(others.argmax())] if reader.attributes else "",
        identity=float(torch.stack(cosines).mean()) if face.shape[1] else float("nan"),
    )


def standardised(reader: Reader, values: Tensor) -> Tensor:
    """Readings (S, N, V), unedited in the middle, with the proportions in standard deviations of the unedited faces."""
    scale = values[len(values) // 2].std(0)
    scale[: reader.attributes] = 1
    return values / scale.clamp_min(1e-6)
