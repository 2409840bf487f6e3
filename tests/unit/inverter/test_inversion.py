"""The invert stage: what it writes, when it stops, and how it goes on after it was stopped."""

import threading
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from seamline_inverter import checkpoint, crops, pivots
from seamline_inverter.code_search import SearchConfig
from seamline_inverter.inversion import Inverted, invert
from seamline_inverter.options import InversionConfig, Method, PivotSource
from seamline_inverter.pivotal_tuning import PivotalTuning, TuningConfig, psnr_db
from seamline_inverter.pivots import encode

from seamline.algorithm import Algorithm
from seamline.alignment import Alignment, Range
from seamline.bundles import Bundle
from seamline.errors import Cancelled, InvalidInput, Precondition
from seamline.inversion import Inversion
from seamline.job import Job
from seamline.storage import Store, open_store
from seamline.storage.framepack import Frames
from seamline.tuning import batch_order, to_images
from seamline.v1.media_pb2 import ArtifactRef, Progress
from tests.fakes.alignment import put_alignment
from tests.fakes.bundle import tiny_bundle

TUNING = TuningConfig(max_passes=4, learning_rate=3e-3, batch_size=4, seed=0, precision="bfloat16")
CROP_BYTES = 64 * 64 * 3


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(Path(tmp_path_factory.mktemp("bundles")))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/store")


@pytest.fixture
def alignment(store: Store, bundle: Bundle) -> ArtifactRef:
    return put_alignment(store, bundle, hidden=[5])


def config_of(**changes: Any) -> InversionConfig:
    """Pivotal tuning with some settings changed."""
    return InversionConfig(tuning=replace(TUNING, **changes))


CONFIG = config_of()


class Recorder:
    """A job that keeps what it was told and can be cancelled after so much of a step."""

    def __init__(self, cancel_at: int | None = None, step: str = "pti") -> None:
        self.frames = 0
        self._step, self._cancel_at, self._cancelled = step, cancel_at, threading.Event()
        self.job = Job("invert", on_progress=self._on_progress, cancelled=self._cancelled)

    def _on_progress(self, progress: Progress) -> None:
        if progress.step == self._step:
            self.frames = progress.done
            if self._cancel_at is not None and progress.done >= self._cancel_at:
                self._cancelled.set()


def run(store: Store, bundle: Bundle, alignment: ArtifactRef, config: InversionConfig = CONFIG) -> Inverted:
    return invert(store, bundle, alignment, config, Job("invert"))


def test_pivots_are_the_encoders_codes_of_every_visible_crop(
    store: Store, bundle: Bundle, alignment: ArtifactRef
) -> None:
    written = Inversion.open(store, run(store, bundle, alignment).ref)
    frames, codes = written.pivots(0)
    assert frames.tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    crops = Alignment.open(store, alignment).crops(0)
    expected = bundle.infer("e4e", to_images(crops, bundle.device)) + bundle.latent_avg
    torch.testing.assert_close(codes, expected)


def test_the_stored_generator_draws_the_crops_as_well_as_it_says(
    store: Store, bundle: Bundle, alignment: ArtifactRef
) -> None:
    inverted = run(store, bundle, alignment, config_of(max_passes=12))
    written = Inversion.open(store, inverted.ref)
    generator = written.tune(bundle.generator(), 0)
    _, codes = written.pivots(0)
    images = to_images(Alignment.open(store, alignment).crops(0), bundle.device)
    with torch.no_grad():
        errors = (generator.synthesis(codes) - images).square().mean((1, 2, 3))
    psnr = (10 * torch.log10(4 / errors)).mean().item()
    assert inverted.psnr_db > inverted.pivot_psnr_db + 2
    assert psnr == pytest.approx(inverted.psnr_db, abs=1.0)


