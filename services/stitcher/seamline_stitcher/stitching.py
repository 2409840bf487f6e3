"""The stitch stage: edited frames of one frame range, one alignment range after another."""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seamline.algorithm import Algorithm
from seamline.alignment import Alignment, Range, TrackGeometry
from seamline.bundles import Bundle
from seamline.editing.edit import EditedCodes, apply
from seamline.geometry import paste, paste_sampled
from seamline.inversion import Inversion
from seamline.job import Job
from seamline.networks import Generator
from seamline.storage.artifact import ArtifactWriter, Recipe
from seamline.storage.framepack import Frames, encode_frames
from seamline.storage.store import Store
from seamline.tuning import check_finite, compute, to_images, to_pixels, with_fast_layout
from seamline.v1.media_pb2 import ArtifactRef
from seamline_stitcher.blending import Blend, outlines, poisson
from seamline_stitcher.masks import Masks, faded, feathered, parse, to_levels, whole_crops
from seamline_stitcher.plan import Plan, opened
from seamline_stitcher.stitching_tuning import Goal, stitch

VERSION = 8
BATCH = 8
"""Frames that are drawn or parsed together."""


@dataclass(frozen=True, kw_only=True)
class FrameRecord:
    """How one frame's face was stitched."""

    frame: int
    track: int
    steps: int
    border_naive: float
    """Border loss of the edit as drawn."""
    border_stitched: float
    """Border loss of what was pasted."""


@dataclass(frozen=True, kw_only=True)
class Stitched:
    """The stage's result."""

    ref: ArtifactRef
    records: list[FrameRecord]

    @property
    def steps(self) -> int:
        """Optimiser steps, summed over frames."""
        return sum(record.steps for record in self.records)


def stitch_range(
    store: Store,
    bundle: Bundle,
    alignment: ArtifactRef,
    inversion: ArtifactRef,
    plan: Plan,
    job: Job,
) -> Stitched:
    """Makes the edited frames of a range, or returns those that exist.

    Args:
        store: where alignment and inversion lie and the frames go.
        bundle: the networks and directions; both inputs must have been made with the same.
        alignment: reference to it.
        inversion: reference to one of that alignment.
        plan: the edit and the range.
        job: told of progress, and asked whether to go on.

    Raises:
        InvalidInput: there is neither edit nor style, or the range is empty or outside the video.
        Precondition: alignment, inversion and bundle do not belong together.
        NotFound, DigestMismatch, StoreUnavailable: as `Artifact.open`.
        Cancelled: as `Job.check`.
    """
    aligned, inverted = opened(store, bundle, alignment, inversion)
    plan.check(aligned, inverted)
    recipe = Recipe(
        video=aligned.video,
        stage="stitch",
        version=VERSION,
        inputs={"alignment": aligned.sha256, "inversion": inverted.sha256, "bundle": bundle.digest},
        parameters=plan.parameters(),
    )
    writer = ArtifactWriter(store, recipe)
    parts = RangeStitcher(writer, bundle, aligned, inverted, plan, job)
    records = [record for stored in aligned.ranges for record in parts.run(stored)]
    meta = {
        "alignment_sha256": aligned.sha256,
        "inversion_sha256": inverted.sha256,
        "bundle_digest": bundle.digest,
        "edits": [[edit.label, edit.peak] for edit in plan.edits],
        "range": list(plan.frames),
        "blend": plan.blend.value,
        "frames": [asdict(record) for record in records],
    }
    return Stitched(ref=writer.finish(meta), records=records)


