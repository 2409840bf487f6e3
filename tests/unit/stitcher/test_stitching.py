"""The stitch stage: what changes in the frames, what does not, and how it goes on after it was stopped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import seamline_stitcher.stitching as stage
import torch
from seamline_inverter.restyle import restyle
from seamline_inverter.style_adaptation import StyleConfig
from seamline_stitcher.blending import Blend
from seamline_stitcher.masks import MaskConfig, Masks

from seamline.algorithm import Algorithm
from seamline.alignment import Alignment
from seamline.bundles import Bundle
from seamline.editing.style import Style
from seamline.errors import InvalidInput, NotFound, Precondition, StoreUnavailable
from seamline.geometry import paste_sampled
from seamline.inversion import Inversion
from seamline.job import Job
from seamline.storage import Artifact, Store, decode_frames
from seamline.tuning import to_pixels
from seamline.v1.media_pb2 import ArtifactRef
from tests.fakes.alignment import HEIGHT, RANGES, WIDTH, put_alignment
from tests.fakes.bundle import tiny_bundle
from tests.fakes.inverted import HIDDEN, PLAN, TUNING, Inverted, edit, inverted_video


class FailOnceStore:
    """A store that does not answer once, when the first part whose name contains `name` is written."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def put(self, key: str, data: bytes) -> None:
        """Writes an object, or fails."""
        if self._name and self._name in key:
            self._name = ""
            raise StoreUnavailable("the store does not answer")
        self._store.put(key, data)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Inverted:
    return inverted_video(Path(tmp_path_factory.mktemp("stitch")))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Frames of every call of stitching tuning."""
    calls: list[int] = []
    original = stage.stitch

    def stitch(generator: object, goal: stage.Goal, *rest: object) -> object:
        calls.append(len(goal))
        return original(generator, goal, *rest)

    monkeypatch.setattr(stage, "stitch", stitch)
    return calls


def test_stits_algorithm_pastes_as_stit_does(made: Inverted) -> None:
    plan = replace(PLAN, frames=(0, 4), algorithm=Algorithm.STIT)
    assert plan.parameters() == replace(PLAN, frames=(0, 4)).parameters() | {"algorithm": "stit"}
    stitched = made.stitch(plan)
    artifact, alignment = (
        Artifact.open(made.store, stitched.ref, stage="stitch"),
        Alignment.open(made.store, made.alignment),
    )
    faces, masks = (decode_frames(artifact.read_part(f"{kind}-0-000000-000004")) for kind in ("stitched", "masks"))
    source, quads = made.source(), alignment.geometry(0).quads
    expected = [paste_sampled(source[n], faces[n], quads[n], masks[n][..., 2]) for n in range(4)]
    assert np.array_equal(made.frames(stitched), np.stack(expected))
    assert not np.array_equal(made.frames(stitched), made.frames(made.stitch(replace(PLAN, frames=(0, 4)))))


@pytest.mark.parametrize("algorithm", Algorithm)
def test_only_stit_masks_the_sources_face_alone(
    made: Inverted, algorithm: Algorithm, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    original = stage.parse

    def parse(bundle: Bundle, crops: torch.Tensor, config: MaskConfig, edited: torch.Tensor | None = None) -> Masks:
        seen.append(edited is not None and edited.shape == crops.shape and not torch.equal(edited, crops))
        return original(bundle, crops, config, edited)

    monkeypatch.setattr(stage, "parse", parse)
    tuning = replace(TUNING, max_steps=1, target_border_loss=0.5)  # of its own, so that nothing is there yet
    made.stitch(replace(PLAN, algorithm=algorithm, blend=Blend.FEATHER, tuning=tuning))
    assert seen
    assert set(seen) == {algorithm is Algorithm.DEFAULT}


def test_only_the_face_changes(made: Inverted) -> None:
    frames, source = made.frames(made.stitch()), made.source()
    assert frames.shape == (10, HEIGHT, WIDTH, 3)
    changed = (frames != source).any(-1)
    assert changed.any((1, 2)).tolist() == [number != HIDDEN for number in range(10)]
    assert not changed[:, :4].any()  # above the quad
    assert not changed[:, :, -8:].any()


def test_records_tell_of_every_face(made: Inverted) -> None:
    records = made.stitch().records
    assert [record.frame for record in records] == [number for number in range(10) if number != HIDDEN]
    assert all(record.steps == TUNING.max_steps for record in records)
    assert np.mean([r.border_stitched for r in records]) < np.mean([r.border_naive for r in records])


def test_without_stitching_the_naive_edit_is_pasted(made: Inverted) -> None:
    stitched = made.stitch(replace(PLAN, blend=Blend.FEATHER))
    artifact = Artifact.open(made.store, stitched.ref, stage="stitch")
    assert stitched.steps == 0
    for stored in RANGES:
        span = f"{stored[0]:06d}-{stored[1]:06d}"
        assert artifact.read_part(f"naive-0-{span}") == artifact.read_part(f"stitched-0-{span}")
    assert (made.frames(stitched) != made.frames(made.stitch())).any()


def test_the_naive_edit_is_what_the_tuned_generator_draws(made: Inverted) -> None:
    artifact = Artifact.open(made.store, made.stitch().ref, stage="stitch")
    inversion = stage.Inversion.open(made.store, made.inversion)
    generator = inversion.tune(made.bundle.generator(), 0)
    codes = inversion.pivots(0)[1][:4] + 2 * made.bundle.directions["smile"] - made.bundle.directions["age"]
    with torch.no_grad():
        expected = stage.to_pixels(generator.synthesis(codes))
    drawn = decode_frames(artifact.read_part("naive-0-000000-000004"))
    assert np.abs(drawn.astype(int) - expected).max() <= 1


def test_ranges_of_several_calls_make_up_the_video(made: Inverted) -> None:
    parts = [made.frames(made.stitch(replace(PLAN, frames=frames))) for frames in ((0, 4), (4, 8), (8, 10))]
    assert np.array_equal(np.concatenate(parts), made.frames(made.stitch()))


def test_a_range_may_cut_through_the_alignments_ranges(made: Inverted) -> None:
    stitched = made.stitch(replace(PLAN, frames=(2, 9)))
    assert len(made.frames(stitched)) == 7
    assert [record.frame for record in stitched.records] == [2, 3, 4, 6, 7, 8]


def test_a_range_without_a_face_is_the_source(made: Inverted) -> None:
    stitched = made.stitch(replace(PLAN, frames=(HIDDEN, HIDDEN + 1)))
    assert stitched.records == []
    assert np.array_equal(made.frames(stitched)[0], made.source()[HIDDEN])


def test_a_second_call_does_no_work_and_gives_the_same(made: Inverted, counted: list[int]) -> None:
    first = made.stitch()
    counted.clear()
    assert made.stitch() == first
    assert counted == []


def test_goes_on_after_the_range_that_failed(made: Inverted, counted: list[int]) -> None:
    plan = replace(PLAN, edits=(edit("age", (0.0, 1.5)),))
    with pytest.raises(StoreUnavailable):
        made.stitch(plan, store=FailOnceStore(made.store, "stitched-0-000004-000008"))
    assert counted == [4, 3]
    counted.clear()
    resumed = made.stitch(plan)
    assert counted == [3, 2]  # the first range is not done again
    assert resumed.steps == 9 * TUNING.max_steps


def test_the_edit_changes_with_the_frames_moments(made: Inverted) -> None:
    # At 25 frames a second: nothing until frame 2, all of it from frame 6 on.
    growing = replace(PLAN, edits=(edit("smile", (0.08, 0.0), (0.24, 3.0)),), blend=Blend.FEATHER)
    naive = made.crops(growing, "naive")
    inversion = stage.Inversion.open(made.store, made.inversion)
    generator = inversion.tune(made.bundle.generator(), 0)
    frames, pivots = inversion.pivots(0)
    strengths = {0: 0.0, 1: 0.0, 2: 0.0, 3: 3 * (3 / 16 - 2 / 64), 4: 1.5, 6: 3.0, 9: 3.0}
    for row, number in enumerate(frames.tolist()):
        if number in strengths:
            with torch.no_grad():
                codes = pivots[[row]] + strengths[number] * made.bundle.directions["smile"]
                expected = stage.to_pixels(generator.synthesis(codes))[0]
            assert np.abs(naive[row].astype(int) - expected).max() <= 1, number


def test_the_blend_and_the_moments_are_part_of_the_key(made: Inverted) -> None:
    plans = [
        *(replace(PLAN, blend=blend) for blend in Blend),
        replace(PLAN, edits=(edit("smile", (0.0, 2.0), (1.0, 2.0)),)),
        replace(PLAN, edits=(edit("smile", (0.0, 2.0)),)),
    ]
    assert len({str(plan.parameters()) for plan in plans}) == len(plans)
    meta = Artifact.open(made.store, made.stitch(plans[1]).ref, stage="stitch").meta
    assert meta["blend"] == "poisson"
    assert meta["edits"] == [["smile", 2.0], ["age", -1.0]]


def test_a_style_needs_no_edit(made: Inverted) -> None:
    old, config = Style(neutral="face", target="old face"), StyleConfig(max_steps=2, batch_size=1)
    styled = restyle(made.store, made.bundle, made.inversion, old, config, Job("restyle"))
    plan = replace(PLAN, edits=(), blend=Blend.FEATHER)
    stitched = replace(made, inversion=styled.ref).stitch(plan)
    artifact = Artifact.open(made.store, stitched.ref, stage="stitch")
    assert artifact.meta["edits"] == []
    generator = Inversion.open(made.store, styled.ref).tune(made.bundle.generator(), 0)
    _, pivots = Inversion.open(made.store, made.inversion).pivots(0)
    with torch.no_grad():
        expected = to_pixels(generator.synthesis(pivots[:2])).astype(int)
    drawn = decode_frames(artifact.read_part("naive-0-000000-000004"))[:2]
    assert np.abs(drawn - expected).mean() < 1


@pytest.mark.parametrize("frames", [(3, 3), (5, 2), (0, 11)])
def test_refuses_a_range_that_is_empty_or_outside(made: Inverted, frames: tuple[int, int]) -> None:
    with pytest.raises(InvalidInput, match="which has 10") as caught:
        made.stitch(replace(PLAN, frames=frames))
    assert caught.value.field == "range"


def test_refuses_to_do_nothing(made: Inverted) -> None:
    with pytest.raises(InvalidInput, match="no edit"):
        made.stitch(replace(PLAN, edits=()))


def test_refuses_an_inversion_of_another_alignment(made: Inverted) -> None:
    other = put_alignment(made.store, made.bundle, video="other")
    with pytest.raises(Precondition, match="another alignment"):
        replace(made, alignment=other).stitch()


def test_refuses_artifacts_of_another_bundle(made: Inverted, tmp_path: Path) -> None:
    with pytest.raises(Precondition, match="another bundle"):
        replace(made, bundle=tiny_bundle(tmp_path, seed=9)).stitch()


def test_refuses_references_that_are_mixed_up_or_gone(made: Inverted) -> None:
    with pytest.raises(InvalidInput, match="stage"):
        replace(made, inversion=made.alignment).stitch()
    gone = ArtifactRef(uri=made.inversion.uri.replace("invert", "inverted"), sha256=made.inversion.sha256)
    with pytest.raises(NotFound):
        replace(made, inversion=gone).stitch()
