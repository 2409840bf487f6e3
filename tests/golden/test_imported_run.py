"""An imported run draws from its codes what the original generator draws."""

from fractions import Fraction
from pathlib import Path

import torch

from seamline.checkpoints.stit_import import find_source, import_run
from seamline.checkpoints.stit_run import read_run
from seamline.inversion import Inversion
from seamline.job import Job
from seamline.networks import Generator, GeneratorConfig
from seamline.storage import open_store
from tests.fakes.stit import RUN, bundle_of, tuned, write_frames, write_run
from tests.golden.networks import TOLERANCE, Golden, relative_error


def test_images_from_codes(tmp_path: Path) -> None:
    golden = Golden("stylegan2_ada_64")
    codes = golden.outputs["wplus"]
    before = Generator(GeneratorConfig(**golden.keys["args"]))
    before.load_state_dict(tuned(golden.state_dict()))
    bundle = bundle_of(before, tmp_path / "bundles")
    write_run(tmp_path / "STIT", golden.state_dict(), codes)
    run = read_run(tmp_path / "STIT", RUN)
    source = find_source(run, write_frames(tmp_path / "frames", len(codes)), None, tmp_path / "made.mp4", Fraction(25))
    store = open_store((tmp_path / "store").as_uri())
    inversion = Inversion.open(store, import_run(Job("align"), store, bundle, run, source).inversion)
    with torch.inference_mode():
        expected = golden.outputs["image_const"]
        images = inversion.tune(bundle.generator(), 0).synthesis(inversion.pivots(0)[1])
        assert relative_error(images, expected) < TOLERANCE
        assert relative_error(bundle.generator().synthesis(codes), expected) > 100 * TOLERANCE
