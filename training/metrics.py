"""The figures that say how good a network is."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
EYES = (slice(36, 42), slice(42, 48))


def landmark_error(found: Floats, true: Floats) -> Floats:
    """Normalised mean error of every face: mean distance over the distance of the eyes' centres.

    Args:
        found: (N, 68, 2).
        true: (N, 68, 2).

    Returns:
        (N,).
    """
    eyes = np.linalg.norm(true[:, EYES[0]].mean(1) - true[:, EYES[1]].mean(1), axis=-1)
    return np.linalg.norm(found - true, axis=-1).mean(1) / eyes


def confusion(found: NDArray[np.integer], true: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Pixel counts (classes, classes), true class by found class."""
    pairs = true.astype(np.int64).ravel() * classes + found.astype(np.int64).ravel()
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def intersection_over_union(counts: NDArray[np.int64]) -> Floats:
    """IoU per class (classes,) of a confusion matrix; NaN for classes that do not occur."""
    both, true, found = np.diag(counts), counts.sum(1), counts.sum(0)
    with np.errstate(invalid="ignore"):
        return np.where(true > 0, both / (true + found - both), np.nan)


def verification_accuracy(embeddings: Floats, identities: NDArray[np.integer], seed: int = 0) -> float:
    """Accuracy at telling pairs of one person from pairs of two, as many of each.

    The threshold is chosen on one half of the pairs and the accuracy measured on the other, both ways, as LFW
    does.

    Args:
        embeddings: (N, D), unit length.
        identities: (N,).
        seed: Draws the pairs.
    """
    scores, same = _pairs(embeddings, identities, np.random.default_rng(seed))
    half = np.arange(len(scores)) % 2 == 0
    return float(np.mean([_accuracy(scores, same, chosen) for chosen in (half, ~half)]))


def _pairs(
    embeddings: Floats, identities: NDArray[np.integer], rng: np.random.Generator
) -> tuple[Floats, NDArray[np.bool_]]:
    first, second = np.triu_indices(len(identities), 1)
    same = identities[first] == identities[second]
    count = min(int(same.sum()), 20000)
    kept = np.concatenate(
        [rng.choice(np.flatnonzero(chosen), count, replace=False) for chosen in (same, ~same)]
    )
    rng.shuffle(kept)
    return (embeddings[first[kept]] * embeddings[second[kept]]).sum(1), same[kept]


def _accuracy(scores: Floats, same: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> float:
    """Accuracy on the pairs not chosen, at the threshold that is best on those chosen."""
    order = np.argsort(scores[chosen])
    ordered = same[chosen][order]
    # Right with a threshold below item k: pairs of two people before it, pairs of one from it on.
    right = np.concatenate([[0], np.cumsum(~ordered)]) + np.concatenate([np.cumsum(ordered[::-1])[::-1], [0]])
    bounds = np.concatenate([[-np.inf], scores[chosen][order]])
    return float(((scores[~chosen] > bounds[int(right.argmax())]) == same[~chosen]).mean())


def explained_variance(found: Floats, true: Floats) -> Floats:
    """R² per column (K,) of found (N, K) against true (N, K): 1 is perfect, 0 no better than the mean."""
    return 1 - ((found - true) ** 2).sum(0) / ((true - true.mean(0)) ** 2).sum(0)


def psnr(found: Floats, true: Floats) -> Floats:
    """Peak signal-to-noise ratio in dB of every picture (N,), for values in [-1, 1]."""
    error = ((found.clip(-1, 1) - true) ** 2).reshape(len(true), -1).mean(1)
    return 10 * np.log10(4 / np.maximum(error, 1e-10))


def detail(images: Floats) -> float:
    """Root mean square of the Laplacian of pictures (N, C, H, W): what is lost where they are soft."""
    inner = images[..., 1:-1, 1:-1]
    around = images[..., 1:-1, :-2] + images[..., 1:-1, 2:] + images[..., :-2, 1:-1] + images[..., 2:, 1:-1]
    return float(np.sqrt(np.square(around - 4 * inner).mean()))
