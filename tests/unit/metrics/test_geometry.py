import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seamline_metrics.geometry import NAMES, face_geometry

_EYES = {36: -40, 39: -20, 42: 20, 45: 40}
_LIDS = {
    37: (-34, -4),
    38: (-26, -4),
    41: (-34, 4),
    40: (-26, 4),
    43: (26, -4),
    44: (34, -4),
    47: (26, 4),
    46: (34, 4),
}
_MOUTH = {48: (-20, 60), 54: (20, 60), 51: (0, 54), 57: (0, 66), 62: (0, 59), 66: (0, 61)}


def _face(**moved):
    """Landmarks (1, 68, 2) of a plain face looking straight ahead; `p48=(-25, 55)` moves a point."""
    points = torch.zeros(1, 68, 2)
    places = {index: (x, 0) for index, x in _EYES.items()} | _LIDS | _MOUTH
    places |= {int(name[1:]): place for name, place in moved.items()}
    for index, place in places.items():
        points[0, index] = torch.tensor(place, dtype=torch.float32)
    return points


def _named(landmarks):
    return dict(zip(NAMES, face_geometry(landmarks)[0].tolist(), strict=True))


PLAIN = _named(_face())


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("smile", {"p48": (-25, 60), "p54": (25, 60)}),
        ("smile", {"p48": (-20, 52), "p54": (20, 52)}),
        ("mouth_open", {"p62": (0, 55), "p66": (0, 65)}),
        ("eyes_open", {f"p{i}": (x, 2 * y) for i, (x, y) in _LIDS.items()}),
    ],
)
def test_each_distance_grows_with_its_own_move_alone(name, moved):
    changed = _named(_face(**moved))
    for other in NAMES:
        if other == name:
            assert changed[other] > PLAIN[other] + 0.05
        else:
            assert changed[other] == pytest.approx(PLAIN[other], abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.floats(-1.5, 1.5), st.floats(0.1, 10), st.floats(-500, 500))
def test_a_turned_larger_moved_face_measures_the_same(angle, scale, shift):
    cos, sin = math.cos(angle), math.sin(angle)
    turned = scale * _face() @ torch.tensor([[cos, sin], [-sin, cos]]) + shift
    assert _named(turned) == pytest.approx(PLAIN, abs=1e-3)
