"""What an edit does to faces that it was not fitted on."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from seamline.editing.reading import Reader, Seen

STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Strengths at which an edit is looked at."""
SET_BACK = 0.1
"""A step may take back so much of an attribute, in standard deviations: at the end of what a generator can draw, the
reading stands still and trembles."""
Move = Callable[[Tensor, float], Tensor]
"""Codes (N, L, w_dim) and a strength to edited codes."""


@dataclass(frozen=True, kw_only=True)
class EditFigures:
    """What an edit does. Values are in standard deviations, of faces for proportions."""

    low: float
    high: float
    """Strengths between which it was measured."""
    monotone: float
    """Share of the faces whose reading rises with every step of one between them, but for `SET_BACK`."""
    response: tuple[float, ...]
    """Mean change of the reading at every strength between them."""
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
    """Readings (S, N, V) and embeddings (S, N, D) of N faces at the strengths `STEPS`."""

    values: Tensor
    identity: Tensor


def look(reader: Reader, codes: Tensor, move: Move, face: Seen | None = None) -> Stimulus:
    """Edit the faces of codes (N, L, w_dim) by all `STEPS` and read them; `face` is what is seen on them unedited."""
    seen = [face if face and not strength else reader.see(move(codes, strength)) for strength in STEPS]
    return Stimulus(
        values=torch.stack([one.values for one in seen]), identity=torch.stack([one.identity for one in seen])
    )


def span(stimulus: Stimulus, own: Tensor, share: float) -> tuple[float, float]:
    """The widest strengths up to which at least a share of the faces follows in steps of one: own (S, N) readings."""
    middle = STEPS.index(0.0)
    down, up = own[: middle + 1].flip(0), own[middle:]
    return -_reach(-down, share), _reach(up, share)


def _reach(rising: Tensor, share: float) -> float:
    follows = (rising.diff(dim=0) > -SET_BACK).cumprod(0).float().mean(1)
    return float((follows >= share).cumprod(0).sum())


def figures(
    reader: Reader, stimulus: Stimulus, name: str, low: float = STEPS[0], high: float = STEPS[-1]
) -> EditFigures:
    """The figures of an edit of the reader's value `name`, whose strengths go from low to high."""
    column = reader.names.index(name)
    own = standardised(reader, stimulus.values)[..., column]
    inside = [index for index, strength in enumerate(STEPS) if low <= strength <= high]
    at = {strength: index for index, strength in enumerate(STEPS)}
    change = (stimulus.values[at[2.0]] - stimulus.values[at[-2.0]]).mean(0)[: reader.attributes]
    moved = float((own[at[2.0]] - own[at[-2.0]]).mean())
    others = change.abs()
    if column < reader.attributes:
        others[column] = 0
    face = stimulus.identity[at[0.0]]
    cosines = [(stimulus.identity[at[strength]] * face).sum(1).mean() for strength in (-2.0, 2.0)]
    return EditFigures(
        low=low,
        high=high,
        monotone=float((own[inside].diff(dim=0) > -SET_BACK).all(0).double().mean()),
        response=tuple(round(float(change), 3) for change in (own - own[at[0.0]]).mean(1)[inside]),
        effect=float((own[at[1.0]] - own[at[-1.0]]).mean() / 2),
        strong_effect=float((own[at[2.0]] - own[at[0.0]]).mean()),
        leakage=float(others.max() / max(abs(moved), 1e-6)) if reader.attributes else 0.0,
        leaks_into=reader.names[int(others.argmax())] if reader.attributes else "",
        identity=float(torch.stack(cosines).mean()) if face.shape[1] else float("nan"),
    )


def standardised(reader: Reader, values: Tensor) -> Tensor:
    """Readings (S, N, V) with the proportions in standard deviations of the unedited faces."""
    scale = values[STEPS.index(0.0)].std(0)
    scale[: reader.attributes] = 1
    return values / scale.clamp_min(1e-6)
