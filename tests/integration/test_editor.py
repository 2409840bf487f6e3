"""The editor over real sockets, with stages whose work takes no time."""

import asyncio
from fractions import Fraction

import numpy as np
import pytest
import torch

from seamline.bundles import load_bundle
from seamline.checkpoints.stit_import import find_source, import_run
from seamline.checkpoints.stit_run import read_run
from seamline.errors import (
    InvalidInput,
    NoFace,
    NotFound,
    Overloaded,
    ServiceUnavailable,
    StoreUnavailable,
    UnknownEdit,
)
from seamline.job import Job
from seamline.storage import fetch_object, open_store, put_object, read_object
from seamline.v1.editor_pb2 import EditVideoResult, InvertedVideo, PreviewVideoResult
from seamline.v1.inverter_pb2 import (
    INVERSION_METHOD_ENCODER,
    INVERSION_METHOD_HYPERSTYLE,
    PIVOT_METHOD_OPTIMIZED,
    InvertOptions,
)
from seamline.v1.media_pb2 import EDIT_METHOD_LATENT_TRANSFORMER, ArtifactRef, Edit, Keyframe, TextStyle
from seamline.v1.stitcher_pb2 import BLEND_POISSON, StitchOptions
from seamline.video import probe, read_frames
from tests.asynchronous import asynchronous
from tests.fakes.alignment import HEIGHT, VIDEO, WIDTH, drawn_frame, put_alignment
from tests.fakes.bundle import tiny_bundle
from tests.fakes.relevance import with_relevance
from tests.fakes.stit import RUN, write_run
from tests.fakes.stitched import STITCHED
from tests.integration.world import SMILE, world_of
from tests.unit.video.films import film, packets

OLD = TextStyle(neutral="face", target="old face", strength=0.5)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bundles")
    with_relevance(tiny_bundle(directory))
    return directory


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return film(tmp_path_factory.mktemp("clip") / "clip.mp4", count=10, size=(WIDTH, HEIGHT), sound="aac")


@pytest.fixture
def world(tmp_path, bundles, clip):
    """Makes a World; `async with world(replicas=2) as w`."""
    url = (tmp_path / "store").as_uri()
    store = open_store(url)
    video = put_object(store, "videos/clip/source.mp4", clip)

    def make(replicas=1, dead=(), **aligned):
        return world_of(url, bundles, video, replicas=replicas, dead=dead, aligned=aligned)

    make.store, make.bundles = store, bundles
    return make


def _stages(events):
    return list(dict.fromkeys(event.stage for event in events[:-1]))


@asynchronous
async def test_an_edit_runs_every_stage_and_tells_what_came_of_it(world):
    async with world() as w:
        events = await w.edited()
    result = events[-1]
    assert _stages(events) == ["align", "invert", "stitch", "score", "mux"]
    assert isinstance(result, EditVideoResult)
    assert result.bundle == "tiny-64"
    assert set(result.stage_seconds) == {"align", "invert", "stitch", "score", "mux"}
    assert result.step_seconds["stitch.tune"] == pytest.approx(6.0)  # three ranges of 2 s each
    assert {"align.detect", "mux.encode"} <= set(result.step_seconds)
    assert (result.scores.tl_id, result.inversion_figures.psnr_db) == pytest.approx((0.99, 30.0))
    assert [(call.range.start, call.range.end) for stage, call in w.calls if stage == "stitch"] == [
        (0, 4),
        (4, 8),
        (8, 10),
    ]
    stitch_progress = [e for e in events[:-1] if e.stage == "stitch" and e.step == "tune"]
    assert (stitch_progress[-1].done, stitch_progress[-1].total) == (10, 10)


