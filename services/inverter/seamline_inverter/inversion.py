"""The invert stage: alignment in, codes and a tuned generator for each track out."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import cast

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from seamline.alignment import Alignment, TrackSummary
from seamline.bundles import Bundle
from seamline.errors import Precondition
from seamline.inversion import encode_generator, encode_pivots, generator_part, pivots_part
from seamline.job import Job
from seamline.networks import Generator
from seamline.networks.e4e import E4eEncoder
from seamline.storage.artifact import Artifact, ArtifactWriter, Recipe
from seamline.storage.store import Store
from seamline.tuning import check_finite, compute, to_images
from seamline.v1.media_pb2 import ArtifactRef
from seamline_inverter.pivotal_tuning import PivotalTuning, TuningConfig, psnr_db

VERSION = 1
CHECKPOINT_SECONDS = 10.0
"""Least time between two checkpoints; what a killed inverter loses at most, and one pass."""
BATCH = 8
"""Crops that are encoded or drawn together."""


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


@dataclass(frozen=True, kw_only=True)
class Inverted:
    """The stage's result."""

    ref: ArtifactRef
    tracks: list[TrackFigures]

    @property
    def pivot_psnr_db(self) -> float:
        """Mean over all crops, from the encoder alone."""
        return sum(track.frames * track.pivot_psnr_db for track in self.tracks) / self._frames

    @property
    def psnr_db(self) -> float:
        """Mean over all crops, after tuning."""
        return sum(track.frames * track.psnr_db for track in self.tracks) / self._frames

    @property
    def _frames(self) -> int:
        return sum(track.frames for track in self.tracks)


def invert(store: Store, bundle: Bundle, alignment: ArtifactRef, config: TuningConfig, job: Job) -> Inverted:
    """Makes the inversion of an alignment, or returns the one that exists.

    Args:
        store: where the alignment lies and the inversion goes.
        bundle: the networks; the alignment must have been made with the same.
        alignment: reference to it.
        config: how to tune.
        job: told of progress, and asked whether to go on.

    Raises:
        Precondition: the alignment was made with another bundle.
        NotFound, DigestMismatch, InvalidInput, StoreUnavailable: as `Artifact.open`.
        Cancelled: as `Job.check`.
    """
    source = Alignment.open(store, alignment)
    if source.bundle_digest != bundle.digest:
        raise Precondition(
            f"the alignment was made with another version of bundle {source.bundle!r} than the installed "
            f"{bundle.name!r}; align the video again",
            field="alignment",
        )
    recipe = Recipe(
        stage="invert",
        version=VERSION,
        inputs={"alignment": source.sha256, "bundle": bundle.digest},
        parameters=asdict(config),
    )
    writer = ArtifactWriter(store, recipe)
    if done := writer.finished():
        return Inverted(ref=done, tracks=_figures(Artifact.open(store, done, stage="invert")))
    tracks = [track for track in source.tracks if track.visible_frames]
    figures = [TrackInversion(store, recipe, writer, source, track, bundle, config, job).run() for track in tracks]
    meta = {
        "alignment_sha256": source.sha256,
        "bundle": bundle.name,
        "bundle_digest": bundle.digest,
        "tracks": [asdict(track) for track in figures],
    }
    parts = [part(track.id) for track in tracks for part in (pivots_part, generator_part)]
    return Inverted(ref=writer.finish(meta, parts), tracks=figures)


