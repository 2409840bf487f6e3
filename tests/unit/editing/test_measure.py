from math import acos

import pytest
import torch

from seamline.editing.measure import (
    FINE,
    HALVES,
    STEPS,
    Stimulus,
    figures,
    interleaved,
    longest_unit,
    look,
    recognised_unit,
)
from seamline.editing.reading import PROPORTIONS, Reader
from tests.fakes.bundle import tiny_bundle


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return Reader(tiny_bundle(tmp_path_factory.mktemp("bundles")))


def stimulus(reader: Reader, own: torch.Tensor, other: torch.Tensor) -> Stimulus:
    """Readings (S, N) of smile and age; identity turns by a tenth of a radian per unit of strength."""
    values = torch.rand((*own.shape, len(reader.names)), generator=torch.Generator().manual_seed(0))
    values[..., 0], values[..., 1] = own, other
    angles = torch.tensor(STEPS)[:, None].expand(-1, own.shape[1]) / 10
    return Stimulus(values=values, identity=torch.stack([angles.cos(), angles.sin()], -1))


def test_figures_are_those_of_the_readings(reader):
    strengths = torch.tensor(STEPS)[:, None].expand(-1, 4)
    found = figures(reader, stimulus(reader, 0.8 * strengths, -0.2 * strengths), "smile")
    assert found.monotone == 1
    assert found.effect == pytest.approx(0.8)
    assert found.strong_effect == pytest.approx(1.6)
    assert (found.leakage, found.leaks_into) == (pytest.approx(0.25), "age")
    assert found.identity == pytest.approx(torch.cos(torch.tensor(0.2)))
    assert found.response == pytest.approx([0.8 * strength for strength in STEPS])


def test_faces_that_go_back_do_not_follow(reader):
    own = torch.tensor(STEPS)[:, None].repeat(1, 4)
    own[-1, 0] = own[-2, 0] - 0.5  # one face falls back at the last step
    one = stimulus(reader, own, torch.zeros_like(own))
    assert figures(reader, one, "smile").monotone == 0.75


def test_strengths_in_between_come_in_order():
    steps, halves = (torch.tensor(strengths)[:, None, None].expand(-1, 2, 3) for strengths in (STEPS, HALVES))
    both = interleaved(Stimulus(values=steps, identity=-steps), Stimulus(values=halves, identity=-halves))
    assert both.values[:, 1, 2].tolist() == [-(value) for value in both.identity[:, 0, 0].tolist()] == list(FINE)


def test_the_unit_is_as_long_as_faces_follow():
    own = torch.tensor(FINE)[:, None].repeat(1, 4)
    own[FINE.index(2.0) :, 0] = 2.0 - torch.tensor([0.0, 0.5, 1.0])  # one face goes back from 2 on
    assert longest_unit(own, 0.75) == 1
    assert longest_unit(own, 0.95) == 0.8  # from 1.6 to 2.4 it stands still: there and back
    assert longest_unit(-own, 0.95) == 0


def test_the_unit_is_as_long_as_faces_are_recognised():
    angles = torch.tensor(FINE)[:, None].expand(-1, 4) / 3
    identity = torch.stack([angles.cos(), angles.sin()], -1)
    assert recognised_unit(identity, 0.5) == 1
    found = recognised_unit(identity, 0.8)  # the cosine of 2/3 is 0.786
    assert found == pytest.approx(1.5 * acos(0.8), abs=0.02)
    assert found < 1


def test_a_move_is_read_at_every_strength(reader):
    codes = torch.zeros(2, 10, 16)
    asked = []

    def move(ws: torch.Tensor, strength: float) -> torch.Tensor:
        asked.append(strength)
        return ws + strength

    face = reader.see(codes)
    found = look(reader, codes, move, face)
    assert asked == [strength for strength in STEPS if strength]
    assert found.values.shape == (len(STEPS), 2, len(reader.names))
    assert torch.equal(found.values[STEPS.index(0.0)], face.values)
    torch.testing.assert_close(found.identity.norm(dim=2), torch.ones(len(STEPS), 2))


def test_proportions_do_not_depend_on_where_and_how_large_a_face_is():
    points = torch.rand(3, 68, 2, generator=torch.Generator().manual_seed(1)) * 100
    for name, measure in PROPORTIONS.items():
        torch.testing.assert_close(measure(points), measure(3 * points + 7), msg=name)


def test_wider_set_eyes_have_the_larger_distance():
    points = torch.rand(1, 68, 2, generator=torch.Generator().manual_seed(1)) * 10
    points[:, 42:48, 0] += 50
    points[:, 16, 0] += 100
    wider = points.clone()
    wider[:, 42:48, 0] += 5
    assert PROPORTIONS["eye_distance"](wider) > PROPORTIONS["eye_distance"](points)
