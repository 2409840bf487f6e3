"""Strength over time: exact at the keyframes, smooth between them, held outside."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.editing.keyframes import strength_at

STRENGTHS = st.floats(-10, 10)
KEYFRAMES = st.dictionaries(st.integers(0, 1_000_000), STRENGTHS, min_size=1, max_size=12).map(
    lambda table: [(milliseconds / 1000, table[milliseconds]) for milliseconds in sorted(table)]
)


@given(KEYFRAMES)
def test_a_keyframe_has_exactly_its_strength(keyframes: list[tuple[float, float]]) -> None:
    seconds, strengths = zip(*keyframes, strict=True)
    assert strength_at(keyframes, seconds).tolist() == list(strengths)


@given(KEYFRAMES, st.floats(0, 1e6))
def test_held_before_the_first_and_after_the_last(keyframes: list[tuple[float, float]], away: float) -> None:
    first, last = strength_at(keyframes, [keyframes[0][0] - away, keyframes[-1][0] + away])
    assert (first, last) == (keyframes[0][1], keyframes[-1][1])


@given(KEYFRAMES, st.floats(0, 1000))
def test_continuous_and_never_beyond_its_neighbours(keyframes: list[tuple[float, float]], moment: float) -> None:
    here, soon = strength_at(keyframes, [moment, moment + 1e-9])
    strengths = [strength for _, strength in keyframes]
    assert min(strengths) - 1e-12 <= here <= max(strengths) + 1e-12
    # At most 20 of strength within a millisecond, at most 1.5 times as fast in its middle.
    assert abs(soon - here) <= 20 * 1.5 * 1e-9 / 1e-3 + 1e-9


@given(KEYFRAMES)
def test_starts_and_stops_without_a_jerk(keyframes: list[tuple[float, float]]) -> None:
    for seconds, strength in keyframes:
        near = strength_at(keyframes, [seconds - 1e-6, seconds + 1e-6])
        assert np.abs(near - strength).max() <= 20 * 3 * (1e-6 / 1e-3) ** 2 * 1.01


def test_smoothstep_between_two() -> None:
    moments = [0.0, 1.0, 1.25, 1.5, 2.0, 3.0]
    eased = strength_at([(1.0, 0.0), (2.0, 4.0)], moments)
    assert eased == pytest.approx([0, 0, 4 * (3 / 16 - 2 / 64), 2, 4, 4])


def test_a_single_keyframe_is_a_constant() -> None:
    assert strength_at([(0.0, 1.5)], np.linspace(0, 100, 7)).tolist() == [1.5] * 7