class TrackInversion:
    """The inversion of one track, which goes on from the last checkpoint of an earlier attempt."""

    def __init__(
        self,
        store: Store,
        recipe: Recipe,
        writer: ArtifactWriter,
        source: Alignment,
        track: TrackSummary,
        bundle: Bundle,
        config: TuningConfig,
        job: Job,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._writer, self._source, self._track = store, writer, source, track
        self._bundle, self._config, self._job, self._clock = bundle, config, job, clock
        self._checkpoint = f"{recipe.key}/checkpoints/{track.id}.safetensors"

    def run(self) -> TrackFigures:
        """Writes the track's parts unless they exist."""
        name = generator_part(self._track.id)
        if self._writer.has_part(name):
            return TrackFigures(**self._writer.part_meta(name))
        with self._job.step("read"):
            crops = self._source.crops(self._track.id)
        pivots = self._encode(crops)
        generator, figures = self._tune(pivots, crops)
        with self._job.step("write"):
            self._writer.put_part(name, encode_generator(generator), asdict(figures))
            self._store.put(self._checkpoint, b"")
        return figures

    def _encode(self, crops: NDArray[np.uint8]) -> Tensor:
        """Codes (n, L, w_dim) of all crops, on the bundle's device."""
        name = pivots_part(self._track.id)
        if not self._writer.has_part(name):
            codes = []
            with self._job.step("encode", total=len(crops)) as step:
                for start in range(0, len(crops), BATCH):
                    images = to_images(crops[start : start + BATCH], self._bundle.device)
                    codes.append(encode(self._bundle, images))
                    step.advance(len(images))
            frames = self._source.geometry(self._track.id).frames
            self._writer.put_part(name, encode_pivots(frames, torch.cat(codes)))
        pivots = safetensors.torch.load(self._writer.read_part(name))["pivots"]
        return pivots.to(self._bundle.device)

    def _tune(self, pivots: Tensor, crops: NDArray[np.uint8]) -> tuple[Generator, TrackFigures]:
        config = self._config
        generator = self._bundle.generator()
        tuning = PivotalTuning(generator, self._bundle.module("perceptual"), config)
        history = self._restore(tuning)
        if not history:
            history = [self._pivot_psnr(generator, pivots, crops)]
        saved = self._clock()
        with self._job.step("pti", total=config.max_passes * len(crops)) as step:
            step.advance((len(history) - 1) * len(crops))
            while len(history) <= config.max_passes and not _reached(history, config.target_psnr_db):
                seen: list[float] = []
                for figures in tuning.run_pass(len(history) - 1, pivots, crops):
                    loss = figures.total.mean().item()
                    check_finite(loss, config.learning_rate)
                    seen += figures.psnr_db.tolist()
                    step.advance(len(figures.frames), psnr_db=fmean(seen), loss=loss)
                history.append(fmean(seen))
                if self._clock() - saved >= CHECKPOINT_SECONDS:
                    self._save(tuning, history)
                    saved = self._clock()
        return generator, TrackFigures(
            id=self._track.id,
            pivot_psnr_db=history[0],
            psnr_db=history[-1],
            passes=len(history) - 1,
            frames=len(crops),
        )

    def _pivot_psnr(self, generator: Generator, pivots: Tensor, crops: NDArray[np.uint8]) -> float:
        values: list[float] = []
        with self._job.step("measure", total=len(crops)) as step, torch.no_grad():
            for start in range(0, len(crops), BATCH):
                part = slice(start, start + BATCH)
                with compute(pivots.device, self._config.precision):
                    drawn = generator.synthesis(pivots[part])
                errors = (drawn - to_images(crops[part], pivots.device)).square().mean((1, 2, 3))
                values += psnr_db(errors).tolist()
                step.advance(len(drawn), psnr_db=fmean(values))
        return fmean(values)

    def _save(self, tuning: PivotalTuning, history: list[float]) -> None:
        state = tuning.state() | {"history": torch.tensor(history, dtype=torch.float64)}
        tensors = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
        self._store.put(self._checkpoint, safetensors.torch.save(tensors))

    def _restore(self, tuning: PivotalTuning) -> list[float]:
        """Takes up the last checkpoint: PSNR of the pivots and of every pass so far; empty without one."""
        if not self._store.exists(self._checkpoint):
            return []
        try:
            state = safetensors.torch.load(self._store.get(self._checkpoint))
        except SafetensorError:
            return []
        tuning.restore(state)
        return cast(list[float], state["history"].tolist())


def encode(bundle: Bundle, images: Tensor) -> Tensor:
    """Codes (N, L, w_dim) of images (N, 3, R, R): e4e's offsets from the average code."""
    size = cast(E4eEncoder, bundle.module("e4e")).config.input_size
    if images.shape[-1] != size:
        images = F.interpolate(images, (size, size), mode="area")
    return bundle.infer("e4e", images) + bundle.latent_avg


def _reached(history: list[float], target_psnr_db: float) -> bool:
    """Whether a pass, not the pivots alone, met the target."""
    return bool(target_psnr_db) and len(history) > 1 and history[-1] >= target_psnr_db


def _figures(artifact: Artifact) -> list[TrackFigures]:
    return [TrackFigures(**track) for track in artifact.meta["tracks"]]
