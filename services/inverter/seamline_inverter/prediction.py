"""One generator for a track without optimising: the hypernetwork's filters (HyperStyle, Alaluf et al. 2022,
arXiv:2111.15666), and the best layers to RGB for them, in closed form.

HyperStyle gives every picture filters of its own. A track has one face, so each pass looks at several of its crops,
all drawn by the one generator that the passes before have made, and their mean is what changes it next. A face far from
what the hypernetwork has seen may come out worse for it: then the filters stay as they are.
"""

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor

from seamline.bundles import Bundle
from seamline.errors import Precondition
from seamline.networks import Generator
from seamline.networks.hyperstyle import PASSES, HyperStyle, Offsets, accumulate, refined_weights
from seamline.tuning import Precision, compute
from seamline_inverter.rgb_fit import fit_rgb

CROPS = 8
"""Crops of a track, spread evenly over it, that are looked at."""


def hypernetwork_of(bundle: Bundle) -> HyperStyle:
    """The bundle's hypernetwork.

    Raises:
        Precondition: it has none.
    """
    if not bundle.has("hyperstyle"):
        raise Precondition(
            f"bundle {bundle.name} has no hypernetwork, which the method hyperstyle takes; ask for pti, or put one "
            "into the bundle with python -m training.hyperstyle and python -m training.pack",
            field="options.method",
            bundle=bundle.name,
        )
    return cast(HyperStyle, bundle.module("hyperstyle"))


def predicted_weights(
    hypernetwork: HyperStyle,
    generator: Generator,
    images: Tensor,
    codes: Tensor,
    precision: Precision,
    on_pass: Callable[[], None],
) -> Mapping[str, Tensor]:
    """Filters that fit all pictures together.

    Args:
        hypernetwork: trained for the generator.
        generator: is left as it is.
        images: (B, 3, R, R) in [-1, 1].
        codes: (B, L, w_dim), theirs.
        precision: of the networks' activations.
        on_pass: called after each of the `PASSES` passes; may raise.

    Returns:
        Filters (O, I, 3, 3) by name in the synthesis network.
    """
    offsets = Offsets()
    with torch.no_grad():
        for _ in range(PASSES):
            weights = refined_weights(generator, offsets)
            with compute(images.device, precision):
                drawn = generator.synthesis(codes, weights=weights)
                seen = hypernetwork(images, drawn)
            offsets = accumulate(offsets, {name: offset.mean(0) for name, offset in seen.items()})
            on_pass()
        return refined_weights(generator, offsets)


def fit(
    hypernetwork: HyperStyle,
    generator: Generator,
    images: Tensor,
    codes: Tensor,
    precision: Precision,
    on_pass: Callable[[], None],
) -> None:
    """Changes a generator so that it draws pictures better; arguments as for `predicted_weights`."""
    parameters = dict(generator.synthesis.named_parameters())
    found: list[tuple[float, dict[str, Tensor]]] = []
    own = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    predicted = predicted_weights(hypernetwork, generator, images, codes, precision, on_pass)
    for filters in (own, {**own, **predicted}):
        _assign(parameters, filters)
        fit_rgb(generator, images, codes, precision)
        error = _error(generator, images, codes, precision)
        found.append((error, {name: parameter.detach().clone() for name, parameter in parameters.items()}))
    _assign(parameters, min(found, key=lambda one: one[0])[1])


def _assign(parameters: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, weight in weights.items():
            parameters[name].copy_(weight)


def _error(generator: Generator, images: Tensor, codes: Tensor, precision: Precision) -> float:
    with torch.no_grad(), compute(images.device, precision):
        drawn = generator.synthesis(codes)
    return (drawn - images).square().mean().item()