@asynchronous
async def test_every_stage_is_asked_for_what_the_caller_asked(world):
    rising = Edit(name="smile", keyframes=[Keyframe(strength=0), Keyframe(seconds=0.2, strength=2)])
    older = Edit(name="age", strength=1, method=EDIT_METHOD_LATENT_TRANSFORMER)
    invert = InvertOptions(method=INVERSION_METHOD_HYPERSTYLE, pivots=PIVOT_METHOD_OPTIMIZED, locality=True)
    stitch = StitchOptions(blend=BLEND_POISSON)
    async with world() as w:
        await w.edited([rising, older], invert=invert, stitch=stitch)
    asked = dict(w.calls)
    assert asked["invert"].options == invert
    assert asked["stitch"].options == stitch
    assert list(asked["stitch"].edits) == [rising, older]


@asynchronous
async def test_a_style_comes_after_the_inversion_and_is_what_is_stitched(world):
    async with world() as w:
        events = await w.edited({}, style=OLD)
    result, asked = events[-1], dict(w.calls)
    assert _stages(events) == ["align", "invert", "restyle", "stitch", "score", "mux"]
    assert set(result.stage_seconds) == {"align", "invert", "restyle", "stitch", "score", "mux"}
    assert result.step_seconds["restyle.learn"] == pytest.approx(3.0)
    assert (asked["restyle"].style, asked["restyle"].bundle) == (OLD, "tiny-64")
    assert asked["restyle"].inversion == result.inversion_figures.inversion
    assert asked["stitch"].inversion == result.inversion == result.restyle_figures.inversion
    assert result.inversion != result.inversion_figures.inversion
    assert (result.restyle_figures.steps, list(asked["stitch"].edits)) == (120, [])


@asynchronous
async def test_a_preview_shows_the_style(world):
    async with world() as w:
        events = await w.previewed([{}, SMILE], style=OLD)
    asked = dict(w.calls)
    assert _stages(events) == ["align", "invert", "restyle", "preview"]
    assert read_object(world.store, asked["preview"].inversion) == b"restyled"


@pytest.mark.parametrize(
    ("style", "field"),
    [
        (TextStyle(neutral="face", target="face with a mohawk"), "style.target"),
        (TextStyle(neutral="face", target="old face", strength=3), "style.strength"),
    ],
)
@asynchronous
async def test_an_impossible_style_is_refused_before_any_work(world, style, field):
    async with world() as w:
        for call in (w.edited(SMILE, style=style), w.previewed([SMILE], style=style)):
            with pytest.raises(InvalidInput) as error:
                await call
            assert error.value.field == field
    assert w.calls == []


@asynchronous
async def test_a_preview_aligns_inverts_and_draws(world):
    invert = InvertOptions(method=INVERSION_METHOD_ENCODER)
    async with world() as w:
        events = await w.previewed([{"smile": 1.0}, {"smile": 2.0, "age": 1.0}], frame_count=3, invert=invert)
    result = events[-1]
    assert _stages(events) == ["align", "invert", "preview"]
    assert [stage for stage, _ in w.calls] == ["align", "invert", "preview"]
    assert isinstance(result, PreviewVideoResult)
    assert (result.bundle, list(result.frames)) == ("tiny-64", [1, 5, 9])
    assert read_object(world.store, result.sheet) == b"sheet"
    assert set(result.stage_seconds) == {"align", "invert", "preview"}
    assert result.step_seconds["preview.draw"] == pytest.approx(0.5)
    asked = dict(w.calls)
    assert asked["invert"].options == invert
    assert asked["preview"].frame_count == 3
    assert [len(variant.edits) for variant in asked["preview"].variants] == [1, 2]


@pytest.mark.parametrize(("variants", "kind"), [([{"wings": 1.0}], UnknownEdit), ([], InvalidInput)])
@asynchronous
async def test_an_impossible_preview_is_refused_before_any_work(world, variants, kind):
    async with world() as w:
        with pytest.raises(kind) as error:
            await w.previewed(variants)
    assert error.value.field.startswith("variants")
    assert w.calls == []


@asynchronous
async def test_cancelling_a_preview_cancels_the_stage(world):
    async with world() as w:
        replica = w.replicas[0]
        replica.hold = "preview"
        preview = asyncio.create_task(w.previewed([SMILE]))
        await replica.held.wait()
        preview.cancel()
        await _until(lambda: replica.cancelled == 1)


