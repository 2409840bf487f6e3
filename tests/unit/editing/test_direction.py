"""A step along a direction goes as far as is asked, but not past the faces that the generator knows."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seamline.algorithm import Algorithm
from seamline.bundles import Bundle, load_bundle, put_directions
from seamline.editing.direction import moved, position
from seamline.editing.edit import apply, planned
from seamline.v1.media_pb2 import Edit
from tests.fakes.bundle import tiny_bundle

LOW, HIGH = -1.5, 2.0
STRENGTHS = st.floats(-5, 5)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Whose smile ends, and whose age does not."""
    made = tiny_bundle(tmp_path_factory.mktemp("bundles"))
    edits = [replace(made.edits["smile"], ends=(LOW, HIGH)), made.edits["age"]]
    put_directions(made.directory, {name: tensor.cpu() for name, tensor in made.directions.items()}, edits)
    return load_bundle(made.name, made.directory.parent)


def at(bundle: Bundle, *places: float, name: str = "smile") -> torch.Tensor:
    """Codes that far along a direction, and elsewhere besides."""
    direction = bundle.directions[name]
    noise = torch.randn(len(places), *direction.shape, generator=torch.Generator().manual_seed(0))
    noise -= ((noise * direction).sum((1, 2)) / direction.square().sum())[:, None, None] * direction
    return bundle.latent_avg + noise + torch.tensor(places)[:, None, None] * direction


def test_positions_are_counted_from_the_average_face(bundle: Bundle) -> None:
    places = [-3.0, 0.0, 1.25]
    found = position(bundle, bundle.directions["smile"], at(bundle, *places))
    torch.testing.assert_close(found, torch.tensor(places), atol=1e-4, rtol=0)


@given(place=st.floats(-4, 4), strength=STRENGTHS)
def test_a_face_stops_at_the_end_and_never_goes_the_other_way(bundle: Bundle, place: float, strength: float) -> None:
    codes = at(bundle, place)
    edited = moved(bundle, "smile", codes, torch.tensor([strength]))
    reached = float(position(bundle, bundle.directions["smile"], edited))
    expected = min(place + strength, max(HIGH, place)) if strength > 0 else max(place + strength, min(LOW, place))
    assert reached == pytest.approx(expected, abs=1e-3)
    rest = edited - codes - (reached - place) * bundle.directions["smile"]
    assert rest.abs().max() < 1e-3  # it moves along the direction only


@given(place=st.floats(-4, 4), one=STRENGTHS, other=STRENGTHS)
def test_a_stronger_edit_never_does_less(bundle: Bundle, place: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    edited = moved(bundle, "smile", at(bundle, place, place)[[0, 0]], torch.tensor([low, high]))
    less, more = position(bundle, bundle.directions["smile"], edited).tolist()
    assert more >= less - 1e-4


def test_every_face_has_its_own_way_to_go(bundle: Bundle) -> None:
    edited = moved(bundle, "smile", at(bundle, 0, 1.5, 3), torch.tensor([1.0, 1.0, -4.0]))
    found = position(bundle, bundle.directions["smile"], edited)
    torch.testing.assert_close(found, torch.tensor([1.0, HIGH, -1.0]), atol=1e-4, rtol=0)


def test_an_edit_without_ends_goes_all_the_way(bundle: Bundle) -> None:
    codes = at(bundle, 3.5, name="age")
    edited = moved(bundle, "age", codes, torch.tensor([4.0]))
    torch.testing.assert_close(edited, codes + 4 * bundle.directions["age"])


def test_stitch_it_in_times_edit_takes_the_whole_step(bundle: Bundle) -> None:
    codes, edits = at(bundle, 1.5), planned([Edit(name="smile", strength=3)], bundle)
    own, stit = (apply(bundle, edits, codes, [0.0], algorithm).codes for algorithm in Algorithm)
    direction = bundle.directions["smile"]
    torch.testing.assert_close(own, codes + 0.5 * direction, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(stit, codes + 3 * direction, atol=1e-4, rtol=1e-4)
