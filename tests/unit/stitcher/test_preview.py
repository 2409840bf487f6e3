"""The preview's sheet: which frames and variants it shows, and what is in its cells."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import seamline_stitcher.preview as stage
import torch
from PIL import Image
from seamline_inverter.restyle import restyle
from seamline_inverter.style_adaptation import StyleConfig
from seamline_stitcher.preview import Sheet, Variant, check_size, preview

from seamline.alignment import Alignment
from seamline.contact_sheet import CELL, GAP, contact_sheet
from seamline.editing.edit import PlannedEdit
from seamline.editing.style import Style
from seamline.errors import InvalidInput, Precondition
from seamline.inversion import Inversion
from seamline.job import Job
from seamline.storage import read_object
from seamline.tuning import to_pixels
from tests.fakes.alignment import VIDEO, put_alignment
from tests.fakes.inverted import Inverted, inverted_video

SMILE = (PlannedEdit(name="smile", keyframes=((0.0, 2.0),)),)
OLDER = (PlannedEdit(name="age", keyframes=((0.0, 0.0), (0.4, 4.0))),)
HIDDEN = (4, 5)
SIDE = 64


class Previewed(Inverted):
    """A video of which sheets are drawn."""

    def preview(self, *variants: Variant, frame_count: int = 0) -> Sheet:
        """Runs the stage."""
        inputs = (self.store, self.bundle, self.alignment, self.inversion)
        return preview(*inputs, variants, frame_count, Job("preview"))

    def cells(self, sheet: Sheet, columns: int) -> np.ndarray:
        """A sheet's pictures (columns, rows, SIDE, SIDE, 3)."""
        return cells(read_object(self.store, sheet.ref), columns, len(sheet.frames))


def cells(png: bytes, columns: int, rows: int, side: int = SIDE) -> np.ndarray:
    """The pictures of a sheet, whose titles are on top."""
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    pitch = side + GAP
    assert picture.shape[1] == columns * pitch + GAP
    below = picture[-rows * pitch :, GAP:]
    assert below.shape[0] < picture.shape[0]
    return below.reshape(rows, pitch, columns, pitch, 3)[:, :side, :, :side].transpose(2, 0, 1, 3, 4)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Previewed:
    return Previewed(**vars(inverted_video(Path(tmp_path_factory.mktemp("preview")), HIDDEN)))


def test_the_first_column_is_the_source(made: Previewed) -> None:
    sheet = made.preview(SMILE, OLDER)
    assert sheet.frames == [1, 6, 8]
    assert f"/artifacts/{VIDEO}/preview/" in sheet.ref.uri
    aligned = Alignment.open(made.store, made.alignment)
    rows = np.searchsorted(aligned.geometry(0).frames, sheet.frames)
    assert np.array_equal(made.cells(sheet, 3)[0], aligned.crops(0)[rows])


def test_a_cell_is_the_edit_that_the_tuned_generator_draws(made: Previewed) -> None:
    drawn = made.cells(made.preview(SMILE, OLDER), 3)
    inversion = Inversion.open(made.store, made.inversion)
    generator = inversion.tune(made.bundle.generator(), 0)
    frames, pivots = inversion.pivots(0)
    row = frames.tolist().index(6)
    older = 4 * (3 * 0.6**2 - 2 * 0.6**3)  # 0.24 of 0.4 s
    for column, step in ((1, 2 * made.bundle.directions["smile"]), (2, older * made.bundle.directions["age"])):
        with torch.no_grad():
            expected = to_pixels(generator.synthesis(pivots[[row]] + step))[0].astype(int)
        assert np.abs(drawn[column, 1] - expected).mean() < 1  # it is drawn in bfloat16


def test_variants_and_rows_differ(made: Previewed) -> None:
    pictures = made.cells(made.preview(SMILE, (*SMILE, *OLDER), (), frame_count=2), 4)
    assert len(np.unique(pictures.reshape(8, -1), axis=0)) == 8


def test_a_style_is_drawn_and_named(made: Previewed, monkeypatch: pytest.MonkeyPatch) -> None:
    old, config = Style(neutral="face", target="old face"), StyleConfig(max_steps=2, batch_size=1)
    styled = restyle(made.store, made.bundle, made.inversion, old, config, Job("restyle"))
    titles: list[list[str]] = []
    sheet = stage.contact_sheet

    def read(columns: list[list[str]], *pictures: Any) -> bytes:
        titles.extend(columns)
        return sheet(columns, *pictures)

    monkeypatch.setattr(stage, "contact_sheet", read)
    drawn = [replace(made, inversion=inversion) for inversion in (made.inversion, styled.ref)]
    plain, new = (one.cells(one.preview((), frame_count=2), 2)[1] for one in drawn)
    assert not np.array_equal(plain, new)
    assert titles == [["source"], ["no edit"], ["source"], ["style face > old face +1"]]


def test_shows_as_many_frames_as_asked_for(made: Previewed) -> None:
    everything = made.preview(SMILE, frame_count=8)
    assert everything.frames == [number for number in range(10) if number not in HIDDEN]
    assert made.preview(SMILE, frame_count=1).frames == [6]


def test_a_repeated_call_draws_nothing(made: Previewed, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made.preview(SMILE, frame_count=2)
    monkeypatch.setattr(stage, "contact_sheet", None)
    assert made.preview(SMILE, frame_count=2) == first
    with pytest.raises(TypeError):
        made.preview(OLDER, frame_count=2)


def test_refuses_more_frames_than_have_a_face(made: Previewed) -> None:
    with pytest.raises(InvalidInput, match="only 8 have a face") as caught:
        made.preview(SMILE, frame_count=9)
    assert caught.value.field == "frame_count"


def test_refuses_an_inversion_of_another_alignment(made: Previewed) -> None:
    other = put_alignment(made.store, made.bundle, video="other")
    with pytest.raises(Precondition, match="another alignment"):
        preview(made.store, made.bundle, other, made.inversion, [SMILE], 0, Job("preview"))


@pytest.mark.parametrize(("variants", "frames"), [(0, 3), (86, 0), (1, 257), (257, 1)])
def test_refuses_sheets_of_impossible_size(variants: int, frames: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_size(variants, frames)
    assert caught.value.field == "variants"


def test_256_pictures_are_not_too_many() -> None:
    check_size(85, 0)
    check_size(64, 4)


def titled(titles: Sequence[Sequence[str]], side: int = 80) -> np.ndarray:
    """What stands above plain columns: dark where there is ink."""
    pictures = [np.full((1, side, side, 3), 255, np.uint8) for _ in titles]
    return np.asarray(Image.open(io.BytesIO(contact_sheet(titles, pictures))).convert("L")) < 128


def test_every_column_has_its_own_title() -> None:
    ink = titled([["source"], ["smile +2"], [""]])
    first, second, third = (ink[:, 84 * number : 84 * (number + 1)] for number in range(3))
    assert first.any()
    assert second.any()
    assert not third.any()
    assert not np.array_equal(first, second)


def test_long_titles_are_broken_and_make_room() -> None:
    short, long = titled([["smile +2"]]), titled([["face → face with very round glasses +2.5"]])
    assert long.shape[0] > short.shape[0] + 30
    assert not long[:, -2:].any()


def test_large_pictures_are_shrunk() -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (2, 1, 512, 512, 3)).astype(np.uint8)
    shown = cells(contact_sheet([["a"], ["b"]], list(pictures)), 2, 1, CELL)
    assert np.abs(shown[:, 0].astype(float) - pictures[:, 0].reshape(2, 256, 2, 256, 2, 3).mean((2, 4))).max() <= 1
