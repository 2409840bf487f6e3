"""The strength of an edit at any moment, from its strength at a few."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Keyframes = Sequence[tuple[float, float]]
"""(seconds, strength), seconds ascending."""


def strength_at(keyframes: Keyframes, seconds: ArrayLike) -> NDArray[np.float64]:
    """Strengths at some moments: eased between two keyframes, held before the first and after the last.

    The easing is smoothstep, 3t² - 2t³: an edit starts and stops moving without a jerk.

    Args:
        keyframes: at least one, seconds strictly ascending.
        seconds: (N,) since the video's first frame.

    Returns:
        (N,), at a keyframe exactly its strength.
    """
    moments = np.asarray(seconds, np.float64)
    times, strengths = np.asarray(keyframes, np.float64).T
    after = np.searchsorted(times, moments, side="right").clip(max=len(times) - 1)
    before = (after - 1).clip(min=0)
    span = times[after] - times[before]
    passed = np.divide(moments - times[before], span, out=np.zeros_like(moments), where=span > 0).clip(0, 1)
    share = passed**2 * (3 - 2 * passed)
    return strengths[before] * (1 - share) + strengths[after] * share
