import json
from typing import ClassVar

import pytest
from seamline_metrics import score as score_module
from seamline_metrics.score import score

from seamline.errors import Cancelled, DigestMismatch, InvalidInput, Precondition
from seamline.job import Job
from seamline.storage import open_store, read_object
from seamline.v1.media_pb2 import ArtifactRef
from tests.fakes.alignment import put_alignment
from tests.fakes.bundle import tiny_bundle
from tests.fakes.stitched import NAIVE, STITCHED, put_stitched


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path.as_uri())


def _edit(store, bundle, ranges=((0, 4), (4, 10)), **aligned):
    alignment = put_alignment(store, bundle, **aligned)
    return alignment, [put_stitched(store, alignment, frames) for frames in ranges]


def test_scores_every_edited_frame(store, bundle):
    alignment, stitched = _edit(store, bundle, hidden=(2, 5))
    job = Job("score")
    scores = score(store, bundle, alignment, stitched, job)
    values = scores.values
    assert values["frames"] == [0, 1, 3, 4, 6, 7, 8, 9]
    assert values["seam_error"]["naive"] == pytest.approx(NAIVE / 255, abs=1e-3)
    assert values["seam_error"]["stitched"] == pytest.approx(STITCHED / 255, abs=1e-3)
    assert values["edits"] == [["smile", 2.0]]
    assert set(values["edit_effect"]) == {"smile"}
    assert 0 < values["tl_id"] < 2
    assert json.loads(read_object(store, scores.ref)) == values
    assert set(job.seconds) == {"measure", "compare"}


def test_strengths_over_time_are_those_of_the_frames_moments(store, bundle):
    alignment = put_alignment(store, bundle, hidden=(2,))
    edits = [("smile", [(0.0, -1.0), (0.36, 2.0)]), ("age", 1.0)]
    stitched = [put_stitched(store, alignment, (0, 10), edits=edits)]
    values = score(store, bundle, alignment, stitched, Job("score")).values
    assert set(values["strengths"]) == {"smile"}
    strengths = values["strengths"]["smile"]
    assert len(strengths) == 9
    assert (strengths[0], strengths[-1]) == pytest.approx((-1.0, 2.0))  # frame 9 is shown at 0.36 s
    assert strengths == sorted(strengths)
    assert set(values["edit_effect"]) == {"smile", "age"}


def test_ranges_in_any_order_give_the_frames_in_order(store, bundle):
    alignment, stitched = _edit(store, bundle)
    values = score(store, bundle, alignment, stitched[::-1], Job("score")).values
    assert values["frames"] == list(range(10))


def test_a_range_without_a_face_need_not_be_stitched(store, bundle):
    alignment, stitched = _edit(store, bundle, ranges=((0, 4), (8, 10)), hidden=(4, 5, 6, 7))
    assert score(store, bundle, alignment, stitched, Job("score")).values["frames"] == [0, 1, 2, 3, 8, 9]


def test_a_second_call_measures_nothing_again(store, bundle, monkeypatch):
    alignment, stitched = _edit(store, bundle)
    first = score(store, bundle, alignment, stitched, Job("score"))
    monkeypatch.setattr(score_module, "measure", None)
    again = score(store, bundle, alignment, stitched, Job("score"))
    assert again.ref == first.ref
    assert again.values == first.values


def test_a_cancelled_call_is_taken_up_where_it_stopped(store, bundle, monkeypatch):
    alignment, stitched = _edit(store, bundle)
    measured, real = [], score_module.measure

    def counting(crops, *args):
        if len(measured) == 1:
            measured.append("stopped")
            raise Cancelled("gone")
        measured.append(crops.frames.tolist())
        return real(crops, *args)

    monkeypatch.setattr(score_module, "measure", counting)
    with pytest.raises(Cancelled):
        score(store, bundle, alignment, stitched, Job("score"))
    score(store, bundle, alignment, stitched, Job("score"))
    assert measured == [[0, 1, 2, 3], "stopped", [4, 5, 6, 7], [8, 9]]


class TestRefuses:
    """What cannot be scored, and what is said of it."""

    OTHER_EDIT: ClassVar = (("age", 1.0),)

    def test_nothing(self, store, bundle):
        with pytest.raises(InvalidInput, match="nothing to score"):
            score(store, bundle, put_alignment(store, bundle), [], Job("score"))

    def test_a_hole(self, store, bundle):
        alignment, stitched = _edit(store, bundle, ranges=((0, 4), (8, 10)))
        with pytest.raises(InvalidInput, match="frames 4 to 8 show a face") as error:
            score(store, bundle, alignment, stitched, Job("score"))
        assert error.value.field == "stitched"

    def test_an_overlap(self, store, bundle):
        alignment, stitched = _edit(store, bundle, ranges=((0, 8), (4, 10)))
        with pytest.raises(InvalidInput, match="frame 4 is in two"):
            score(store, bundle, alignment, stitched, Job("score"))

    def test_another_alignment(self, store, bundle):
        alignment, _ = _edit(store, bundle)
        _, stitched = _edit(store, bundle, video="another")
        with pytest.raises(Precondition, match="another alignment"):
            score(store, bundle, alignment, stitched, Job("score"))

    def test_two_edits(self, store, bundle):
        alignment, stitched = _edit(store, bundle)
        stitched[1] = put_stitched(store, alignment, (4, 10), edits=self.OTHER_EDIT)
        with pytest.raises(InvalidInput, match="different edits"):
            score(store, bundle, alignment, stitched, Job("score"))

    def test_another_stage(self, store, bundle):
        alignment, stitched = _edit(store, bundle)
        with pytest.raises(InvalidInput, match="stage 'align'"):
            score(store, bundle, alignment, [*stitched, alignment], Job("score"))

    def test_a_wrong_digest(self, store, bundle):
        alignment, stitched = _edit(store, bundle)
        stitched[0] = ArtifactRef(uri=stitched[0].uri, sha256="0" * 64)
        with pytest.raises(DigestMismatch):
            score(store, bundle, alignment, stitched, Job("score"))
