"""What a user gets: the person still the same, smiling, in the same video, without a seam."""

import json

import numpy as np
import pytest

from seamline.alignment import Alignment
from seamline.storage import fetch_object, read_object
from seamline.v1.stitcher_pb2 import StitchOptions
from seamline.video import probe, read_frames
from tests.unit.video.films import packets

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def scores(system, smiling):
    return json.loads(read_object(system.store, smiling.scores.scores))


@pytest.fixture(scope="module")
def edited(system, smiling, tmp_path_factory):
    path = tmp_path_factory.mktemp("edited") / "edited.mp4"
    fetch_object(system.store, smiling.edited, path)
    return path


def test_the_video_is_the_source_but_for_the_face(clip, edited):
    before, after = probe(clip), probe(edited)
    assert (after.frame_count, after.width, after.height) == (before.frame_count, before.width, before.height)
    assert after.fps == pytest.approx(before.fps)
    source_sound = packets(clip, "audio")
    assert source_sound
    assert [data for _, data in packets(edited, "audio")] == [data for _, data in source_sound]


def test_frames_change_at_the_face_and_nowhere_else(system, smiling, clip, edited):
    quads = Alignment.open(system.store, smiling.alignment).geometry(0).quads
    pairs = zip(read_frames(clip), read_frames(edited), quads, strict=True)
    for number, (before, after, quad) in enumerate(pairs):
        change = np.abs(after.astype(int) - before.astype(int)).mean(axis=2)
        left, top = np.floor(quad.min(axis=0)).astype(int) - 8
        right, bottom = np.ceil(quad.max(axis=0)).astype(int) + 8
        outside = np.ones(change.shape, bool)
        outside[max(top, 0) : bottom, max(left, 0) : right] = False
        x, y = quad.mean(axis=0).astype(int)
        assert change[outside].mean() < 1.5, number  # only the encoder's loss
        assert change[y : y + 40, x - 30 : x + 30].mean() > 2 * change[outside].mean(), number


def test_the_person_stays_the_same(smiling, scores):
    assert smiling.scores.tl_id == pytest.approx(1.0, abs=0.03)
    assert smiling.scores.tg_id == pytest.approx(1.0, abs=0.12)
    assert smiling.scores.identity_similarity > 0.6
    assert min(scores["curves"]["similarity"]) > 0.5


def test_the_smile_rises(smiling, scores):
    (effect,) = smiling.scores.edit_effects
    assert effect.name == "smile"
    assert effect.mean > 0.5
    assert effect.share_of_frames > 0.9
    assert scores["geometry"]["smile"]["edited"] > scores["geometry"]["smile"]["source"]


def test_stitching_closes_the_seam(smiling, scores):
    seam = scores["seam_error"]
    assert seam["stitched"] < 0.7 * seam["naive"]
    closed = [s < n for s, n in zip(seam["per_frame"]["stitched"], seam["per_frame"]["naive"], strict=True)]
    assert sum(closed) > 0.9 * len(closed)


def test_tuning_reproduces_the_face_better_than_the_encoder(smiling):
    figures = smiling.inversion_figures
    assert figures.psnr_db > figures.pivot_psnr_db + 2


def test_the_same_call_again_writes_nothing(system, smiling, clip):
    video = system.upload(clip)
    before = system.written()
    again = system.edit(video, {"smile": 2.0})
    assert again.edited == smiling.edited
    assert again.scores.scores == smiling.scores.scores
    made = {key for key, time in system.written().items() if before.get(key) != time}
    # A stitched range's manifest is put again, with the same bytes.
    assert all("/manifests/" in key and key in before for key in made), made


def test_a_second_edit_of_the_video_needs_no_inversion(system, smiling, clip):
    other = system.edit(system.upload(clip), {"smile": -1.0}, stitch=StitchOptions(max_steps=2))
    assert other.alignment == smiling.alignment
    assert other.inversion == smiling.inversion
    assert "invert.pti" not in other.step_seconds
    (effect,) = other.scores.edit_effects
    assert effect.mean > 0  # the way asked: less of a smile
