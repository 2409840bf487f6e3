"""The stitcher over its socket."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from seamline_inverter.inversion import invert
from seamline_inverter.options import InversionConfig
from seamline_inverter.pivotal_tuning import TuningConfig
from seamline_stitcher.config import StitcherConfig
from seamline_stitcher.servicer import StitcherServicer

from seamline.bundles import Bundle
from seamline.client import call_stage, open_channel
from seamline.errors import InvalidInput, Precondition, UnknownEdit
from seamline.job import Job
from seamline.rpc.server import started
from seamline.storage import Artifact, Store, decode_frames, open_store, read_object
from seamline.v1.media_pb2 import (
    ALGORITHM_STIT,
    ArtifactRef,
    Edit,
    EditMethod,
    FrameRange,
    Keyframe,
    Progress,
    TextEdit,
    Variant,
)
from seamline.v1.stitcher_pb2 import (
    Blend,
    PreviewRequest,
    PreviewResult,
    StitchOptions,
    StitchRequest,
    StitchResult,
)
from seamline.v1.stitcher_pb2_grpc import StitcherServiceStub, add_StitcherServiceServicer_to_server
from tests.asynchronous import asynchronous
from tests.calling import AT_ONCE
from tests.fakes.alignment import put_alignment
from tests.fakes.bundle import NAME, tiny_bundle
from tests.fakes.relevance import with_relevance

SERVICE = "seamline.v1.StitcherService"


@dataclass
class Ready:
    """A store with an alignment and its inversion."""

    url: str
    store: Store
    bundle: Bundle
    alignment: ArtifactRef
    inversion: ArtifactRef

    def request(
        self, *edits: tuple[str, float] | Edit, frames: tuple[int, int] = (0, 4), **options: Any
    ) -> StitchRequest:
        """A request, by default for the first four frames."""
        return StitchRequest(
            alignment=self.alignment,
            inversion=self.inversion,
            bundle=NAME,
            edits=[edit if isinstance(edit, Edit) else Edit(name=edit[0], strength=edit[1]) for edit in edits],
            range=FrameRange(start=frames[0], end=frames[1]),
            options=StitchOptions(**options),
        )

    def preview(self, *strengths: float, frame_count: int = 0) -> PreviewRequest:
        """A request for some strengths of a smile."""
        variants = [Variant(edits=[Edit(name="smile", strength=strength)]) for strength in strengths]
        return PreviewRequest(
            alignment=self.alignment,
            inversion=self.inversion,
            bundle=NAME,
            variants=variants,
            frame_count=frame_count,
        )


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    folder = Path(tmp_path_factory.mktemp("stitcher"))
    bundle, url = with_relevance(tiny_bundle(folder / "bundles")), f"file://{folder}/store"
    store = open_store(url)
    alignment = put_alignment(store, bundle)
    config = InversionConfig(tuning=TuningConfig(max_passes=1, batch_size=4))
    inversion = invert(store, bundle, alignment, config, Job("invert")).ref
    return Ready(url, store, bundle, alignment, inversion)


@asynccontextmanager
async def serving(ready: Ready) -> AsyncIterator[StitcherServiceStub]:
    bundles = ready.bundle.directory.parent
    config = StitcherConfig(host="127.0.0.1", port=0, metrics_port=0, store=ready.url, bundles_path=bundles)

    def register(server: grpc.aio.Server) -> None:
        add_StitcherServiceServicer_to_server(StitcherServicer(config, open_store(config.store)), server)

    async with (
        started(config, register, SERVICE) as ports,
        open_channel(f"127.0.0.1:{ports.grpc}") as channel,
    ):
        yield StitcherServiceStub(channel)


async def call(stub: StitcherServiceStub, message: StitchRequest) -> list[Progress | StitchResult]:
    return [event async for event in call_stage(stub.Stitch, message, "stitcher:1", retry=AT_ONCE)]


@asynchronous
async def test_stitches_a_range_and_tells_of_its_progress(ready: Ready) -> None:
    message = ready.request(("smile", 1.5), frames=(0, 8), max_steps=3)
    async with serving(ready) as stub:
        *progress, result = await call(stub, message)
        *_, again = await call(stub, message)
    assert (result.range.start, result.range.end, result.steps) == (0, 8, 24)
    assert again.stitched == result.stitched
    assert any(message.step == "stitch" and "border_loss" in message.figures for message in progress)
    artifact = Artifact.open(ready.store, result.stitched, stage="stitch")
    edited = decode_frames(artifact.read_part("frames-000004-000008"))
    source = decode_frames(Artifact.open(ready.store, ready.alignment, "align").read_part("frames-000004-000008"))
    assert edited.shape == source.shape
    assert (np.abs(edited.astype(int) - source).max((1, 2, 3)) > 0).all()


@asynchronous
async def test_options_reach_the_tuning(ready: Ready) -> None:
    async with serving(ready) as stub:
        *_, naive = await call(stub, ready.request(("age", 1.0), blend=Blend.BLEND_FEATHER))
        *_, soon = await call(stub, ready.request(("age", 1.0), target_border_loss=99.0))
    assert naive.steps == soon.steps == 0
    meta = Artifact.open(ready.store, naive.stitched, stage="stitch").meta
    assert meta["blend"] == "feather"
    assert meta["edits"] == [["age", 1.0]]


@asynchronous
async def test_stits_settings_take_the_place_of_the_bundles(ready: Ready) -> None:
    async with serving(ready) as stub:
        *_, own = await call(stub, ready.request(("age", 1.0), frames=(0, 1)))
        *_, stit = await call(stub, ready.request(("age", 1.0), frames=(0, 1), algorithm=ALGORITHM_STIT))
        *_, short = await call(stub, ready.request(("age", 1.0), frames=(0, 1), algorithm=ALGORITHM_STIT, max_steps=2))
    assert (own.steps, stit.steps, short.steps) == (4, 100, 2)
    assert len({result.stitched.uri for result in (own, stit, short)}) == 3


@asynchronous
async def test_an_edit_grows_over_time(ready: Ready) -> None:
    keyframes = [Keyframe(seconds=0.04, strength=0), Keyframe(seconds=0.08, strength=3)]
    growing = Edit(name="smile", keyframes=keyframes)
    async with serving(ready) as stub:
        naive = [
            await naive_crops(ready, stub, edit)
            for edit in (Edit(name="smile"), growing, Edit(name="smile", strength=3))
        ]
    still, moving, full = naive
    assert np.array_equal(moving[:2], still[:2])
    assert np.array_equal(moving[2:], full[2:])
    assert (still != full).any((1, 2, 3)).all()


@asynchronous
async def test_every_way_to_edit_draws_other_faces(ready: Ready) -> None:
    glasses = Edit(text=TextEdit(neutral="face", target="face with glasses"), strength=3)
    smile = Edit(name="smile", strength=2)
    learnt = Edit(name="smile", strength=2, method=EditMethod.EDIT_METHOD_LATENT_TRANSFORMER)
    async with serving(ready) as stub:
        drawn = [await naive_crops(ready, stub, *edits) for edits in ([glasses], [smile], [learnt], [glasses, smile])]
        *_, tuned = await call(stub, ready.request(glasses, smile))
        with pytest.raises(InvalidInput) as caught:
            await call(stub, ready.request(Edit(text=TextEdit(neutral="face", target=""), strength=1)))
    assert caught.value.field == "edits[0].text.target"
    assert len(np.unique(np.stack(drawn).reshape(4, -1), axis=0)) == 4
    meta = Artifact.open(ready.store, tuned.stitched, stage="stitch").meta
    assert meta["edits"] == [["face → face with glasses", 3.0], ["smile", 2.0]]
    naive, stitched = (
        np.mean([record[f"border_{kind}"] for record in meta["frames"]]) for kind in ("naive", "stitched")
    )
    assert stitched < naive


async def naive_crops(ready: Ready, stub: StitcherServiceStub, *edits: Edit) -> np.ndarray:
    """What edits alone make of the first frames."""
    *_, result = await call(stub, ready.request(*edits, blend=Blend.BLEND_FEATHER))
    return decode_frames(Artifact.open(ready.store, result.stitched, stage="stitch").read_part("naive-0-000000-000004"))


@asynchronous
async def test_every_blend_gives_other_frames(ready: Ready) -> None:
    async with serving(ready) as stub:
        results = [(await call(stub, ready.request(("smile", 2.0), blend=blend)))[-1] for blend in Blend.values()]
    artifacts = [Artifact.open(ready.store, result.stitched, stage="stitch") for result in results]
    assert [artifact.meta["blend"] for artifact in artifacts] == ["stitch", "stitch", "poisson", "feather", "paste"]
    assert len({artifact.read_part("frames-000000-000004") for artifact in artifacts}) == 4


@asynchronous
async def test_previews_variants(ready: Ready) -> None:
    async with serving(ready) as stub:
        *progress, result = await preview(stub, ready.preview(-2, 0, 2, frame_count=2))
        *_, again = await preview(stub, ready.preview(-2, 0, 2, frame_count=2))
    assert again.sheet == result.sheet
    assert "draw" not in again.timing.step_seconds
    assert any(message.step == "draw" for message in progress)
    assert list(result.frames) == [2, 7]
    with Image.open(io.BytesIO(read_object(ready.store, result.sheet))) as sheet:
        assert (sheet.format, sheet.width) == ("PNG", 4 * (64 + 4) + 4)
        assert sheet.height > 2 * (64 + 4) + 4


@asynchronous
async def test_previews_texts_in_the_units_of_the_algorithm(ready: Ready) -> None:
    text = Variant(edits=[Edit(text=TextEdit(neutral="face", target="face with glasses"), strength=8)])
    asked = ready.preview(frame_count=1)
    asked.variants.append(text)
    stits = PreviewRequest(algorithm=ALGORITHM_STIT)
    stits.MergeFrom(asked)
    async with serving(ready) as stub:
        sheets = [(await preview(stub, request))[-1].sheet for request in (asked, stits)]
    assert read_object(ready.store, sheets[0]) != read_object(ready.store, sheets[1])


async def preview(stub: StitcherServiceStub, message: PreviewRequest) -> list[Progress | PreviewResult]:
    return [event async for event in call_stage(stub.Preview, message, "stitcher:1", retry=AT_ONCE)]


@asynchronous
async def test_says_what_is_wrong_with_a_preview(ready: Ready) -> None:
    async with serving(ready) as stub:
        with pytest.raises(InvalidInput, match="only 10 have a face") as caught:
            await preview(stub, ready.preview(1, frame_count=11))
        assert caught.value.field == "frame_count"
        with pytest.raises(InvalidInput, match="more than 256") as caught:
            await preview(stub, ready.preview(*[1] * 100))
        assert caught.value.field == "variants"
        with pytest.raises(InvalidInput, match="no variant"):
            await preview(stub, ready.preview())
        with pytest.raises(UnknownEdit) as caught:
            await preview(stub, ready.preview(1, 50))
        assert caught.value.field == "variants[1].edits[0].strength"


@asynchronous
async def test_says_what_is_wrong_with_a_request(ready: Ready) -> None:
    async with serving(ready) as stub:
        with pytest.raises(InvalidInput, match="which has 10") as caught:
            await call(stub, ready.request(("age", 1.0), frames=(8, 12)))
        assert caught.value.field == "range"
        with pytest.raises(InvalidInput, match="which has 10"):
            await call(stub, ready.request(("age", 1.0), frames=(0, 0)))
        with pytest.raises(UnknownEdit, match="strengths from") as caught:
            await call(stub, ready.request(("smile", 50.0)))
        assert caught.value.field == "edits[0].strength"
        with pytest.raises(InvalidInput) as caught:
            await call(stub, ready.request(Edit(name="smile", keyframes=[Keyframe(seconds=-1, strength=1)])))
        assert caught.value.field == "edits[0].keyframes[0].seconds"
        with pytest.raises(InvalidInput, match="does not know") as caught:
            await call(stub, ready.request(("smile", 1.0), blend=77))
        assert caught.value.field == "options.blend"
        with pytest.raises(InvalidInput, match="max_steps"):
            await call(stub, ready.request(("smile", 1.0), max_steps=0))
        message = ready.request(("smile", 1.0))
        message.alignment.CopyFrom(put_alignment(ready.store, ready.bundle, video="other"))
        with pytest.raises(Precondition, match="another alignment"):
            await call(stub, message)