def test_stits_weights_are_stored_as_they_were_tuned(store: Store, bundle: Bundle, alignment: ArtifactRef) -> None:
    config = replace(config_of(max_passes=1), algorithm=Algorithm.STIT)
    exact, compact = (Inversion.open(store, run(store, bundle, alignment, each).ref) for each in (config, CONFIG))
    for written, kind in ((exact, torch.float32), (compact, torch.float16)):
        weights = safetensors.torch.load(written.artifact.read_part("generator-0.safetensors"))
        assert {weight.dtype for weight in weights.values()} == {kind}


def test_stits_encoder_sees_samples_of_larger_crops(bundle: Bundle) -> None:
    images = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(2)) * 2 - 1
    # The four pixels around the centre of every square that becomes one pixel.
    inner = images[:, :, 1:-1, 1:-1].unfold(2, 2, 4).unfold(3, 2, 4).mean((4, 5))
    torch.testing.assert_close(encode(bundle, images, Algorithm.STIT), encode(bundle, inner))
    averaged = images.unfold(2, 4, 4).unfold(3, 4, 4).mean((4, 5))
    torch.testing.assert_close(encode(bundle, images), encode(bundle, averaged))


def test_stops_at_the_target(store: Store, bundle: Bundle, alignment: ArtifactRef) -> None:
    every = run(store, bundle, alignment)
    target = config_of(target_psnr_db=every.psnr_db - 0.1, max_passes=50)
    assert run(store, bundle, alignment, target).tracks[0].passes <= TUNING.max_passes


def test_a_second_call_does_nothing_and_gives_the_same(store: Store, bundle: Bundle, alignment: ArtifactRef) -> None:
    first, again = run(store, bundle, alignment), Recorder()
    assert invert(store, bundle, alignment, CONFIG, again.job) == first
    assert again.job.seconds == {}


def test_same_inputs_give_the_same_bytes(tmp_path: Path, bundle: Bundle) -> None:
    stores = [open_store(f"file://{tmp_path}/{name}") for name in "ab"]
    digests = {run(store, bundle, put_alignment(store, bundle)).ref.sha256 for store in stores}
    assert len(digests) == 1


