"""The other ways to edit, through the real services: over time, several at once, blended, previewed and swept.

All take the bundle's generator as it is, which spares the tuning.
"""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from seamline.alignment import Alignment
from seamline.storage import Artifact, decode_frames, read_object
from seamline.storage.reference import sha256_of
from seamline.v1.inverter_pb2 import INVERSION_METHOD_ENCODER, InvertOptions
from seamline.v1.media_pb2 import Edit, Keyframe
from seamline.v1.stitcher_pb2 import BLEND_POISSON, StitchOptions
from seamline.video import probe, read_frames
from tests.e2e.clips import cut

pytestmark = pytest.mark.e2e

FRAMES, RATE = 9, 24
PEAK = 4
"""The frame in the middle."""
QUICK = InvertOptions(method=INVERSION_METHOD_ENCODER)
SMILE = Edit(
    name="smile",
    keyframes=[
        Keyframe(seconds=0, strength=0),
        Keyframe(seconds=PEAK / RATE, strength=3),
        Keyframe(seconds=(FRAMES - 1) / RATE, strength=0),
    ],
)
OLDER = Edit(name="age", strength=1.5)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return cut(tmp_path_factory.mktemp("few") / "few.mp4", FRAMES)


@pytest.fixture(scope="module")
def changing(system, few):
    """A smile that comes and goes, on an older face, in Poisson blending."""
    return system.edit(system.upload(few), [SMILE, OLDER], invert=QUICK, stitch=StitchOptions(blend=BLEND_POISSON))


@pytest.fixture(scope="module")
def scores(system, changing):
    return json.loads(read_object(system.store, changing.scores.scores))


def test_the_smile_comes_and_goes(scores):
    strengths = scores["strengths"]["smile"]
    assert (strengths[0], strengths[PEAK], strengths[-1]) == pytest.approx((0.0, 3.0, 0.0), abs=1e-2)
    smile = scores["edit_effect"]["smile"]["per_frame"]
    assert smile[0] is None  # nothing is asked of the first frame
    assert min(smile[PEAK - 1 : PEAK + 2]) > max(smile[1], smile[-2]) + 0.5


def test_the_other_edit_is_there_all_the_time(changing, scores):
    assert set(scores["edit_effect"]) == {"smile", "age"}
    assert None not in scores["edit_effect"]["age"]["per_frame"]
    assert scores["edit_effect"]["age"]["mean"] > 0.3


def test_nothing_is_tuned_and_poisson_closes_the_seam(system, changing, scores):
    assert "invert.pti" not in changing.step_seconds
    assert "stitch.stitch" not in changing.step_seconds
    assert changing.inversion_figures.passes == 0
    (ref,) = changing.stitched
    artifact = Artifact.open(system.store, ref, stage="stitch")
    naive, stitched, masks = (
        decode_frames(artifact.read_part(name))
        for kind in ("naive", "stitched", "masks")
        for name in artifact.parts
        if name.startswith(f"{kind}-")
    )
    source = Alignment.open(system.store, changing.alignment).crops(0)
    edge = np.stack([(mask > 0) & (cv2.erode(mask, np.ones((3, 3), np.uint8)) == 0) for mask in masks[..., 2].copy()])
    off = [np.abs(crops.astype(int) - source).mean(-1) / 255 for crops in (naive, stitched)]
    assert off[1][edge].mean() < 0.25 * off[0][edge].mean()
    ring, seam = masks[..., 1].astype(float), scores["seam_error"]
    expected = [((each * ring).sum((1, 2)) / ring.sum((1, 2))).mean() for each in off]
    assert [seam["naive"], seam["stitched"]] == pytest.approx(expected, abs=1e-4)
    assert seam["stitched"] < seam["naive"]


def test_a_preview_shows_what_an_edit_would_without_a_second_inversion(system, few, changing, seamline, tmp_path):
    done = seamline("preview", few, "--edit", "smile=-3:3:3", "--inversion", "e4e", "-o", tmp_path / "sheet.png")
    assert done.stdout.strip() == str(tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"), np.int16)
    size = Alignment.open(system.store, changing.alignment).crop_size
    height, width = sheet.shape[:2]
    assert 4 * size <= width < 5 * size  # the source and three strengths
    assert 3 * size <= height < 4 * size


@pytest.fixture
def seamline(system):
    """Runs the command with the editor that runs."""

    def run(*arguments):
        where = ("--editor", system.deployment.endpoint("editor"), "--store", system.url)
        command = [str(Path(sys.executable).parent / "seamline"), *map(str, (*arguments, *where))]
        return subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)

    return run


def test_a_sweep_makes_a_video_for_every_strength_from_one_inversion(few, changing, seamline, tmp_path):
    out = tmp_path / "out"
    arguments = ("edit", few, "--edit", "smile=-3:3:2", "--inversion", "e4e", "--blend", "feather", "-o", out)
    done = seamline(*arguments)
    assert done.stdout.split() == [str(out / name) for name in ("smile-3.mp4", "smile+3.mp4", "index.html")]
    figures = [json.loads((out / f"smile{strength}.json").read_text()) for strength in ("-3", "+3")]
    assert [each["edits"] for each in figures] == [{"smile": -3.0}, {"smile": 3.0}]
    assert {(each["inversion"], each["blend"]) for each in figures} == {("e4e", "feather")}
    assert all("invert.encode" not in each["step_seconds"] for each in figures)
    for strength in ("-3", "+3"):
        assert probe(out / f"smile{strength}.mp4").frame_count == FRAMES
        assert (out / f"smile{strength}.html").is_file()
    less, more = (np.stack(list(read_frames(out / f"smile{strength}.mp4"))) for strength in ("-3", "+3"))
    assert np.abs(less.astype(int) - more).mean() > 0.5
    assert [each["edit_effect"] > 0 for each in figures] == [True, True]  # each the way asked


def test_erasing_takes_all_of_a_video_and_nothing_else(system, few, changing, seamline):
    digest, before = sha256_of(few), system.written()
    own = {key for key in before if digest in key} | {"videos/few.mp4"}
    made = [changing.edited, changing.alignment, changing.inversion, *changing.stitched, changing.scores.scores]
    assert {system.store.key(ref.uri) for ref in made} < own
    done = seamline("erase", few, "--source", system.store.uri("videos/few.mp4"))
    assert done.stdout.startswith(f"removed {len(own)} objects, ")
    assert system.written() == {key: time for key, time in before.items() if key not in own}
