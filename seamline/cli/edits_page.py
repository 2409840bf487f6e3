"""A page with a picture of every edit of a bundle, drawn here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seamline.bundles import Bundle
from seamline.client.abilities import abilities
from seamline.editing.edit import apply, planned
from seamline.networks import Generator
from seamline.report import data_uri, render
from seamline.tuning import to_pixels
from seamline.v1.editor_pb2 import EditInfo
from seamline.v1.media_pb2 import Edit, EditMethod

STRENGTHS = (-3.0, -1.5, 0.0, 1.5, 3.0)
SIDE = 192
"""Of a picture, in pixels."""
SEED, CANDIDATES = 4, 64
"""Of the faces sampled, the one nearest to the average is shown."""
TRUNCATION = 0.7
"""How far from the average faces are sampled, 1 for as far as the generator was trained to go."""
METHODS = {
    EditMethod.EDIT_METHOD_DIRECTION: "along the direction",
    EditMethod.EDIT_METHOD_LATENT_TRANSFORMER: "by the latent transformer (:lt)",
}


@dataclass(frozen=True, kw_only=True)
class Face:
    """One picture."""

    label: str
    picture: str
    """data: URI."""


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One edit at several strengths."""

    method: str
    """Empty where there is only one."""
    faces: Sequence[Face]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One edit."""

    name: str
    description: str
    low: float
    high: float
    strips: Sequence[Strip]


def write_edits_page(path: Path, bundle: Bundle) -> None:
    """Writes the page of a bundle's edits: one HTML file with all pictures inside."""
    codes = calm_face(bundle)
    sections = [_section(bundle, codes, edit) for edit in abilities(bundle).edits]
    path.parent.mkdir(parents=True, exist_ok=True)
    page = render("edits.html.j2", bundle=bundle.name, columns=len(STRENGTHS), edits=sections)
    path.write_text(page, encoding="utf-8")


@torch.no_grad()
def calm_face(bundle: Bundle) -> Tensor:
    """Codes (1, L, w_dim) of a sampled face without extremes; the same at every call."""
    generator = cast(Generator, bundle.module("generator"))
    draws = torch.Generator().manual_seed(SEED)
    z = torch.randn(CANDIDATES, generator.config.z_dim, generator=draws).to(bundle.device)
    codes = generator.mapping(z, TRUNCATION)
    return codes[(codes - bundle.latent_avg).square().mean((1, 2)).argmin()][None]


def _section(bundle: Bundle, codes: Tensor, edit: EditInfo) -> Section:
    return Section(
        name=edit.name,
        description=edit.description,
        low=edit.min_strength,
        high=edit.max_strength,
        strips=[
            Strip(method=METHODS[method] if len(edit.methods) > 1 else "", faces=_faces(bundle, codes, edit, method))
            for method in edit.methods
        ],
    )


def _faces(bundle: Bundle, codes: Tensor, edit: EditInfo, method: EditMethod.ValueType) -> list[Face]:
    strengths = sorted({min(max(s, edit.min_strength), edit.max_strength) for s in STRENGTHS})
    edits = [Edit(name=edit.name, strength=strength, method=method) for strength in strengths]
    images = to_pixels(draw(bundle, codes, edits))
    return [
        Face(label=f"{strength:+g}", picture=data_uri(image)) for strength, image in zip(strengths, images, strict=True)
    ]


@torch.no_grad()
def draw(bundle: Bundle, codes: Tensor, edits: Sequence[Edit]) -> Tensor:
    """The face of `codes` (1, L, w_dim) after each of the edits on its own: (N, 3, SIDE, SIDE) in [-1, 1]."""
    generator = cast(Generator, bundle.module("generator"))
    edited = [apply(bundle, planned([edit], bundle), codes, np.zeros(1)) for edit in edits]
    faces = torch.cat([generator.synthesis_from_styles(each.styles_in(generator)) for each in edited])
    return F.interpolate(faces, (SIDE, SIDE), mode="area")
