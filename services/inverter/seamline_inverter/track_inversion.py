"""One track's inversion: codes from the encoder, then a generator tuned to draw the crops from them.

Both go over the crops a few ranges at a time: a long track needs no more memory than a short one, but for its codes.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import cast

import safetensors.torch
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor

from seamline.alignment import Alignment
from seamline.bundles import Bundle
from seamline.inversion import encode_generator, encode_pivots, generator_part, pivots_part
from seamline.job import Job, Step
from seamline.networks import Generator
from seamline.networks.e4e import E4eEncoder
from seamline.storage.artifact import ArtifactWriter, Recipe
from seamline.storage.framepack import Frames
from seamline.storage.store import Store
from seamline.tuning import check_finite, compute, to_images, with_fast_layout
from seamline_inverter.course import Course
from seamline_inverter.crops import TrackCrops
from seamline_inverter.pivotal_tuning import PivotalTuning, TuningConfig, psnr_db

CHECKPOINT_SECONDS = 10.0
"""Least time between two checkpoints; what a killed inverter loses at most, and one group of ranges."""
BATCH = 8
"""Crops that are encoded and drawn together."""


@dataclass(frozen=True, kw_only=True)
class TrackFigures:
    """How well one track is reproduced."""

    id: int
    pivot_psnr_db: float
    """Mean over the crops, from the encoder alone."""
    psnr_db: float
    """Mean over the crops as the last pass saw them."""
    passes: int
    frames: int
    """Crops of the track."""


class TrackInversion:
    """The inversion of one track, which goes on from the last checkpoint of an earlier attempt."""

    def __init__(
        self,
        store: Store,
        recipe: Recipe,
        writer: ArtifactWriter,
        track: int,
        bundle: Bundle,
        config: TuningConfig,
        job: Job,
    ) -> None:
        self._store, self._writer, self._track = store, writer, track
        self._bundle, self._config, self._job = bundle, config, job
        self._checkpoint = f"{recipe.key}/checkpoints/{track}.safetensors"

    def run(self, source: Alignment) -> TrackFigures:
        """Writes the track's parts unless they exist."""
        name = generator_part(self._track)
        if not self._writer.has_part(name):
            generator = with_fast_layout(self._bundle.generator())
            with TrackCrops(source, self._track) as crops:
                pivots, pivot_psnr_db = self._encode(generator, crops)
                figures = self._tune(generator, pivots, pivot_psnr_db, crops)
            with self._job.step("write"):
                self._writer.put_part(name, encode_generator(generator), asdict(figures))
                self._store.put(self._checkpoint, b"")
        return TrackFigures(**self._writer.part_meta(name))

    def _encode(self, generator: Generator, crops: TrackCrops) -> tuple[Tensor, float]:
        """Codes (n, L, w_dim) of all crops, on the bundle's device, and the mean PSNR of what is drawn from them."""
        name = pivots_part(self._track)
        if not self._writer.has_part(name):
            codes: list[Tensor] = []
            psnr: list[float] = []
            with self._job.step("encode", total=len(crops.frames)) as step, torch.no_grad():
                for visit in range(crops.groups):
                    for found, values in self._encoded(generator, crops.take(visit, crops.groups, seed=None)[1]):
                        codes.append(found)
                        psnr += values.tolist()
                        step.advance(len(found))
            self._writer.put_part(name, encode_pivots(crops.frames, torch.cat(codes)), {"psnr_db": fmean(psnr)})
        pivots = safetensors.torch.load(self._writer.read_part(name))["pivots"]
        return pivots.to(self._bundle.device), self._writer.part_meta(name)["psnr_db"]

    def _encoded(self, generator: Generator, crops: Frames) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of codes (B, L, w_dim), with the PSNR (B,) of what the untuned generator draws from them."""
        for start in range(0, len(crops), BATCH):
            images = to_images(crops[start : start + BATCH], self._bundle.device)
            codes = encode(self._bundle, images)
            with compute(codes.device, self._config.precision):
                drawn = generator.synthesis(codes)
            yield codes, psnr_db((drawn - images).square().mean((1, 2, 3)))

    def _tune(self, generator: Generator, pivots: Tensor, pivot_psnr_db: float, crops: TrackCrops) -> TrackFigures:
        config = self._config
        tuning = PivotalTuning(generator, self._bundle.module("perceptual"), config)
        course = self._restored(tuning) or Course(history=[pivot_psnr_db])
        saved = time.monotonic()
        with self._job.step("pti", total=config.max_passes * len(pivots)) as step:
            step.advance(course.passes * len(pivots) + course.seen)
            while course.passes < config.max_passes and not course.reached(config.target_psnr_db):
                self._visit(tuning, course, pivots, crops, step)
                if time.monotonic() - saved >= CHECKPOINT_SECONDS:
                    self._save(tuning, course)
                    saved = time.monotonic()
        return TrackFigures(
            id=self._track,
            pivot_psnr_db=course.history[0],
            psnr_db=course.history[-1],
            passes=course.passes,
            frames=len(pivots),
        )

    def _visit(self, tuning: PivotalTuning, course: Course, pivots: Tensor, crops: TrackCrops, step: Step) -> None:
        """Tunes to the group that is next."""
        config = self._config
        places, taken = crops.take(course.visits, config.max_passes * crops.groups, config.seed)
        for figures in tuning.run_group(course.visits, pivots[places], taken):
            loss = figures.total.mean().item()
            check_finite(loss, config.learning_rate)
            course.see(figures.psnr_db.tolist())
            step.advance(len(figures.frames), psnr_db=course.psnr_db, loss=loss)
        course.end_visit(crops.groups)

    def _save(self, tuning: PivotalTuning, course: Course) -> None:
        state = tuning.state() | course.state()
        tensors = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
        self._store.put(self._checkpoint, safetensors.torch.save(tensors))

    def _restored(self, tuning: PivotalTuning) -> Course | None:
        """Takes up the last checkpoint, if there is one."""
        if not self._store.exists(self._checkpoint):
            return None
        try:
            state = safetensors.torch.load(self._store.get(self._checkpoint))
        except SafetensorError:
            return None
        tuning.restore(state)
        return Course.restored(state)


def encode(bundle: Bundle, images: Tensor) -> Tensor:
    """Codes (N, L, w_dim) of images (N, 3, R, R): e4e's offsets from the average code."""
    size = cast(E4eEncoder, bundle.module("e4e")).config.input_size
    if images.shape[-1] != size:
        images = F.interpolate(images, (size, size), mode="area")
    return bundle.infer("e4e", images) + bundle.latent_avg