def test_a_cancelled_call_goes_on_with_the_group_it_was_in(
    store: Store, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("seamline.job.MIN_PROGRESS_INTERVAL", 0.0)
    monkeypatch.setattr(crops, "MOST_BYTES", 4 * CROP_BYTES)
    alignment = put_alignment(store, bundle)
    config = config_of(batch_size=2)
    updates: list[int] = []
    update = PivotalTuning.update

    def counted(self: PivotalTuning, *arguments: torch.Tensor) -> object:
        updates.append(len(arguments[0]))
        return update(self, *arguments)

    monkeypatch.setattr(PivotalTuning, "update", counted)
    with pytest.raises(Cancelled):
        invert(store, bundle, alignment, config, Recorder(cancel_at=24).job)
    assert sum(updates) == 24  # stopped in the third pass, within one step
    updates.clear()
    resumed = run(store, bundle, alignment, config)
    assert 16 <= sum(updates) <= 16 + 4  # what was left, and at most one group again
    elsewhere = open_store(f"file://{tmp_path}/straight")
    straight = run(elsewhere, bundle, put_alignment(elsewhere, bundle), config)
    assert resumed.ref.sha256 == straight.ref.sha256


SEARCH = InversionConfig(
    method=Method.ENCODER,
    pivots=PivotSource.OPTIMIZED,
    tuning=TUNING,
    search=SearchConfig(pivot_steps=6, pivot_learning_rate=0.02),
)


def test_codes_alone_come_with_the_bundles_own_generator(store: Store, bundle: Bundle, alignment: ArtifactRef) -> None:
    inverted = run(store, bundle, alignment, replace(CONFIG, method=Method.ENCODER))
    written = Inversion.open(store, inverted.ref)
    assert list(written.artifact.parts) == ["pivots-0.safetensors"]
    assert inverted.psnr_db == inverted.pivot_psnr_db
    assert inverted.tracks[0].passes == 0
    tuned = run(store, bundle, alignment)
    assert torch.equal(written.pivots(0)[1], Inversion.open(store, tuned.ref).pivots(0)[1])
    made = dict(written.tune(bundle.generator(), 0).named_parameters())
    assert all(torch.equal(weight, made[name]) for name, weight in bundle.generator().named_parameters())


def test_a_searched_code_is_one_for_all_layers_and_draws_better_than_where_it_began(
    store: Store, bundle: Bundle, alignment: ArtifactRef
) -> None:
    frames, codes = Inversion.open(store, run(store, bundle, alignment, SEARCH).ref).pivots(0)
    assert len(frames) == len(codes) == 9
    assert torch.equal(codes, codes[:, :1].expand_as(codes))
    images = to_images(Alignment.open(store, alignment).crops(0), bundle.device)
    perceptual, generator = bundle.module("perceptual"), bundle.generator()
    with torch.no_grad():
        start = encode(bundle, images).mean(1, keepdim=True).expand_as(codes)
        before, after = (perceptual(generator.synthesis(place), images).mean() for place in (start, codes))
    assert after < before


def test_a_search_that_was_stopped_goes_on_after_the_last_batch(
    store: Store, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("seamline.job.MIN_PROGRESS_INTERVAL", 0.0)
    monkeypatch.setattr(pivots, "BATCH", 2)
    alignment, steps = put_alignment(store, bundle), SEARCH.search.pivot_steps
    first = Recorder(cancel_at=steps * 4 + 2, step="search")
    with pytest.raises(Cancelled):
        invert(store, bundle, alignment, SEARCH, first.job)
    assert first.frames == steps * 4 + 2  # within one step
    begun: list[int] = []
    search = pivots.search

    def counted(*arguments: Any) -> torch.Tensor:
        begun.append(len(arguments[2]))
        return search(*arguments)

    monkeypatch.setattr(pivots, "search", counted)
    resumed = run(store, bundle, alignment, SEARCH)
    assert begun == [2, 2, 2]
    elsewhere = open_store(f"file://{tmp_path}/straight")
    straight = run(elsewhere, bundle, put_alignment(elsewhere, bundle), SEARCH)
    assert resumed.ref.sha256 == straight.ref.sha256


def test_hyperstyle_draws_the_crops_better_without_going_over_all_of_them(
    store: Store, bundle: Bundle, alignment: ArtifactRef
) -> None:
    recorder = Recorder(step="predict")
    inverted = invert(store, bundle, alignment, replace(CONFIG, method=Method.HYPERSTYLE), recorder.job)
    assert {"encode", "predict", "refine", "measure"} <= recorder.job.seconds.keys()
    assert "pti" not in recorder.job.seconds
    assert recorder.frames == 2  # drawings: an untrained hypernetwork's first pass draws nothing better
    assert inverted.psnr_db > inverted.pivot_psnr_db + 1
    written = Inversion.open(store, inverted.ref)
    generator, (_, codes) = written.tune(bundle.generator(), 0), written.pivots(0)
    assert torch.equal(codes, codes[:, :1].expand_as(codes))  # W, as the paper's
    images = to_images(Alignment.open(store, alignment).crops(0), bundle.device)
    with torch.no_grad():
        psnr = psnr_db((generator.synthesis(codes) - images).square().mean((1, 2, 3))).mean().item()
    assert psnr == pytest.approx(inverted.psnr_db, abs=0.1)


def test_predicting_stops_when_it_is_told_to(
    store: Store, bundle: Bundle, alignment: ArtifactRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seamline.job.MIN_PROGRESS_INTERVAL", 0.0)
    recorder, config = Recorder(cancel_at=2, step="predict"), replace(CONFIG, method=Method.HYPERSTYLE)
    with pytest.raises(Cancelled):
        invert(store, bundle, alignment, config, recorder.job)
    assert recorder.frames == 2
    straight = run(store, bundle, put_alignment(store, bundle, hidden=[5]), config)
    assert straight.tracks[0].frames == 9


def test_options_that_do_not_matter_give_the_same_inversion(
    store: Store, bundle: Bundle, alignment: ArtifactRef
) -> None:
    first = run(store, bundle, alignment, replace(CONFIG, method=Method.ENCODER))
    other = replace(config_of(max_passes=9), method=Method.ENCODER)
    again = Recorder()
    assert invert(store, bundle, alignment, other, again.job) == first
    assert again.job.seconds == {}
    assert run(store, bundle, alignment).ref.uri != first.ref.uri


@pytest.mark.parametrize(
    ("together", "config"),
    [
        pytest.param(10, TUNING, id="a short clip, shuffled batches"),
        pytest.param(4, TuningConfig(max_passes=2, learning_rate=3e-3), id="any clip, as published"),
    ],
)
def test_is_what_tuning_with_all_crops_in_memory_is(
    store: Store, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, together: int, config: TuningConfig
) -> None:
    ranges = [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]
    monkeypatch.setattr(crops, "MOST_BYTES", together * CROP_BYTES)
    alignment = put_alignment(store, bundle, ranges=ranges)
    written = Inversion.open(store, run(store, bundle, alignment, InversionConfig(tuning=config)).ref)
    _, codes = written.pivots(0)
    images = to_images(Alignment.open(store, alignment).crops(0), bundle.device)
    expected = PivotalTuning(bundle.generator(), bundle.module("perceptual"), config)
    for turn in range(config.max_passes):
        for frames in batch_order(len(images), config.batch_size, seed=config.seed, turn=turn):
            expected.update(codes[frames], images[frames], frames)
    tuned = dict(written.tune(bundle.generator(), 0).synthesis.named_parameters())
    for name, weight in expected.generator.synthesis.named_parameters():
        assert torch.equal(tuned[name], weight.half().float()), name


def test_memory_does_not_grow_with_the_video(store: Store, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crops, "MOST_BYTES", 4 * CROP_BYTES)
    ranges = [(start, start + 2) for start in range(0, 40, 2)]
    alignment = put_alignment(store, bundle, ranges=ranges)
    read: list[weakref.ref[Frames]] = []
    most = 0
    original = Alignment.crops

    def counted(self: Alignment, track: int, stored: Sequence[Range] | None = None) -> Frames:
        nonlocal most
        pixels = original(self, track, stored)
        read.append(weakref.ref(pixels))
        most = max(most, sum(len(array) for held in read if (array := held()) is not None))
        return pixels

    monkeypatch.setattr(Alignment, "crops", counted)
    run(store, bundle, alignment, config_of(max_passes=2))
    assert len(read) <= (1 + 2) * 40 / 4  # one look for the codes and one for each pass
    assert most <= 2 * 4  # frames of the group in hand and of the next


def test_a_checkpoint_that_is_not_one_is_ignored(store: Store, bundle: Bundle, alignment: ArtifactRef) -> None:
    first = run(store, bundle, alignment)
    key = Inversion.open(store, first.ref).artifact.recipe.key
    for part in list(store.list(f"{key}/manifests/")) + list(store.list(f"{key}/sidecars/generator-0")):
        store.put(part.key, b"{}")
    store.put(f"{key}/checkpoints/0.safetensors", b"not a checkpoint")
    assert run(store, bundle, alignment).tracks == first.tracks


def test_refuses_an_alignment_of_another_bundle(
    store: Store, bundle: Bundle, alignment: ArtifactRef, tmp_path: Path
) -> None:
    with pytest.raises(Precondition, match="align the video again"):
        run(store, tiny_bundle(tmp_path, seed=7), alignment)


def test_says_that_the_tuning_diverged(store: Store, bundle: Bundle, alignment: ArtifactRef) -> None:
    hot = config_of(l2_weight=1e39)  # more than float32 holds
    with pytest.raises(InvalidInput, match="diverged"):
        run(store, bundle, alignment, hot)


def test_codes_of_larger_crops_are_those_of_the_reduced_ones(bundle: Bundle) -> None:
    small = torch.rand(2, 3, 64, 64) * 2 - 1
    large = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(encode(bundle, large), encode(bundle, small), rtol=1e-4, atol=1e-4)
