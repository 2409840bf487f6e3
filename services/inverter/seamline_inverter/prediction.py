"""One generator for a track from a few of its crops, at a cost that does not grow with the track: the hypernetwork's
filters (HyperStyle, Alaluf et al. 2022, arXiv:2111.15666), and a short tuning from there.

HyperStyle gives every picture filters of its own. A track has one face, so each pass looks at several of its crops,
all drawn by the one generator that the passes before have made, and their mean is what changes it next. A face far from
what the hypernetwork has seen may come out worse for it: then the filters stay as they are. What is still missing is
then learned from the same crops.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, count, islice
from math import cos, pi
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
RATE = 2.0
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


def predict(
    hypernetwork: HyperStyle,
    generator: Generator,
    images: Tensor,
    codes: Tensor,
    precision: Precision,
    on_pass: Callable[[], None],
) -> None:
    """Gives a generator the filters that fit all pictures together, if it draws them better with these.

    Arguments as for `predicted_weights`, but that the generator is changed.
    """
    predicted = predicted_weights(hypernetwork, generator, images, codes, precision, on_pass)
    before, after = (_error(generator, images, codes, precision, weights) for weights in (None, predicted))
    if after < before:
        parameters = dict(generator.synthesis.named_parameters())
        with torch.no_grad():
            for name, weight in predicted.items():
                parameters[name].copy_(weight)


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


def _error(
    generator: Generator, images: Tensor, codes: Tensor, precision: Precision, weights: Mapping[str, Tensor] | None
) -> float:
    with torch.no_grad(), compute(images.device, precision):
        drawn = generator.synthesis(codes, weights=weights)
    return (drawn - images).square().mean().item()
