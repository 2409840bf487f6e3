"""One track's inversion: codes of its crops, then a generator that draws the crops from them.

All of it goes over the crops a few ranges at a time: a long track needs no more memory than a short one, but for its
codes.
"""

from dataclasses import asdict, dataclass

import safetensors.torch
import torch
from torch import Tensor

from seamline.algorithm import Algorithm
from seamline.alignment import Alignment
from seamline.bundles import Bundle
from seamline.inversion import encode_generator, encode_pivots, generator_part, pivots_part
from seamline.job import Job, Step
from seamline.networks import Generator
from seamline.networks.hyperstyle import PASSES
from seamline.storage.artifact import ArtifactWriter, Recipe
from seamline.storage.store import Store
from seamline.tuning import check_finite, to_images, with_fast_layout
from seamline_inverter.checkpoint import Checkpoint
from seamline_inverter.course import Course
from seamline_inverter.crops import TrackCrops
from seamline_inverter.options import InversionConfig, Method
from seamline_inverter.pivotal_tuning import PivotalTuning
from seamline_inverter.pivots import PivotFinder, batches, drawn_psnr
from seamline_inverter.prediction import CROPS, RATE, crop_batches, hypernetwork_of, predict, tune_to_crops


@dataclass(frozen=True, kw_only=True)
class TrackFigures:
    """How well one track is reproduced."""

    id: int
    pivot_psnr_db: float
    """Mean over the crops, from the pivots alone."""
    psnr_db: float
    """Mean over the crops: as the last pass of tuning saw them, else as they are drawn in the end."""
    passes: int
    """Passes of pivotal tuning."""
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
        config: InversionConfig,
        job: Job,
    ) -> None:
        self._writer, self._track = writer, track
        self._bundle, self._config, self._job = bundle, config, job
        place = f"{recipe.key}/checkpoints"
        self._codes = Checkpoint(store, f"{place}/pivots-{track}.safetensors")
        self._tuned = Checkpoint(store, f"{place}/{track}.safetensors")

    @property
    def parts(self) -> list[str]:
        """Names of what `run` writes."""
        pivots, generator = pivots_part(self._track), generator_part(self._track)
        return [pivots] if self._config.method is Method.ENCODER else [pivots, generator]

    def run(self, source: Alignment) -> TrackFigures:
        """Writes the track's parts unless they exist."""
        name = self.parts[-1]
        if not self._writer.has_part(name):
            generator = with_fast_layout(self._bundle.generator())
            with TrackCrops(source, self._track) as crops:
                pivots, pivot_psnr_db = self._pivots(generator, crops)
                if self._config.method is not Method.ENCODER:
                    make = self._tune if self._config.method is Method.PTI else self._predict
                    figures = make(generator, pivots, pivot_psnr_db, crops)
                    with self._job.step("write"):
                        exact = self._config.algorithm is Algorithm.STIT
                        self._writer.put_part(name, encode_generator(generator, exact=exact), asdict(figures))
                        self._tuned.clear()
        return self._figures()

    def _figures(self) -> TrackFigures:
        return TrackFigures(**self._writer.part_meta(self.parts[-1]))

    def _pivots(self, generator: Generator, crops: TrackCrops) -> tuple[Tensor, float]:
        """Codes (n, L, w_dim) of all crops, on the bundle's device, and the mean PSNR of what is drawn from them."""
        name = pivots_part(self._track)
        if not self._writer.has_part(name):
            finder = PivotFinder(self._bundle, generator, self._config, self._codes)
            codes, psnr_db = finder.find(crops, self._job)
            figures = self._measured(codes, psnr_db, psnr_db)
            self._writer.put_part(name, encode_pivots(crops.frames, codes), asdict(figures))
            self._codes.clear()
        pivots = safetensors.torch.load(self._writer.read_part(name))["pivots"]
        return pivots.to(self._bundle.device), self._writer.part_meta(name)["psnr_db"]

    def _predict(self, generator: Generator, pivots: Tensor, pivot_psnr_db: float, crops: TrackCrops) -> TrackFigures:
        """Fits the generator to a few crops, and looks how well it draws all of them."""
        config = self._config.tuning
        places, pixels = crops.spread(CROPS)
        images, codes = to_images(pixels, pivots.device), pivots[places]
        with self._job.step("predict", total=PASSES + 1) as step:
            predict(hypernetwork_of(self._bundle), generator, images, codes, config.precision, step.advance)
        parts = crop_batches(len(images), config.seed)
        with self._job.step("refine", total=sum(map(len, parts))) as step:
            tuning = PivotalTuning(generator, self._bundle.module("perceptual"), config)
            for figures in tune_to_crops(tuning, images, codes, parts):
                loss = figures.total.mean().item()
                check_finite(loss, RATE * config.learning_rate)
                step.advance(len(figures.frames), psnr_db=figures.psnr_db.mean().item(), loss=loss)
        with self._job.step("measure", total=len(pivots)) as step:
            psnr: list[Tensor] = []
            for images in batches(crops, pivots.device):
                codes = pivots[step.done : step.done + len(images)]
                psnr.append(drawn_psnr(generator, codes, images, self._config))
                step.advance(len(images), psnr_db=psnr[-1].mean().item())
        return self._measured(pivots, pivot_psnr_db, torch.cat(psnr).mean().item())

    def _measured(self, pivots: Tensor, pivot_psnr_db: float, psnr_db: float, passes: int = 0) -> TrackFigures:
        return TrackFigures(
            id=self._track, pivot_psnr_db=pivot_psnr_db, psnr_db=psnr_db, passes=passes, frames=len(pivots)
        )

    def _tune(self, generator: Generator, pivots: Tensor, pivot_psnr_db: float, crops: TrackCrops) -> TrackFigures:
        config = self._config.tuning
        tuning = PivotalTuning(generator, self._bundle.module("perceptual"), config)
        course = self._restored(tuning) or Course(history=[pivot_psnr_db])
        with self._job.step("pti", total=config.max_passes * len(pivots)) as step:
            step.skip(course.passes * len(pivots) + course.seen)
            while course.passes < config.max_passes and not course.reached(config.target_psnr_db):
                self._visit(tuning, course, pivots, crops, step)
                if self._tuned.due:
                    self._tuned.save(tuning.state() | course.state())
        return self._measured(pivots, course.history[0], course.history[-1], course.passes)

    def _visit(self, tuning: PivotalTuning, course: Course, pivots: Tensor, crops: TrackCrops, step: Step) -> None:
        """Tunes to the group that is next."""
        config = self._config.tuning
        places, taken = crops.take(course.visits, config.max_passes * crops.groups, config.seed)
        for figures in tuning.run_group(course.visits, pivots[places], taken):
            loss = figures.total.mean().item()
            check_finite(loss, config.learning_rate)
            course.see(figures.psnr_db.tolist())
            step.advance(len(figures.frames), psnr_db=course.psnr_db, loss=loss)
        course.end_visit(crops.groups)

    def _restored(self, tuning: PivotalTuning) -> Course | None:
        """Takes up the last checkpoint, if there is one."""
        if not (state := self._tuned.load()):
            return None
        tuning.restore(state)
        return Course.restored(state)
