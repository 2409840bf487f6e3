import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seamline_aligner.follower import Observation
from seamline_aligner.landmarks.backend import Face
from seamline_aligner.observations import Observations
from seamline_aligner.tracks import Track, bridge, track_shot

from seamline.geometry import smooth_quads
from tests.fakes.painted_faces import FACE_SHAPE

Square = tuple[float, float, float]


def seen(frames: list[list[Square]]) -> Observations:
    """What is seen when each frame shows these squares (left, top, side)."""
    faces = [
        [
            Observation(
                face=Face(box=(x, y, x + side, y + side), score=0.9),
                landmarks=np.array((x, y)) + FACE_SHAPE * side,
            )
            for x, y, side in squares
        ]
        for squares in frames
    ]
    return Observations.of(0, faces, [np.zeros(4, np.float32)] * len(frames))


def track(frames: list[list[Square]], *, start: int = 0, end: int | None = None, gap: int = 12) -> Track | None:
    return track_shot(
        seen(frames), start, len(frames) if end is None else end,
        center_sigma=1.0, axes_sigma=3.0, max_gap_frames=gap,
    )  # fmt: skip


def lefts(found: Track | None) -> list[int]:
    """Left sides of the squares that a track follows."""
    assert found is not None
    sides = (found.landmarks[:, 42] - found.landmarks[:, 36])[:, 0] / 0.4
    return np.rint(found.landmarks[:, 36, 0] - 0.3 * sides).astype(int).tolist()


def test_two_faces_that_pass_each_other_are_not_mixed_up() -> None:
    frames = [[(10 * number, 0, 50), (300 - 10 * number, 40, 40)] for number in range(30)]
    for number, squares in enumerate(frames):
        squares.reverse() if number % 2 else None
    assert lefts(track(frames)) == [10 * number for number in range(30)]


def test_the_largest_face_for_the_longest_time_is_followed() -> None:
    passer_by = [[(100.0, 0.0, 40.0)] + ([(300.0, 0.0, 60.0)] if 5 <= n < 10 else []) for n in range(30)]
    assert set(lefts(track(passer_by))) == {100}
    host = [[(100.0, 0.0, 40.0)] + ([(300.0, 0.0, 60.0)] if n >= 5 else []) for n in range(30)]
    assert set(lefts(track(host))) == {300}


def test_only_frames_of_the_shot_count() -> None:
    frames = [[(100.0, 0.0, 80.0)]] * 10 + [[(200.0, 0.0, 40.0)]] * 6
    found = track(frames, start=10)
    assert found is not None
    assert found.frames.tolist() == list(range(10, 16))
    assert set(lefts(found)) == {200}


def test_a_face_of_two_frames_is_an_error_of_the_detector() -> None:
    frames: list[list[Square]] = [[] for _ in range(20)]
    frames[4] = frames[5] = [(10.0, 10.0, 90.0)]
    assert track(frames) is None
    assert track(frames, start=4, end=6) is not None


def test_a_face_that_moves_while_it_is_missing_is_the_same() -> None:
    frames: list[list[Square]] = [[(10.0 + 3 * n, 0.0, 50.0)] if not 10 <= n < 20 else [] for n in range(30)]
    found = track(frames)
    assert found is not None
    assert found.frames.tolist() == list(range(30))
    assert found.detected.tolist() == [not 10 <= n < 20 for n in range(30)]
    assert lefts(found) == [10 + 3 * n for n in range(30)]


def test_frames_of_a_long_gap_are_not_edited_and_each_run_is_smoothed_alone() -> None:
    frames: list[list[Square]] = [[(10.0 + n * n % 5, 0.0, 50.0)] if not 10 <= n < 20 else [] for n in range(30)]
    found = track(frames, gap=9)
    assert found is not None
    assert found.frames.tolist() == [*range(10), *range(20, 30)]
    assert found.detected.all()
    np.testing.assert_array_equal(found.quads[:10], smooth_quads(found.landmarks[:10]))
    np.testing.assert_array_equal(found.quads[10:], smooth_quads(found.landmarks[10:]))


@given(st.lists(st.integers(0, 200), min_size=1, max_size=20, unique=True).map(sorted), st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_bridging_keeps_what_was_found_and_fills_short_gaps_linearly(numbers: list[int], gap: int) -> None:
    frames = np.array(numbers, np.int32)
    landmarks = np.repeat(frames.astype(np.float32)[:, None, None], 68, 1).repeat(2, 2)
    every, points, found = bridge(frames, landmarks, gap)
    assert every[found].tolist() == numbers
    np.testing.assert_allclose(points[:, 0, 0], every, atol=1e-4)
    steps = np.diff(every)
    assert np.all((steps == 1) | (steps > gap + 1))
    assert len(every) == len(set(every.tolist()))


def test_observations_survive_storing_byte_for_byte() -> None:
    one = seen([[(1.5, 2.0, 40.0)], [], [(3.0, 4.0, 50.0), (100.0, 4.0, 30.0)]])
    again = Observations.from_bytes(one.to_bytes())
    assert again.to_bytes() == one.to_bytes()
    assert again.frames.tolist() == [0, 2, 2]
    nothing = seen([[], []])
    assert Observations.from_bytes(nothing.to_bytes()).landmarks.shape == (0, 68, 2)
    assert Observations.joined([one, nothing]).signatures.shape == (5, 4)


@pytest.mark.parametrize("count", [1, 2])
def test_the_shortest_shots_have_tracks(count: int) -> None:
    found = track([[(10.0, 10.0, 50.0)]] * count)
    assert found is not None
    assert len(found.quads) == count
