"""One generator for a track from a few of its crops, at a cost that does not grow with the track: the hypernetwork's
filters (HyperStyle, Alaluf et al. 2022, arXiv:2111.15666), and a short tuning from there.

HyperStyle gives every picture filters of its own. A track has one face, so each pass looks at several of its crops,
all drawn by the one generator that the passes before have made, and their mean is what changes it next. Passes end when
one draws the crops worse than the last: of a face far from what the hypernetwork has seen, that may be the first. What
is still missing is then learned from the same crops.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, count, islice
from math import cos, inf, pi
from typing import cast

import torch
from torch import Tensor

from seamline.bundles import Bundle
from seamline.errors import Precondition
from seamline.networks import Generator
from seamline.networks.hyperstyle import PASSES, HyperStyle, Offsets, accumulate, refined_weights
from seamline.tuning import Precision, batch_order, compute
from seamline_inverter.pivotal_tuning import BatchFigures, PivotalTuning

CROPS = 16
"""Crops of a track, spread evenly over it, that are looked at."""
UPDATES, BATCH = 96, 2
"""Steps of the tuning, and crops in each."""
RATE = 3.0
"""Its largest step, of pivotal tuning's."""


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


@torch.no_grad()
def refinements(
    hypernetwork: HyperStyle, generator: Generator, images: Tensor, codes: Tensor, precision: Precision
) -> Iterator[tuple[Mapping[str, Tensor], float]]:
    """Looks at all pictures together, `PASSES` times.

    Args:
        hypernetwork: trained for the generator.
        generator: is left as it is.
        images: (B, 3, R, R) in [-1, 1].
        codes: (B, L, w_dim), theirs.
        precision: of the networks' activations.

    Yields:
        Filters (O, I, 3, 3) by name in the synthesis network, none at first, then those after each pass; and the mean
        squared error of what is drawn with them.
    """
    offsets = Offsets()
    for passes in range(PASSES + 1):
        weights = refined_weights(generator, offsets)
        with compute(images.device, precision):
            drawn = generator.synthesis(codes, weights=weights)
        yield weights, (drawn - images).square().mean().item()
        if passes < PASSES:
            with compute(images.device, precision):
                seen = hypernetwork(images, drawn)
            offsets = accumulate(offsets, {name: offset.mean(0) for name, offset in seen.items()})


def predict(
    hypernetwork: HyperStyle,
    generator: Generator,
    images: Tensor,
    codes: Tensor,
    precision: Precision,
    on_drawn: Callable[[], None],
) -> None:
    """Gives a generator the filters that fit all pictures together, by as many passes as make it draw them better.

    Arguments as for `refinements`, but that the generator is changed; `on_drawn` is called whenever the pictures have
    been drawn, up to `PASSES` + 1 times, and may raise.
    """
    kept: Mapping[str, Tensor] = {}
    least = inf
    for weights, error in refinements(hypernetwork, generator, images, codes, precision):
        on_drawn()
        if error >= least:
            break
        kept, least = weights, error
    with torch.no_grad():
        for name, weight in kept.items():
            generator.synthesis.get_parameter(name).copy_(weight)


def crop_batches(crops: int, seed: int | None) -> list[Tensor]:
    """Which of the crops each of the `UPDATES` looks at."""
    turns = (batch_order(crops, BATCH, seed=seed, turn=turn) for turn in count())
    return list(islice(chain.from_iterable(turns), UPDATES))


def tune_to_crops(
    tuning: PivotalTuning, images: Tensor, codes: Tensor, batches: Sequence[Tensor]
) -> Iterator[BatchFigures]:
    """Tunes a generator to a few crops by steps whose size falls to nothing, as no later pass evens them out.

    Args:
        tuning: of that generator.
        images: (B, 3, R, R) in [-1, 1].
        codes: (B, L, w_dim), theirs.
        batches: of them, see `crop_batches`.

    Yields:
        The figures of every batch, after its update.
    """
    for update, crops in enumerate(batches):
        tuning.scale_rate(RATE * (1 + cos(pi * update / len(batches))) / 2)
        yield tuning.update(codes[crops], images[crops], crops)
