"""The stitch stage: edited frames of one frame range, one alignment range after another."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from seamline.alignment import Alignment, Range, TrackGeometry
from seamline.bundles import Bundle
from seamline.errors import InvalidInput, Precondition
from seamline.geometry import paste
from seamline.inversion import Inversion
from seamline.job import Job
from seamline.networks import Generator
from seamline.storage.artifact import ArtifactWriter, Recipe
from seamline.storage.framepack import Frames, encode_frames
from seamline.storage.store import Store
from seamline.tuning import check_finite, compute, to_images, to_pixels, with_fast_layout
from seamline.v1.media_pb2 import ArtifactRef
from seamline_stitcher.masks import PARSING_ENLARGED, PARSING_SIZE, MaskConfig, Masks, face_masks, feathered
from seamline_stitcher.stitching_tuning import Goal, StitchingConfig, stitch

VERSION = 1
BATCH = 8
"""Frames that are drawn or parsed together."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done."""

    edits: Sequence[tuple[str, float]]
    """Names and strengths, applied together."""
    frames: Range
    """Frames of the video, [start, end)."""
    stitching: bool = True
    """Whether to tune at all; without, the naive edit is pasted."""
    tuning: StitchingConfig = field(default_factory=StitchingConfig)
    masks: MaskConfig = field(default_factory=MaskConfig)

    def parameters(self) -> dict[str, Any]:
        """All of it that changes the result, as JSON values."""
        return {
            "edits": [list(edit) for edit in self.edits],
            "frames": list(self.frames),
            "tuning": asdict(self.tuning) if self.stitching else None,
            "masks": asdict(self.masks),
        }


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
        UnknownEdit: the bundle has no such edit, or not that strong.
        InvalidInput: there is no edit, or the range is empty or outside the video.
        Precondition: alignment, inversion and bundle do not belong together.
        NotFound, DigestMismatch, StoreUnavailable: as `Artifact.open`.
        Cancelled: as `Job.check`.
    """
    aligned, inverted = Alignment.open(store, alignment), Inversion.open(store, inversion)
    _check(aligned, inverted, bundle, plan)
    recipe = Recipe(
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
        "edits": [list(edit) for edit in plan.edits],
        "range": list(plan.frames),
        "stitching": plan.stitching,
        "frames": [asdict(record) for record in records],
    }
    return Stitched(ref=writer.finish(meta), records=records)


def _check(aligned: Alignment, inverted: Inversion, bundle: Bundle, plan: Plan) -> None:
    start, end = plan.frames
    if not 0 <= start < end <= aligned.frame_count:
        raise InvalidInput(
            f"the range {start} to {end} must hold frames of the video, which has {aligned.frame_count}",
            field="range",
        )
    if not plan.edits:
        raise InvalidInput("there is no edit; name at least one", field="edits")
    bundle.check_edits(plan.edits)
    if inverted.alignment_sha256 != aligned.sha256:
        raise Precondition("the inversion was made from another alignment; invert this one", field="inversion")
    for name, digest in (("alignment", aligned.bundle_digest), ("inversion", inverted.bundle_digest)):
        if digest != bundle.digest:
            raise Precondition(
                f"the {name} was made with another bundle than the installed {bundle.name!r}; "
                "start again from the video",
                field=name,
            )


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
        codes = self._codes(track)[place]
        goal, masks = self._goal(generator, codes, crops)
        images, steps = self._tuned(generator, goal) if self._plan.stitching else (goal.edit, [0] * len(goal))
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
            self._generators = {track: with_fast_layout(tuned).requires_grad_(False)}
        return self._generators[track]

    def _codes(self, track: int) -> Tensor:
        """Edited codes of a track's visible frames (n, L, w_dim)."""
        _, pivots = self._inverted.pivots(track)
        return pivots.to(self._bundle.device) + direction(self._bundle.directions, self._plan.edits)

    def _goal(self, generator: Generator, codes: Tensor, crops: Frames) -> tuple[Goal, NDArray[np.uint8]]:
        """What the tuning aims at, and the masks as stored: content, border, pasted."""
        precision = self._plan.tuning.precision
        goals: list[Goal] = []
        stored: list[NDArray[np.uint8]] = []
        with self._job.step("edit", total=len(crops)) as step, torch.no_grad():
            for start in range(0, len(crops), BATCH):
                part = slice(start, start + BATCH)
                source = to_images(crops[part], codes.device)
                masks = parse(self._bundle, source, self._plan.masks)
                with compute(codes.device, precision):
                    edit = generator.synthesis(codes[part])
                goals.append(
                    Goal(
                        codes=codes[part],
                        source=source,
                        edit=edit,
                        border=masks.border,
                        content=masks.content,
                    )
                )
                stored.append(_as_pixels(masks, feathered(masks.full, self._plan.masks.feather)))
                step.advance(len(source))
        joined = {name: torch.cat([getattr(goal, name) for goal in goals]) for name in Goal.__dataclass_fields__}
        return Goal(**joined), np.concatenate(stored)

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
        with self._job.step("paste", total=len(faces)) as step:
            for number, face, quad, mask in zip(geometry.frames[place], faces, quads, masks, strict=True):
                frames[number - wanted[0]] = paste(frames[number - wanted[0]], face, quad, mask[..., 2])
                step.advance()


def direction(directions: Mapping[str, Tensor], edits: Sequence[tuple[str, float]]) -> Tensor:
    """What all edits together add to the codes: (L, w_dim)."""
    return torch.stack([strength * directions[name] for name, strength in edits]).sum(0)


def parse(bundle: Bundle, crops: Tensor, config: MaskConfig) -> Masks:
    """Masks of source crops (N, 3, R, R), parsed at 512 px as in STIT, or at twice their side if that is less."""
    size = crops.shape[-1]
    side = min(PARSING_ENLARGED * size, PARSING_SIZE)
    mode = "nearest" if side < size else "bilinear"
    seen = crops if side == size else F.interpolate(crops, (side, side), mode=mode)
    return face_masks(bundle.infer("parsing", seen), size, config)


def _as_pixels(masks: Masks, pasted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, R, R, 3): content, border, pasted."""
    levels = [(mask[:, 0] * 255).round().to(torch.uint8).cpu().numpy() for mask in (masks.content, masks.border)]
    return np.stack([*levels, pasted], axis=-1)


def _span(frames: Range) -> str:
    return f"{frames[0]:06d}-{frames[1]:06d}"
