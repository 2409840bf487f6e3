import numpy as np
import pytest
from seamline_aligner.follower import EVERYWHERE_EVERY, MOST_FACES, FaceFollower

from tests.fakes.painted_faces import DARK_RED, FACE_SHAPE, PaintedFaceBackend, picture

WHOLE = (400, 600)


@pytest.fixture
def backend() -> PaintedFaceBackend:
    return PaintedFaceBackend()


def test_a_moving_face_is_found_where_it_is(backend: PaintedFaceBackend) -> None:
    follower = FaceFollower(backend)
    for number in range(20):
        left, top = 50 + 7 * number, 60 + 4 * number
        (seen,) = follower.observe(picture((left, top, 80), size=WHOLE))
        # A window is scaled, so its pixels round the face's edges.
        assert np.abs(np.array(seen.face.box) - (left, top, left + 80, top + 80) + 0.5).max() < 1.5
        shape = (left - 0.5, top - 0.5) + 80 * FACE_SHAPE
        assert np.abs(seen.landmarks - shape).max() < 2


def test_the_whole_picture_is_searched_now_and_then_only(backend: PaintedFaceBackend) -> None:
    follower = FaceFollower(backend)
    for _ in range(2 * EVERYWHERE_EVERY + 1):
        assert len(follower.observe(picture((200, 100, 80), size=WHOLE))) == 1
    assert backend.searched.count(WHOLE) == 3
    assert len(backend.searched) == 2 * EVERYWHERE_EVERY + 1


def test_a_lost_face_is_searched_everywhere_at_once(backend: PaintedFaceBackend) -> None:
    follower = FaceFollower(backend)
    follower.observe(picture((10, 10, 80), size=WHOLE))
    (seen,) = follower.observe(picture((400, 250, 80), size=WHOLE))
    assert seen.face.box[0] == pytest.approx(399.5)
    assert follower.observe(picture(size=WHOLE)) == []


def test_a_second_face_is_noticed_at_the_next_search(backend: PaintedFaceBackend) -> None:
    follower = FaceFollower(backend)
    counts = [len(follower.observe(picture((20, 20, 80), size=WHOLE)))]
    two = picture((20, 20, 80), (400, 200, 100), size=WHOLE)
    counts += [len(follower.observe(two)) for _ in range(EVERYWHERE_EVERY)]
    assert counts == [1] * EVERYWHERE_EVERY + [2]


def test_an_uncertain_face_counts_only_where_one_was(backend: PaintedFaceBackend) -> None:
    follower = FaceFollower(backend)
    dim = picture((100, 100, 80), colour=DARK_RED, size=WHOLE)
    assert follower.observe(dim) == []
    follower.observe(picture((100, 100, 80), size=WHOLE))
    assert [len(follower.observe(dim)) for _ in range(2 * EVERYWHERE_EVERY)] == [1] * (2 * EVERYWHERE_EVERY)
    follower.restart()
    assert follower.observe(dim) == []


def test_the_largest_faces_are_kept(backend: PaintedFaceBackend) -> None:
    squares = [(20 + 95 * number, 50, 20 + 10 * number) for number in range(MOST_FACES + 2)]
    seen = FaceFollower(backend).observe(picture(*squares, size=WHOLE))
    sides = [round(observation.face.box[2] - observation.face.box[0]) for observation in seen]
    assert sides == [70, 60, 50, 40]


def test_a_face_that_leaves_the_picture_is_forgotten(backend: PaintedFaceBackend) -> None:
    follower = FaceFollower(backend)
    counts = [len(follower.observe(picture((-20 * number, 100, 80), size=WHOLE))) for number in range(6)]
    assert counts == [1, 1, 1, 1, 0, 0]