@asynchronous
async def test_the_video_has_edited_frames_where_a_face_is_and_the_source_elsewhere(world, clip, tmp_path):
    async with world(hidden=(4, 5, 6, 7)) as w:
        result = (await w.edited())[-1]
    assert [(call.range.start, call.range.end) for stage, call in w.calls if stage == "stitch"] == [
        (0, 4),
        (8, 10),
    ]
    out = tmp_path / "edited.mp4"
    fetch_object(world.store, result.edited, out)
    for number, frame in enumerate(read_frames(out)):
        change = np.abs(frame.astype(int) - drawn_frame(number)).mean()
        assert change < 4 if 4 <= number < 8 else change == pytest.approx(STITCHED, abs=3)
    assert probe(out).frame_count == 10
    assert [data for _, data in packets(out, "audio")] == [data for _, data in packets(clip, "audio")]


@asynchronous
async def test_a_repeated_edit_writes_nothing_again(world):
    async with world() as w:
        first, second = [(await w.edited())[-1] for _ in range(2)]
    assert first.edited == second.edited
    assert "mux.encode" in first.step_seconds
    assert "mux.encode" not in second.step_seconds


@pytest.mark.parametrize("edits", [{"wings": 1.0}, {"smile": 99.0}])
@asynchronous
async def test_an_impossible_edit_is_refused_before_any_work(world, edits):
    async with world() as w:
        with pytest.raises(UnknownEdit) as error:
            await w.edited(edits)
    assert error.value.field.startswith("edits[0].")
    assert w.calls == []


@asynchronous
async def test_what_a_stage_refuses_reaches_the_caller_as_it_was(world):
    async with world() as w:
        w.replicas[0].failures["align"] = [NoFace("no face in 10 frames", field="video", frames=10)]
        with pytest.raises(NoFace, match="no face in 10 frames") as error:
            await w.edited()
    assert error.value.field == "video"
    assert error.value.metadata["frames"] == "10"
    assert [stage for stage, _ in w.calls] == ["align"]


@asynchronous
async def test_ranges_are_stitched_side_by_side_on_all_replicas(world):
    async with world(replicas=3) as w:
        await w.edited()
    assert [sum(stage == "stitch" for stage, _ in replica.calls) for replica in w.replicas] == [1, 1, 1]


@pytest.mark.parametrize("error", [Overloaded("full"), ServiceUnavailable("gone"), StoreUnavailable("away")])
@asynchronous
async def test_a_range_that_one_replica_refuses_is_done_by_another(world, error):
    async with world(replicas=2) as w:
        w.replicas[0].failures["stitch"] = [error]
        result = (await w.edited())[-1]
    assert len(result.stitched) == 3
    assert sum(stage == "stitch" for stage, _ in w.calls) == 4


@asynchronous
async def test_a_dead_endpoint_costs_time_and_nothing_else(world, monkeypatch):
    monkeypatch.setattr("seamline_editor.replicas.CONNECT_ELSEWHERE_SECONDS", 0.5)
    async with world(dead=["127.0.0.1:1"]) as w:
        result = (await w.edited())[-1]
    assert len(result.stitched) == 3


@asynchronous
async def test_a_failing_range_ends_the_edit_and_the_other_ranges(world):
    async with world(replicas=2) as w:
        w.replicas[0].hold = "stitch"
        w.replicas[1].failures["stitch"] = [NotFound("the inversion is gone")]
        w.replicas[1].fail_after = w.replicas[0].held
        with pytest.raises(NotFound, match="inversion is gone"):
            await w.edited()
        await _until(lambda: w.replicas[0].cancelled == 1)


@pytest.mark.parametrize("stage", ["align", "invert", "restyle", "stitch", "score"])
@asynchronous
async def test_cancelling_the_edit_cancels_the_stage(world, stage):
    async with world() as w:
        replica = w.replicas[0]
        replica.hold = stage
        edit = asyncio.create_task(w.edited(style=OLD))
        await replica.held.wait()
        edit.cancel()
        await _until(lambda: replica.cancelled == 1)


