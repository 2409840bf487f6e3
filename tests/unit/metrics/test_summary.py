import json

import numpy as np
import pytest
from seamline_metrics.measure import Measures
from seamline_metrics.summary import EditRequest, summarize

SMILE = EditRequest(name="smile", strength=2.0, attribute=0)


def _measures(count=4, *, first=0, seed=0, attribute_change=0.5, geometry=True, naive=0.2, stitched=0.1):
    rng = np.random.default_rng(seed)
    identity = rng.normal(size=8) + 0.1 * rng.normal(size=(count, 8))
    attributes = rng.normal(size=(count, 2)).astype(np.float32)
    shape = rng.normal(size=(count, 3 if geometry else 0)).astype(np.float32)
    return Measures(
        frames=np.arange(first, first + count),
        source_identity=identity.astype(np.float32),
        edited_identity=identity.astype(np.float32),
        source_attributes=attributes,
        edited_attributes=attributes + np.array([attribute_change, 0], np.float32),
        source_geometry=shape,
        edited_geometry=shape + 0.25,
        border_naive=np.full(count, naive, np.float32),
        border_stitched=np.full(count, stitched, np.float32),
    )


def test_an_unchanged_identity_scores_one():
    scores = summarize({0: _measures()}, [SMILE])
    assert scores["tl_id"] == scores["tg_id"] == scores["identity_similarity"] == pytest.approx(1.0, abs=1e-5)
    assert scores["frames"] == [0, 1, 2, 3]
    assert scores["seam_error"]["naive"] == pytest.approx(0.2)
    assert scores["seam_error"]["stitched"] == pytest.approx(0.1)


def test_two_people_are_not_compared_with_each_other():
    tracks = {0: _measures(3), 1: _measures(5, first=10, seed=9)}
    scores = summarize(tracks, [SMILE])
    assert scores["tg_id"] == pytest.approx(1.0, abs=1e-5)
    assert scores["tracks"] == [0] * 3 + [1] * 5
    assert len(scores["curves"]["tg_id"]) == 8


@pytest.mark.parametrize(("strength", "sign"), [(2.0, 1), (-2.0, -1)])
def test_the_effect_is_positive_the_way_asked(strength, sign):
    asked = EditRequest(name="smile", strength=strength, attribute=0)
    effect = summarize({0: _measures(attribute_change=0.5)}, [asked])["edit_effect"]["smile"]
    assert effect["mean"] == pytest.approx(0.5 * sign, abs=1e-5)
    assert effect["share_of_frames"] == (1.0 if sign > 0 else 0.0)
    assert len(effect["per_frame"]) == 4


def test_a_strength_over_time_has_a_way_of_its_own_in_every_frame():
    asked = EditRequest(name="smile", strength=np.array([-1.0, 0.0, 0.5, 2.0]), attribute=0)
    scores = summarize({0: _measures(attribute_change=0.5)}, [asked])
    assert scores["strengths"] == {"smile": [-1.0, 0.0, 0.5, 2.0]}
    effect = scores["edit_effect"]["smile"]
    assert effect["per_frame"] == [pytest.approx(-0.5, abs=1e-5), None, *[pytest.approx(0.5, abs=1e-5)] * 2]
    assert effect["mean"] == pytest.approx(0.5 / 3, abs=1e-5)
    assert effect["share_of_frames"] == pytest.approx(2 / 3, abs=1e-5)


def test_where_nothing_is_ever_asked_there_is_no_effect():
    still = EditRequest(name="smile", strength=np.zeros(4), attribute=0)
    assert summarize({0: _measures()}, [still])["edit_effect"] == {}


def test_an_attribute_that_the_bundle_cannot_read_has_no_effect_figure():
    scores = summarize({0: _measures()}, [EditRequest(name="hat", strength=1.0, attribute=None)])
    assert scores["edit_effect"] == scores["geometry"] == scores["strengths"] == {}


def test_geometry_is_given_for_the_edits_it_witnesses():
    edits = [SMILE, EditRequest(name="age", strength=1.0, attribute=1)]
    moved = summarize({0: _measures()}, edits)["geometry"]
    assert set(moved) == {"smile"}
    assert moved["smile"]["edited"] - moved["smile"]["source"] == pytest.approx(0.25, abs=1e-4)
    assert summarize({0: _measures(geometry=False)}, edits)["geometry"] == {}


def test_frames_without_a_border_are_null_and_leave_the_mean_alone():
    measures = _measures()
    measures.border_naive[1] = np.nan
    scores = summarize({0: measures}, [SMILE])
    assert scores["seam_error"]["per_frame"]["naive"][1] is None
    assert scores["seam_error"]["naive"] == pytest.approx(0.2)
    json.dumps(scores, allow_nan=False)