class RangeStitcher:
    """Stitches one alignment range at a time and skips those that an earlier attempt finished."""

    def __init__(
        self,
        writer: ArtifactWriter,
        bundle: Bundle,
        aligned: Alignment,
        inverted: Inversion,
        plan: Plan,
        job: Job,
    ) -> None:
        self._writer, self._bundle, self._aligned, self._inverted = writer, bundle, aligned, inverted
        self._plan, self._job = plan, job
        self._generators: dict[int, Generator] = {}

    def run(self, stored: Range) -> list[FrameRecord]:
        """Writes the parts of what the plan wants of one of the alignment's ranges."""
        wanted = (max(stored[0], self._plan.frames[0]), min(stored[1], self._plan.frames[1]))
        if wanted[0] >= wanted[1]:
            return []
        name = f"frames-{_span(wanted)}"
        if not self._writer.has_part(name):  # written last of the range's parts
            self._stitch(stored, wanted, name)
        return [FrameRecord(**record) for record in self._writer.part_meta(name)["records"]]

    def _stitch(self, stored: Range, wanted: Range, name: str) -> None:
        with self._job.step("read"):
            frames = self._aligned.frames(stored)[wanted[0] - stored[0] : wanted[1] - stored[0]].copy()
        records: list[FrameRecord] = []
        for track in self._aligned.tracks:
            if track.visible_frames:
                records += self._stitch_track(track.id, stored, wanted, frames)
        with self._job.step("write"):
            meta = {"records": [asdict(record) for record in sorted(records, key=lambda record: record.frame)]}
            self._writer.put_part(name, encode_frames(frames), meta)

    def _stitch_track(self, track: int, stored: Range, wanted: Range, frames: Frames) -> list[FrameRecord]:
        """Pastes a track's edited faces into `frames`, those of the range `wanted`."""
        geometry = self._aligned.geometry(track)
        place, base = geometry.within(wanted), geometry.within(stored).start
        if place.start == place.stop:
            return []
        generator = self._generator(track)
        crops = self._aligned.crops(track, [stored])[place.start - base : place.stop - base]
        goal, masks = self._goal(generator, self._edited(track, geometry, place), crops, geometry, place)
        images, steps = goal.edit, [0] * len(goal)
        if self._plan.blend is Blend.STITCH:
            images, steps = self._tuned(generator, goal)
        elif self._plan.blend is Blend.POISSON:
            with self._job.step("blend"):
                images = to_images(poisson(to_pixels(goal.edit), crops, masks[..., 2]), goal.edit.device)
        losses = zip(goal.border_loss(goal.edit).tolist(), goal.border_loss(images).tolist(), strict=True)
        records = [
            FrameRecord(frame=frame, track=track, steps=taken, border_naive=naive, border_stitched=stitched)
            for frame, taken, (naive, stitched) in zip(geometry.frames[place].tolist(), steps, losses, strict=True)
        ]
        self._paste(frames, wanted, geometry, place, to_pixels(images), masks)
        parts = {"naive": to_pixels(goal.edit), "stitched": to_pixels(images), "masks": masks}
        with self._job.step("write"):
            for kind, pixels in parts.items():
                self._writer.put_part(f"{kind}-{track}-{_span(wanted)}", encode_frames(pixels))
        return records

    def _generator(self, track: int) -> Generator:
        if track not in self._generators:
            with self._job.step("load"):
                tuned = self._inverted.tune(self._bundle.generator(), track)
            laid_out = with_fast_layout(tuned, self._plan.tuning.precision)
            self._generators = {track: laid_out.requires_grad_(False)}
        return self._generators[track]

    def _edited(self, track: int, geometry: TrackGeometry, place: slice) -> EditedCodes:
        """What the edits make of some of a track's visible frames."""
        with self._job.step("edit"), torch.no_grad():
            _, pivots = self._inverted.pivots(track)
            seconds = self._aligned.seconds(geometry.frames[place])
            codes = pivots[place].to(self._bundle.device)
            return apply(self._bundle, self._plan.edits, codes, seconds, self._plan.algorithm)

    def _goal(
        self, generator: Generator, edited: EditedCodes, crops: Frames, geometry: TrackGeometry, place: slice
    ) -> tuple[Goal, NDArray[np.uint8]]:
        """What the tuning aims at, and the masks as stored: content, border, pasted."""
        precision, device = self._plan.tuning.precision, self._bundle.device
        drawn: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        stored: list[NDArray[np.uint8]] = []
        with self._job.step("edit", total=len(crops)) as step, torch.no_grad():
            for start in range(0, len(crops), BATCH):
                part = slice(start, start + BATCH)
                source = to_images(crops[part], device)
                with compute(device, precision):
                    edit = generator.synthesis_from_styles(edited[part].styles_in(generator))
                first = place.start + start
                masks, opacity = self._masks(source, edit, geometry, slice(first, first + len(source)))
                drawn.append((source, edit, masks.border.to(device), masks.content.to(device)))
                stored.append(np.stack([to_levels(masks.content), to_levels(masks.border), opacity], axis=-1))
                step.advance(len(source))
        source, edit, border, content = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        goal = Goal(codes=edited, source=source, edit=edit, border=border, content=content)
        return goal, np.concatenate(stored)

    def _masks(
        self, source: Tensor, edit: Tensor, geometry: TrackGeometry, place: slice
    ) -> tuple[Masks, NDArray[np.uint8]]:
        """Masks of what the blend pastes of some crops, whose border is its own, and its opacity (N, R, R)."""
        config = self._plan.masks
        if self._plan.blend is Blend.PASTE:
            masks = whole_crops(source, config)
        elif self._plan.blend is Blend.POISSON:
            masks = outlines(geometry, place, source.shape[-1], config)
        else:
            grown = None if self._plan.algorithm is Algorithm.STIT else edit.float()
            masks = parse(self._bundle, source, config, grown)
            opacity = feathered(masks.full, config.feather)
            return masks, opacity if masks.common is None else faded(opacity, masks.common)
        return masks, to_levels(masks.full)

    def _tuned(self, generator: Generator, goal: Goal) -> tuple[Tensor, list[int]]:
        config = self._plan.tuning
        with self._job.step("stitch", total=len(goal) * config.max_steps) as step:

            def on_step(border: Tensor, total: Tensor) -> None:
                loss = total.mean().item()
                check_finite(loss, config.learning_rate)
                step.advance(len(border), border_loss=border.mean().item(), loss=loss)

            crops = stitch(generator, goal, config, on_step)
        return crops.images, crops.steps

    def _paste(
        self,
        frames: Frames,
        wanted: Range,
        geometry: TrackGeometry,
        place: slice,
        faces: Frames,
        masks: NDArray[np.uint8],
    ) -> None:
        quads = geometry.quads[place]
        pasted = paste_sampled if self._plan.algorithm is Algorithm.STIT else paste
        with self._job.step("paste", total=len(faces)) as step:
            for number, face, quad, mask in zip(geometry.frames[place], faces, quads, masks, strict=True):
                frames[number - wanted[0]] = pasted(frames[number - wanted[0]], face, quad, mask[..., 2])
                step.advance()


def _span(frames: Range) -> str:
    return f"{frames[0]:06d}-{frames[1]:06d}"