@asynchronous
async def test_lists_what_the_bundle_can_do(world):
    async with world() as w:
        listed = await w.client.list_edits("tiny-64")
        assert [(e.name, e.min_strength, e.max_strength) for e in listed.edits] == [
            ("smile", -3.0, 3.0),
            ("age", -2.0, 4.0),
        ]
        assert listed.text
        assert listed.style
        assert INVERSION_METHOD_HYPERSTYLE in listed.inversions
        assert EDIT_METHOD_LATENT_TRANSFORMER in listed.edits[0].methods
        with pytest.raises(NotFound, match="tiny-64"):
            await w.client.list_edits("no-such")


@asynchronous
async def test_erases_a_video_with_all_that_was_made_of_it(world):
    async with world() as w:
        other = put_object(world.store, "uploads/other.mp4", b"another video")
        result = (await w.edited())[-1]
        drawn = ArtifactRef(uri=w.video.uri, sha256=VIDEO)  # what the alignment says that it is of
        made = [entry.key for entry in world.store.list("artifacts/")]
        assert made
        assert all(key.startswith(f"artifacts/{VIDEO}/") for key in made)
        for wrong, field in (
            (ArtifactRef(uri=w.video.uri), "video.sha256"),
            (ArtifactRef(uri="https://host/clip.mp4", sha256=VIDEO), "video.uri"),
            (drawn, "video.uri"),  # whose bytes are others
        ):
            with pytest.raises(InvalidInput) as refused:
                await w.client.erase(wrong)
            assert refused.value.field == field
        assert [entry.key for entry in world.store.list("artifacts/")] == made
        erased = await w.client.erase(ArtifactRef(sha256=VIDEO))
        assert erased.objects == len(made)
        with pytest.raises(NotFound):
            read_object(world.store, result.edited)
        assert (await w.client.erase(w.video, keep_source=True)).objects == 0
        assert (await w.client.erase(w.video)).objects == 1
        assert (await w.client.erase(w.video)).objects == 0
        assert read_object(world.store, other) == b"another video"


async def _until(condition):
    """Waits for what another task is about to do."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def inverted(world, bundles, clip, tmp_path):
    """What exists of the clip: a run of Stitch it in Time, imported."""
    bundle = load_bundle("tiny-64", bundles)
    write_run(tmp_path / "STIT", bundle.generator().state_dict(), torch.randn(10, 10, 16))
    run = read_run(tmp_path / "STIT", RUN)
    source = find_source(run, clip, None, tmp_path / "made.mp4", Fraction(25))
    imported = import_run(Job("align"), world.store, bundle, run, source)
    return InvertedVideo(alignment=imported.alignment, inversion=imported.inversion)


@asynchronous
async def test_an_edit_goes_on_from_what_is_brought_along(world, inverted):
    async with world() as w:
        events = await w.edited(inverted=inverted)
        sheet = await w.previewed([SMILE], inverted=inverted)
    result = events[-1]
    assert _stages(events) == ["stitch", "score", "mux"]
    assert _stages(sheet) == ["preview"]
    assert {stage for stage, _ in w.calls} == {"stitch", "score", "preview"}
    assert (result.alignment, result.inversion) == (inverted.alignment, inverted.inversion)
    for stage, call in w.calls:
        assert call.alignment == inverted.alignment
        assert stage == "score" or call.inversion == inverted.inversion
    assert (result.video.frame_count, result.video.width, result.video.has_audio) == (10, WIDTH, True)
    assert result.inversion_figures.psnr_db > 0


@asynchronous
async def test_what_is_of_another_video_is_refused(world, inverted):
    other = InvertedVideo(
        alignment=put_alignment(world.store, load_bundle("tiny-64", world.bundles)), inversion=inverted.inversion
    )
    async with world() as w:
        with pytest.raises(InvalidInput, match="of another video") as refused:
            await w.edited(inverted=other)
        assert refused.value.field == "inverted.alignment"
        with pytest.raises(InvalidInput, match="names no inversion"):
            await w.edited(inverted=InvertedVideo(alignment=inverted.alignment))
        assert w.calls == []
