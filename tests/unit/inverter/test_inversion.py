"""The invert stage: what it writes, when it stops, and how it goes on after it was stopped."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from seamline_inverter import inversion
from seamline_inverter.inversion import Inverted, encode, invert
from seamline_inverter.pivotal_tuning import TuningConfig

from seamline.alignment import Alignment
from seamline.bundles import Bundle
from seamline.errors import Cancelled, InvalidInput, Precondition
from seamline.inversion import Inversion
from seamline.job import Job
from seamline.storage import Store, open_store
from seamline.tuning import to_images
from seamline.v1.media_pb2 import ArtifactRef, Progress
from tests.fakes.alignment import put_alignment
from tests.fakes.bundle import tiny_bundle

CONFIG = TuningConfig(max_passes=4, learning_rate=3e-3, batch_size=4, seed=0, precision="bfloat16")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(Path(tmp_path_factory.mktemp("bundles")))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/store")


@pytest.fixture
def alignment(store: Store, bundle: Bundle) -> ArtifactRef:
    return put_alignment(store, bundle, hidden=[5])


class Recorder:
    """A job that keeps what it was told and can be cancelled after so many messages of pivotal tuning."""

    def __init__(self, cancel_at: int | None = None) -> None:
        self.frames = 0
        self._cancel_at, self._cancelled = cancel_at, threading.Event()
        self.job = Job("invert", on_progress=self._on_progress, cancelled=self._cancelled)

    def _on_progress(self, progress: Progress) -> None:
        if progress.step == "pti":
            self.frames = progress.done
            if self._cancel_at is not None and progress.done >= self._cancel_at:
                self._cancelled.set()


def run(store: Store, bundle: Bundle, alignment: ArtifactRef, config: TuningConfig = CONFIG) -> Inverted:
    return invert(store, bundle, alignment, config, Job("invert"))


def test_pivots_are_the_encoders_codes_of_every_visible_crop(
    store: Store, bundle: Bundle, alignment: ArtifactRef
) -> None:
    written = Inversion.open(store, run(store, bundle, alignment).ref)
    frames, pivots = written.pivots(0)
    assert frames.tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    crops = Alignment.open(store, alignment).crops(0)
    expected = bundle.infer("e4e", to_images(crops, bundle.device)) + bundle.latent_avg
    torch.testing.assert_close(pivots, expected)


def test_the_stored_generator_draws_the_crops_as_well_as_it_says(
    store: Store, bundle: Bundle, alignment: ArtifactRef
) -> None:
    inverted = run(store, bundle, alignment, replace(CONFIG, max_passes=12))
    written = Inversion.open(store, inverted.ref)
    generator = written.tune(bundle.generator(), 0)
    _, pivots = written.pivots(0)
    images = to_images(Alignment.open(store, alignment).crops(0), bundle.device)
    with torch.no_grad():
        errors = (generator.synthesis(pivots) - images).square().mean((1, 2, 3))
    psnr = (10 * torch.log10(4 / errors)).mean().item()
    assert inverted.psnr_db > inverted.pivot_psnr_db + 2
    assert psnr == pytest.approx(inverted.psnr_db, abs=1.0)


def test_stops_at_the_target(store: Store, bundle: Bundle, alignment: ArtifactRef) -> None:
    every = run(store, bundle, alignment)
    target = replace(CONFIG, target_psnr_db=every.psnr_db - 0.1, max_passes=50)
    assert run(store, bundle, alignment, target).tracks[0].passes <= CONFIG.max_passes


def test_a_second_call_does_nothing_and_gives_the_same(store: Store, bundle: Bundle, alignment: ArtifactRef) -> None:
    first, again = run(store, bundle, alignment), Recorder()
    assert invert(store, bundle, alignment, CONFIG, again.job) == first
    assert again.job.seconds == {}


def test_same_inputs_give_the_same_bytes(tmp_path: Path, bundle: Bundle) -> None:
    stores = [open_store(f"file://{tmp_path}/{name}") for name in "ab"]
    digests = {run(store, bundle, put_alignment(store, bundle)).ref.sha256 for store in stores}
    assert len(digests) == 1


def test_a_cancelled_call_goes_on_where_it_was(
    store: Store, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inversion, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("seamline.job.MIN_PROGRESS_INTERVAL", 0.0)
    alignment = put_alignment(store, bundle)
    updates: list[int] = []
    update = inversion.PivotalTuning.update

    def counted(self: inversion.PivotalTuning, *arguments: torch.Tensor) -> object:
        updates.append(len(arguments[0]))
        return update(self, *arguments)

    monkeypatch.setattr(inversion.PivotalTuning, "update", counted)
    with pytest.raises(Cancelled):
        invert(store, bundle, alignment, CONFIG, Recorder(cancel_at=24).job)
    assert sum(updates) <= 24 + CONFIG.batch_size  # stopped in its third pass, within one step
    updates.clear()
    resumed = run(store, bundle, alignment)
    assert sum(updates) == 20  # the third and the fourth pass
    elsewhere = open_store(f"file://{tmp_path}/straight")
    straight = run(elsewhere, bundle, put_alignment(elsewhere, bundle))
    assert resumed.ref.sha256 == straight.ref.sha256


def test_a_checkpoint_that_is_not_one_is_ignored(store: Store, bundle: Bundle, alignment: ArtifactRef) -> None:
    first = run(store, bundle, alignment)
    key = Inversion.open(store, first.ref).artifact.recipe.key
    for part in list(store.list(f"{key}/manifests/")) + list(store.list(f"{key}/sidecars/generator-0")):
        store.put(part, b"{}")
    store.put(f"{key}/checkpoints/0.safetensors", b"not a checkpoint")
    assert run(store, bundle, alignment).tracks == first.tracks


def test_refuses_an_alignment_of_another_bundle(
    store: Store, bundle: Bundle, alignment: ArtifactRef, tmp_path: Path
) -> None:
    with pytest.raises(Precondition, match="align the video again"):
        run(store, tiny_bundle(tmp_path, seed=7), alignment)


def test_says_that_the_tuning_diverged(store: Store, bundle: Bundle, alignment: ArtifactRef) -> None:
    hot = replace(CONFIG, l2_weight=1e39)  # more than float32 holds
    with pytest.raises(InvalidInput, match="diverged"):
        run(store, bundle, alignment, hot)


def test_codes_of_larger_crops_are_those_of_the_reduced_ones(bundle: Bundle) -> None:
    small = torch.rand(2, 3, 64, 64) * 2 - 1
    large = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(encode(bundle, large), encode(bundle, small), rtol=1e-4, atol=1e-4)
