"""The ways to get an edited face back into its frame: what each pastes, and the border that it is measured by."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from seamline_stitcher.blending import Blend

from seamline.alignment import Alignment
from seamline.geometry import paste
from seamline.inversion import Inversion
from tests.fakes.alignment import quad
from tests.fakes.inverted import HIDDEN, PLAN, TUNING, Inverted, inverted_video


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Inverted:
    return inverted_video(Path(tmp_path_factory.mktemp("stitch")))


@pytest.mark.parametrize("blend", Blend)
def test_only_where_it_is_pasted_a_blend_changes_the_frame(made: Inverted, blend: Blend) -> None:
    plan = replace(PLAN, blend=blend)
    frames, source = made.frames(made.stitch(plan)), made.source()
    opacities = iter(made.crops(plan, "masks")[..., 2])
    geometry = Alignment.open(made.store, made.alignment).geometry(0)
    for number in geometry.frames:
        corners, opacity = quad(number), next(opacities)
        white = paste(np.zeros_like(source[0]), np.full((64, 64, 3), 255, np.uint8), corners, (opacity > 0) * 1.0)
        touched = white.any(-1)
        changed = (frames[number] != source[number]).any(-1)
        assert changed.any()
        assert not changed[~touched].any()
    assert np.array_equal(frames[HIDDEN], source[HIDDEN])


def test_every_blend_records_the_border_of_what_it_pastes(made: Inverted) -> None:
    source = Alignment.open(made.store, made.alignment).crops(0) / 127.5 - 1
    inversion = Inversion.open(made.store, made.inversion)
    codes = inversion.pivots(0)[1] + 2 * made.bundle.directions["smile"] - made.bundle.directions["age"]
    with torch.no_grad():
        drawn = inversion.tune(made.bundle.generator(), 0).synthesis(codes).permute(0, 2, 3, 1).numpy()
    for blend in Blend:
        plan = replace(PLAN, blend=blend)
        records, masks = made.stitch(plan).records, made.crops(plan, "masks")
        border = masks[..., 1] / 255
        assert not border[masks[..., 0] == 255].any()  # what is kept of the edit need not meet the source
        off = (border[..., None] * (drawn - source)) ** 2
        expected = off.sum((1, 2, 3)) / border.sum((1, 2))
        assert [record.border_naive for record in records] == pytest.approx(expected.tolist(), rel=0.02), blend
        assert {record.steps for record in records} == {TUNING.max_steps if blend is Blend.STITCH else 0}


def test_only_tuning_and_poisson_take_the_border_nearer_to_the_source(made: Inverted) -> None:
    for blend in Blend:
        records = made.stitch(replace(PLAN, blend=blend)).records
        gained = np.array([record.border_naive - record.border_stitched for record in records])
        assert (gained > 0).all() if blend in (Blend.STITCH, Blend.POISSON) else (gained == 0).all()


def test_paste_takes_the_whole_crop_and_poisson_the_outline(made: Inverted) -> None:
    pasted = made.crops(replace(PLAN, blend=Blend.PASTE), "masks")
    content, border, outline = np.moveaxis(made.crops(replace(PLAN, blend=Blend.POISSON), "masks"), -1, 0)
    assert (pasted[..., 2] == 255).all()
    assert (pasted[:, 3:-3, 3:-3, 1] == 0).all()  # 50 of 1024 pixels are 3 of 64
    assert (pasted[..., 1].sum((1, 2)) == 255 * (64**2 - 58**2)).all()
    assert set(np.unique(outline)) == {0, 255}
    # An ellipse with half axes of 0.5 and 0.6 of the crop's, 3 px around it, and half a pixel.
    assert outline.mean() / 255 == pytest.approx(np.pi * (16 + 3.5) * (19.2 + 3.5) / 64**2, rel=0.05)
    assert content.mean() / 255 == pytest.approx(np.pi * (16 + 0.5) * (19.2 + 0.5) / 64**2, rel=0.05)
    assert np.array_equal(border, outline - content)
    plan = replace(PLAN, blend=Blend.POISSON)
    source = Alignment.open(made.store, made.alignment).crops(0)
    assert np.array_equal(made.crops(plan, "stitched")[outline == 0], source[outline == 0])
    assert not np.array_equal(made.crops(plan, "stitched")[outline > 0], source[outline > 0])
