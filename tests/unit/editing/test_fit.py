import pytest
import torch

from seamline.editing.fit import Faces, calibrated, draw, fit, normal, projected, random_codes, sides
from seamline.editing.reading import PROPORTIONS, Reader
from seamline.errors import InvalidInput
from tests.fakes.bundle import tiny_bundle

WIDE = 16


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


def sample(count: int = 600) -> torch.Tensor:
    return torch.randn(count, WIDE, generator=torch.Generator().manual_seed(0))


def axis(*entries: int) -> torch.Tensor:
    direction = torch.zeros(WIDE)
    direction[list(entries)] = 1
    return direction / direction.norm()


def test_the_normal_points_to_more_of_the_attribute():
    codes = sample()
    assert normal(codes, codes[:, 3]) @ axis(3) > 0.97
    assert normal(codes, -codes[:, 3]) @ axis(3) < -0.97
    assert normal(codes, (codes[:, 3] > 1).float()) @ axis(3) > 0.9


def test_two_classes_are_all_kept_and_of_a_scale_both_ends():
    low, high = sides(torch.tensor([0.0, 1, 1, 0, 1]))
    assert low.tolist() == [0, 3]
    assert high.tolist() == [1, 2, 4]
    low, high = sides(torch.arange(12.0))
    assert low.tolist() == [0, 1, 2]
    assert high.tolist() == [9, 10, 11]


def test_too_few_faces_on_a_side_make_no_direction():
    codes = sample(60)
    with pytest.raises(InvalidInput, match="5 and 55 faces"):
        normal(codes, (torch.arange(60) >= 5).float())


def test_projection_leaves_nothing_of_the_conditions():
    direction, conditions = axis(0, 1, 2), [axis(1), axis(1, 2)]
    left = projected(direction, conditions)
    assert all(abs(float(left @ condition)) < 1e-6 for condition in conditions)
    torch.testing.assert_close(left, axis(0))
    with pytest.raises(InvalidInput, match="leave a condition out"):
        projected(axis(1), conditions)


def test_a_strength_of_one_moves_the_label_by_a_deviation_without_its_condition(bundle):
    codes = sample(2000)
    faces = Faces(codes=codes, values=codes[:, :0], names=())
    labels, glasses = 3 * codes[:, 0] + 3 * codes[:, 1], 5 * codes[:, 1]
    free = fit(bundle, faces, labels)
    assert free.shape == (bundle.num_ws, WIDE)
    assert float(3 * (free[0, 0] + free[0, 1])) == pytest.approx(float(labels.std()), rel=0.1)
    held = fit(bundle, faces, labels, {"glasses": glasses})
    assert abs(float(held[0, 1])) < 0.1 * float(held[0, 0])


def test_random_codes_do_not_depend_on_how_many_there_are(bundle):
    few, many = random_codes(bundle, 3, seed=4), random_codes(bundle, 10, seed=4)
    torch.testing.assert_close(few, many[:3])
    assert not torch.allclose(few, random_codes(bundle, 3, seed=5), atol=0.1)


def test_drawn_faces_are_read_by_every_network(bundle):
    told = []
    faces = draw(bundle, 6, seed=2, advance=told.append)
    assert sum(told) == 6
    assert faces.names == ("smile", "age", *PROPORTIONS)
    assert faces.values.shape == (6, len(faces.names))
    whole = Reader(bundle).see(faces.codes[:, None].expand(-1, bundle.num_ws, -1)).values
    torch.testing.assert_close(faces.values, whole, rtol=1e-2, atol=1e-2)
    assert torch.equal(faces.labels("age"), faces.values[:, 1])
    with pytest.raises(InvalidInput, match="reads no 'hat'"):
        faces.labels("hat")


def test_calibration_makes_the_reading_move_by_a_deviation(bundle):
    direction = random_codes(bundle, 1, seed=9).expand(bundle.num_ws, -1)
    reader, codes = Reader(bundle), random_codes(bundle, 8, seed=1)[:, None].expand(-1, bundle.num_ws, -1)

    def effect(offset):
        up, down = (reader.see(codes + sign * offset).values[:, 0].mean() for sign in (1, -1))
        return float(up - down) / 2

    deviation = abs(effect(direction)) / 2
    found = calibrated(bundle, direction * (1 if effect(direction) > 0 else -1), "smile", deviation)
    assert found.norm() == pytest.approx(float(direction.norm()) / 2, rel=0.02)
