"""The stitch stage: what changes in the frames, what does not, and how it goes on after it was stopped."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import seamline_stitcher.stitching as stage
import torch
from seamline_inverter.inversion import invert
from seamline_inverter.pivotal_tuning import TuningConfig
from seamline_stitcher.stitching import Plan, Stitched, direction, stitch_range
from seamline_stitcher.stitching_tuning import StitchingConfig

from seamline.alignment import Alignment
from seamline.bundles import Bundle
from seamline.errors import InvalidInput, NotFound, Precondition, StoreUnavailable, UnknownEdit
from seamline.job import Job
from seamline.storage import Artifact, Store, decode_frames, open_store
from seamline.v1.media_pb2 import ArtifactRef
from tests.fakes.alignment import HEIGHT, RANGES, WIDTH, put_alignment
from tests.fakes.bundle import tiny_bundle

TUNING = StitchingConfig(
    max_steps=3, learning_rate=2e-3, style_learning_rate=1e-2, frames_together=32, batch_size=4, seed=0
)
PLAN = Plan(edits=[("smile", 2.0), ("age", -1.0)], frames=(0, 10), tuning=TUNING)
HIDDEN = 5


@dataclass
class Inverted:
    """A store with everything that the stitcher needs."""

    store: Store
    bundle: Bundle
    alignment: ArtifactRef
    inversion: ArtifactRef

    def stitch(self, plan: Plan = PLAN, store: Store | None = None) -> Stitched:
        """Runs the stage."""
        return stitch_range(store or self.store, self.bundle, self.alignment, self.inversion, plan, Job("stitch"))

    def frames(self, stitched: Stitched) -> np.ndarray:
        """The edited frames of the whole range."""
        artifact = Artifact.open(self.store, stitched.ref, stage="stitch")
        names = sorted(name for name in artifact.parts if name.startswith("frames-"))
        return np.concatenate([decode_frames(artifact.read_part(name)) for name in names])

    def source(self) -> np.ndarray:
        """The frames before."""
        alignment = Alignment.open(self.store, self.alignment)
        return np.concatenate([alignment.frames(stored) for stored in alignment.ranges])


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
    folder = Path(tmp_path_factory.mktemp("stitch"))
    bundle, store = tiny_bundle(folder / "bundles"), open_store(f"file://{folder}/store")
    alignment = put_alignment(store, bundle, hidden=[HIDDEN])
    config = TuningConfig(max_passes=2, learning_rate=3e-3, batch_size=4)
    inversion = invert(store, bundle, alignment, config, Job("invert")).ref
    return Inverted(store, bundle, alignment, inversion)


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
    stitched = made.stitch(replace(PLAN, stitching=False))
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
    plan = replace(PLAN, edits=[("age", 1.5)])
    with pytest.raises(StoreUnavailable):
        made.stitch(plan, store=FailOnceStore(made.store, "stitched-0-000004-000008"))
    assert counted == [4, 3]
    counted.clear()
    resumed = made.stitch(plan)
    assert counted == [3, 2]  # the first range is not done again
    assert resumed.steps == 9 * TUNING.max_steps


def test_edits_add_up() -> None:
    directions = {"a": torch.ones(2, 3), "b": torch.full((2, 3), 10.0)}
    assert torch.equal(direction(directions, [("a", 2.0), ("b", -0.5)]), torch.full((2, 3), -3.0))


@pytest.mark.parametrize("frames", [(3, 3), (5, 2), (0, 11)])
def test_refuses_a_range_that_is_empty_or_outside(made: Inverted, frames: tuple[int, int]) -> None:
    with pytest.raises(InvalidInput, match="which has 10") as caught:
        made.stitch(replace(PLAN, frames=frames))
    assert caught.value.field == "range"


def test_refuses_edits_that_the_bundle_does_not_have(made: Inverted) -> None:
    with pytest.raises(UnknownEdit, match="wings"):
        made.stitch(replace(PLAN, edits=[("wings", 1.0)]))
    with pytest.raises(UnknownEdit, match="strength") as caught:
        made.stitch(replace(PLAN, edits=[("smile", 1.0), ("age", 9.0)]))
    assert caught.value.field == "edits[1].strength"
    with pytest.raises(InvalidInput, match="no edit"):
        made.stitch(replace(PLAN, edits=[]))


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
