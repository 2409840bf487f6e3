"""An imported run draws what upstream's generator draws, and is stitched as if it had been made here."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from seamline_stitcher.plan import Plan
from seamline_stitcher.stitching import stitch_range
from seamline_stitcher.stitching_tuning import StitchingConfig

from seamline.alignment import Alignment
from seamline.bundles import Bundle
from seamline.checkpoints.stit_import import Imported, find_source, import_run
from seamline.checkpoints.stit_run import StitRun, read_run
from seamline.editing.edit import PlannedEdit
from seamline.errors import InvalidInput, NotFound
from seamline.geometry import crop
from seamline.inversion import Inversion
from seamline.job import Job
from seamline.networks import Generator
from seamline.storage import Artifact, Store, decode_frames, open_store
from seamline.video import probe, read_frames
from seamline.video.pictures import pictures_in, read_pictures, write_pictures
from tests.fakes.alignment import HEIGHT, WIDTH, drawn_frame
from tests.fakes.bundle import tiny_bundle
from tests.fakes.stit import (
    RUN,
    bundle_of,
    quads_of,
    small_generator,
    tuned,
    write_frames,
    write_options,
    write_run,
)

COUNT = 3
FPS = Fraction(25)
PIVOTS = torch.randn(COUNT, 10, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store((tmp_path / "store").as_uri())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of(small_generator(), tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def run(tmp_path: Path) -> StitRun:
    write_run(tmp_path / "STIT", tuned(small_generator().state_dict()), PIVOTS)
    write_options(tmp_path / "STIT")
    write_frames(tmp_path / "STIT" / "video_frames", COUNT)
    return read_run(tmp_path / "STIT", RUN)


def imported(store: Store, bundle: Bundle, run: StitRun, folder: Path, given: Path | None = None) -> Imported:
    return import_run(Job("align"), store, bundle, run, find_source(run, given, None, folder / "made.mp4", FPS))


def test_the_same_codes_give_the_same_images(store: Store, bundle: Bundle, run: StitRun, tmp_path: Path) -> None:
    found = imported(store, bundle, run, tmp_path)
    direct = Generator(small_generator().config)
    direct.load_state_dict(tuned(small_generator().state_dict()))
    inversion = Inversion.open(store, found.inversion)
    frames, pivots = inversion.pivots(0)
    assert frames.tolist() == [0, 1, 2]
    with torch.inference_mode():
        images = inversion.tune(bundle.generator(), 0).synthesis(pivots)
        expected, before = direct.synthesis(PIVOTS), small_generator().synthesis(PIVOTS)
    torch.testing.assert_close(images, expected, rtol=0, atol=0)
    assert (expected - before).abs().mean() > 0.01
    assert inversion.alignment_sha256 == found.alignment.sha256
    assert inversion.artifact.meta["tracks"][0]["passes"] == 80


def test_frames_crops_and_quads_are_the_runs(store: Store, bundle: Bundle, run: StitRun, tmp_path: Path) -> None:
    alignment = Alignment.open(store, imported(store, bundle, run, tmp_path).alignment)
    assert (alignment.bundle, alignment.bundle_digest, alignment.crop_size) == ("small", bundle.digest, 64)
    assert alignment.ranges == [(0, 3)]
    frames = alignment.frames((0, 3))
    np.testing.assert_array_equal(frames, np.stack([drawn_frame(number) for number in range(COUNT)]))
    np.testing.assert_array_equal(alignment.geometry(0).quads, quads_of(COUNT))
    expected = [crop(frame, quad, 64) for frame, quad in zip(frames, quads_of(COUNT), strict=True)]
    np.testing.assert_array_equal(alignment.crops(0), np.stack(expected))
    np.testing.assert_allclose(alignment.seconds([0, 1, 2]), [0, 0.04, 0.08], atol=1e-6)


def test_an_import_is_the_same_every_time(store: Store, bundle: Bundle, run: StitRun, tmp_path: Path) -> None:
    assert imported(store, bundle, run, tmp_path / "a") == imported(store, bundle, run, tmp_path / "b")


def test_the_measured_crops_are_those_of_the_codes(store: Store, bundle: Bundle, tmp_path: Path) -> None:
    """A run that draws its crops exactly: the generator of a flat picture, and frames of that colour."""
    state = {
        name: tensor * 0 if name.endswith(("torgb.weight", "torgb.bias")) else tensor
        for name, tensor in small_generator().state_dict().items()
    }
    write_run(tmp_path / "STIT", state, PIVOTS)
    folder = write_frames(tmp_path / "frames", COUNT)
    for path in pictures_in(folder):
        Image.new("RGB", (WIDTH, HEIGHT), (127, 128, 127)).save(path)
    found = imported(store, bundle, read_run(tmp_path / "STIT", RUN), tmp_path, folder)
    assert found.psnr_db > 40 > 20 > found.pivot_psnr_db


def test_a_video_may_be_longer_than_the_run(store: Store, bundle: Bundle, tmp_path: Path) -> None:
    write_run(tmp_path / "STIT", tuned(small_generator().state_dict()), PIVOTS)
    run, video = read_run(tmp_path / "STIT", RUN), tmp_path / "clip.mp4"
    write_pictures(video, pictures_in(write_frames(tmp_path / "frames", 6)), FPS)
    with pytest.raises(InvalidInput, match=r"clip\.mp4: has 6 frames, the run was made from 3.*--start-frame"):
        find_source(run, video, None, tmp_path / "made.mp4", FPS)
    with pytest.raises(InvalidInput, match="from frame 4 on"):
        find_source(run, video, 4, tmp_path / "made.mp4", FPS)
    source = find_source(run, video, 2, tmp_path / "made.mp4", FPS)
    found = import_run(Job("align"), store, bundle, run, source)
    alignment = Alignment.open(store, found.alignment)
    assert alignment.frame_count == 6
    assert alignment.geometry(0).frames.tolist() == [2, 3, 4]
    assert Inversion.open(store, found.inversion).pivots(0)[0].tolist() == [2, 3, 4]
    frames = list(read_frames(video))
    np.testing.assert_array_equal(alignment.crops(0)[0], crop(frames[2], quads_of(1)[0], 64))
    np.testing.assert_array_equal(alignment.frames((0, 6)), np.stack(frames))


def test_frames_that_are_gone_have_to_be_named(run: StitRun, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"absent: the frames .* with --video"):
        find_source(run, tmp_path / "absent", None, tmp_path / "made.mp4", FPS)
    for path in pictures_in(tmp_path / "STIT" / "video_frames")[:1]:
        path.unlink()
    with pytest.raises(InvalidInput, match="has 2 frames, the run was made from 3"):
        find_source(run, None, None, tmp_path / "made.mp4", FPS)
    (tmp_path / "STIT" / "video_frames").rename(tmp_path / "elsewhere")
    with pytest.raises(NotFound, match=r"model_obama\.pt: the frames"):
        find_source(run, None, None, tmp_path / "made.mp4", FPS)


def test_pictures_make_a_video_of_their_size(tmp_path: Path) -> None:
    paths = pictures_in(write_frames(tmp_path / "frames", 4))
    write_pictures(tmp_path / "video.mp4", paths, Fraction(30000, 1001))
    facts = probe(tmp_path / "video.mp4")
    assert (facts.width, facts.height, facts.frame_count) == (WIDTH, HEIGHT, 4)
    assert facts.fps == pytest.approx(30000 / 1001, rel=1e-3)
    for frame, pixels in zip(read_frames(tmp_path / "video.mp4"), read_pictures(paths), strict=True):
        assert np.abs(frame.astype(int) - pixels).mean() < 4


def test_broken_pictures_are_named(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "frames", 2)
    (folder / "out0003.png").write_bytes((folder / "out0001.png").read_bytes()[:60])
    with pytest.raises(InvalidInput, match=r"out0003\.png: is no picture"):
        list(read_pictures(pictures_in(folder)))
    Image.new("RGB", (WIDTH, HEIGHT + 2)).save(folder / "out0003.png")
    with pytest.raises(InvalidInput, match=rf"is {WIDTH}x{HEIGHT + 2}, the pictures before it {WIDTH}x{HEIGHT}"):
        write_pictures(tmp_path / "video.mp4", pictures_in(folder), FPS)
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".mp4", ".unfinished")]
    with pytest.raises(InvalidInput, match="has no pictures"):
        pictures_in(tmp_path)


def test_an_imported_run_is_stitched(store: Store, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundles")
    state = tuned(bundle.generator().state_dict())
    write_run(tmp_path / "STIT", state, 0.1 * PIVOTS)
    run = read_run(tmp_path / "STIT", RUN)
    found = imported(store, bundle, run, tmp_path, write_frames(tmp_path / "frames", COUNT))
    tuning = StitchingConfig(max_steps=2, learning_rate=2e-3)
    plan = Plan(edits=(PlannedEdit(name="smile", keyframes=((0.0, 2.0),)),), frames=(0, 3), tuning=tuning)
    stitched = stitch_range(store, bundle, found.alignment, found.inversion, plan, Job("stitch"))
    artifact = Artifact.open(store, stitched.ref, stage="stitch")
    frames = decode_frames(artifact.read_part("frames-000000-000003"))
    source = np.stack([drawn_frame(number) for number in range(COUNT)])
    assert (frames != source).any()
    assert (frames == source).any()
