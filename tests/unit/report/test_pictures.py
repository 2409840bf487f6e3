import base64

import cv2
import numpy as np
import pytest

from seamline.report import frame_pairs, pick_frames, seam_crops
from seamline.storage import open_store
from tests.fakes.alignment import put_alignment
from tests.fakes.bundle import tiny_bundle
from tests.fakes.stitched import NAIVE, STITCHED, put_stitched
from tests.unit.video.films import film, number_of


def _pixels(uri):
    data = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@pytest.mark.parametrize(
    ("numbers", "picked"),
    [
        (range(100), [0, 20, 40, 59, 79, 99]),
        ([5, 3, 9], [3, 5, 9]),
        ([7, 7], [7]),
        ([], []),
    ],
)
def test_picks_frames_evenly_first_and_last_included(numbers, picked):
    assert pick_frames(list(numbers)) == picked


def test_pairs_show_the_frames_asked_for(tmp_path):
    source, edited = film(tmp_path / "a.mp4", count=8), film(tmp_path / "b.mp4", count=8)
    pairs = frame_pairs(source, edited, [1, 6])
    assert [pair.number for pair in pairs] == [1, 6]
    assert [number_of(_pixels(pair.source)) for pair in pairs] == [1, 6]
    assert [number_of(_pixels(pair.edited)) for pair in pairs] == [1, 6]


def test_large_frames_are_reduced(tmp_path):
    wide = film(tmp_path / "wide.mp4", count=1, size=(1280, 720))
    (pair,) = frame_pairs(wide, wide, [0])
    assert _pixels(pair.source).shape == (540, 960, 3)


def test_the_seam_shown_is_that_of_the_worst_frame(tmp_path):
    store = open_store(tmp_path.as_uri())
    bundle = tiny_bundle(tmp_path / "bundles")
    alignment = put_alignment(store, bundle, hidden=(4,))
    stitched = [put_stitched(store, alignment, frames) for frames in ((0, 4), (4, 10))]
    frames = [0, 1, 2, 3, 5, 6, 7, 8, 9]
    errors = [0.1, None, 0.1, 0.1, 0.1, 0.3, 0.1, 0.1, 0.1]
    scores = {"frames": frames, "tracks": [0] * 9, "seam_error": {"per_frame": {"naive": errors}}}
    crops = seam_crops(store, alignment, stitched, scores)
    assert crops is not None
    assert crops.frame == 6
    source, naive, tuned = (_pixels(uri).astype(int) for uri in (crops.source, crops.naive, crops.stitched))
    assert np.abs(naive - source).mean() == pytest.approx(NAIVE, abs=4)
    assert np.abs(tuned - source).mean() == pytest.approx(STITCHED, abs=4)


def test_no_seam_no_crops(tmp_path):
    scores = {"frames": [0], "tracks": [0], "seam_error": {"per_frame": {"naive": [None]}}}
    assert seam_crops(open_store(tmp_path.as_uri()), None, [], scores) is None
