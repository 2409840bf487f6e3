"""What is seen on the picture of a code: attributes, proportions of the face, and who it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from seamline.bundles import Bundle
from seamline.bundles.frozen import has_fast_bfloat16
from seamline.networks.arcface import face_window
from seamline.networks.stylegan2 import Generator

TOGETHER = 4
"""Pictures that are drawn at a time."""


def _distance(points: Tensor, one: int, other: int) -> Tensor:
    return (points[:, one] - points[:, other]).norm(dim=1)


def _eyes(points: Tensor) -> Tensor:
    return (points[:, 36:42].mean(1) - points[:, 42:48].mean(1)).norm(dim=1)


def _brows(points: Tensor) -> Tensor:
    heights = (points[:, 36:42].mean(1) - points[:, 17:22].mean(1), points[:, 42:48].mean(1) - points[:, 22:27].mean(1))
    return (heights[0] + heights[1])[:, 1] / 2


PROPORTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "eye_distance": lambda p: _eyes(p) / _distance(p, 0, 16),
    "eye_ratio": lambda p: (_distance(p, 36, 39) + _distance(p, 42, 45)) / (2 * _eyes(p)),
    "eye_eyebrow_distance": lambda p: _brows(p) / _eyes(p),
    "nose_ratio": lambda p: _distance(p, 27, 33) / _distance(p, 31, 35),
    "lip_ratio": lambda p: (_distance(p, 51, 62) + _distance(p, 66, 57)) / _distance(p, 48, 54),
    "mouth_ratio": lambda p: _distance(p, 48, 54) / _eyes(p),
    "face_ratio": lambda p: _distance(p, 27, 8) / _distance(p, 1, 15),
}
"""Proportions of 68 landmarks (N, 68, 2), each (N,): the eyes' distance over the face's width, their own width over
their distance, how high the brows are above them; length over width of nose, lips (height) and face; the mouth's
width over the eyes' distance. They witness what the attribute network does not read."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is seen on N pictures."""

    values: Tensor
    """(N, V): attributes in standard deviations, then proportions."""
    identity: Tensor
    """(N, D) embeddings of unit length; (N, 0) if the bundle has no identity network."""


class Reader:
    """Draws codes, and reads the pictures with the networks of a bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._generator = cast(Generator, bundle.module("generator"))
        attributes = ()
        if bundle.has("attributes"):
            attributes = bundle.config("attributes").names
        proportions = PROPORTIONS if bundle.has("landmarks") else {}
        self.attributes = len(attributes)
        """How many of the values are attributes; proportions follow."""
        self.names: tuple[str, ...] = (*attributes, *proportions)
        """What `Seen.values` holds."""

    @torch.inference_mode()
    def pictures(self, codes: Tensor) -> Tensor:
        """Codes (N, L, w_dim) to pictures (N, 3, R, R) in [-1, 1]."""
        device = codes.device.type
        with torch.autocast(device, torch.bfloat16, enabled=has_fast_bfloat16(codes.device)):
            drawn = [self._generator.synthesis(part, "none") for part in codes.split(TOGETHER)]
        return torch.cat(drawn).clamp(-1, 1)

    @torch.inference_mode()
    def see(self, codes: Tensor) -> Seen:
        """Read codes (N, L, w_dim)."""
        parts = [self._see(self.pictures(part)) for part in codes.split(TOGETHER)]
        return Seen(
            values=torch.cat([part.values for part in parts]), identity=torch.cat([part.identity for part in parts])
        )

    def _see(self, pictures: Tensor) -> Seen:
        values = []
        if self.attributes:
            values.append(self._bundle.infer("attributes", pictures))
        if self._bundle.has("landmarks"):
            points = self._bundle.infer("landmarks", pictures)
            values.append(torch.stack([measure(points) for measure in PROPORTIONS.values()], 1))
        identity = pictures.new_zeros(len(pictures), 0)
        if self._bundle.has("identity"):
            identity = F.normalize(self._bundle.infer("identity", face_window(pictures)))
        return Seen(values=torch.cat(values, 1) if values else identity[:, :0], identity=identity)
