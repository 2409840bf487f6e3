"""Edit directions from labelled faces: InterFaceGAN (Shen et al. 2020, arXiv:1907.10786).

A linear support vector machine parts the codes of faces that have much of an attribute from those that have little;
the normal of its plane is the direction. What an attribute comes along with in the sample (glasses with age) is taken
out by projection: the direction is made orthogonal to the normals of those attributes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from seamline.bundles import Bundle
from seamline.editing.reading import TOGETHER, Reader
from seamline.errors import InvalidInput, Precondition
from seamline.networks.stylegan2 import Generator

TRUNCATION = 0.7
"""Share of the way from the average code to a random one, as InterFaceGAN draws its faces."""
SHARE = 0.25
"""Faces at either end of the labels that are kept: those in between say little about the direction."""
LEAST_PER_SIDE = 20
"""Fewer faces on a side do not make a direction."""
SOFTNESS = 0.01
"""The machine's C on codes of unit spread: small, so that all codes have their say, not only those near the plane."""
LEAST_LEFT = 0.2
"""Least length of a unit normal after projection; less is the conditions' attribute itself."""


@dataclass(frozen=True, kw_only=True)
class Faces:
    """Random faces of a generator and what is seen on them."""

    codes: Tensor
    """(N, w_dim)."""
    values: Tensor
    """(N, V), as the reader's names say; (0, V) if they were not read."""
    names: tuple[str, ...]

    def labels(self, name: str) -> Tensor:
        """One of the readings (N,).

        Raises:
            InvalidInput: The bundle's networks do not read it.
        """
        if name not in self.names:
            raise InvalidInput(
                f"the bundle reads no {name!r}, only {', '.join(self.names) or 'nothing'}; give labels of your own",
                field="attribute",
            )
        return self.values[:, self.names.index(name)]


def random_codes(bundle: Bundle, count: int, seed: int) -> Tensor:
    """Codes (count, w_dim) of random faces; the first of them are the same for every count."""
    generator = cast(Generator, bundle.module("generator"))
    # NumPy's numbers come one after another; torch's depend on how many are asked for.
    z = torch.from_numpy(np.random.default_rng(seed).standard_normal((count, generator.config.z_dim), np.float32))
    with torch.no_grad():
        return generator.mapping(z.to(bundle.device), TRUNCATION)[:, 0].cpu()


def draw(bundle: Bundle, count: int, seed: int = 0, advance: Callable[[int], None] = lambda done: None) -> Faces:
    """Draw random faces and read them; `advance` is told how many more are done."""
    reader, codes, values = Reader(bundle), random_codes(bundle, count, seed), []
    for part in codes.split(TOGETHER):
        values.append(reader.see(part.to(bundle.device)[:, None].expand(-1, bundle.num_ws, -1)).values.cpu())
        advance(len(part))
    return Faces(codes=codes, values=torch.cat(values), names=reader.names)


def normal(codes: Tensor, labels: Tensor) -> Tensor:
    """Unit normal (w_dim,) of the plane between the faces with the lowest and the highest labels.

    Args:
        codes: (N, w_dim).
        labels: (N,); with two values only, all faces are used.

    Raises:
        InvalidInput: Too few faces are on a side.
        Precondition: scikit-learn is not installed.
    """
    try:
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise Precondition("fitting a direction needs scikit-learn; install seamline[fit]") from error
    low, high = sides(labels)
    if min(len(low), len(high)) < LEAST_PER_SIDE:
        raise InvalidInput(
            f"{len(low)} and {len(high)} faces on the two sides, at least {LEAST_PER_SIDE} each are needed; "
            "draw or label more",
            field="samples",
        )
    chosen = codes[torch.cat([low, high])].double()
    wanted = [0] * len(low) + [1] * len(high)
    machine = LinearSVC(C=SOFTNESS, dual="auto", class_weight="balanced", random_state=0, max_iter=10000)
    machine.fit(((chosen - chosen.mean(0)) / chosen.std()).numpy(), wanted)
    found = torch.from_numpy(machine.coef_[0]).float()
    return found / found.norm()


def sides(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of the faces with little and with much of it: both classes, or both ends of a scale."""
    if len(labels.unique()) == 2:
        return (labels == labels.min()).nonzero()[:, 0], (labels == labels.max()).nonzero()[:, 0]
    order, count = labels.argsort(), int(len(labels) * SHARE)
    return order[:count], order[len(labels) - count :]


def projected(direction: Tensor, conditions: Sequence[Tensor]) -> Tensor:
    """The unit direction (w_dim,) closest to a unit direction and orthogonal to all conditions, (w_dim,) each.

    Raises:
        InvalidInput: Nothing is left.
    """
    if not conditions:
        return direction
    basis = torch.linalg.qr(torch.stack(list(conditions), 1)).Q
    left = direction - basis @ (basis.T @ direction)
    if left.norm() < LEAST_LEFT:
        raise InvalidInput("the attribute is what its conditions are; leave a condition out", field="condition")
    return left / left.norm()


def fit(bundle: Bundle, faces: Faces, labels: Tensor, conditions: Mapping[str, Tensor] | None = None) -> Tensor:
    """A direction in W.

    Args:
        bundle: Of the faces.
        faces: Random faces.
        labels: (N,) of the attribute.
        conditions: Labels (N,) of what must not come along, by name.

    Returns:
        (num_ws, w_dim), by which a strength of 1 moves the label by one of its standard deviations as far as it
        follows the codes linearly; `calibrated` makes it so on pictures.
    """
    others = [normal(faces.codes, other) for other in (conditions or {}).values()]
    direction = projected(normal(faces.codes, labels), others)
    along, wanted = faces.codes @ direction, labels.float()
    slope = torch.cov(torch.stack([along, wanted]))[0, 1] / along.var()
    length = wanted.std() / slope.clamp_min(wanted.std() / (4 * along.std()))
    return (length * direction).expand(bundle.num_ws, -1).clone()


def calibrated(bundle: Bundle, direction: Tensor, name: str, deviation: float, seed: int = 1) -> Tensor:
    """Scale a direction (num_ws, w_dim) so that strengths of -1 and +1 lie two deviations of what is read apart."""
    reader = Reader(bundle)
    codes = random_codes(bundle, 2 * TOGETHER, seed).to(bundle.device)[:, None].expand(-1, bundle.num_ws, -1)
    column, offset = reader.names.index(name), direction.to(bundle.device)
    up, down = (reader.see(codes + sign * offset).values[:, column].mean() for sign in (1, -1))
    effect = float(up - down) / 2 / deviation
    # One that is hardly seen is not enlarged until it breaks the face.
    return direction / max(effect, 0.25)
