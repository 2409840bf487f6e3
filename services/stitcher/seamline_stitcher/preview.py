"""The preview: what some edits would look like on some frames, drawn without any tuning of frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seamline.algorithm import Algorithm
from seamline.alignment import Alignment
from seamline.bundles import Bundle
from seamline.contact_sheet import contact_sheet
from seamline.editing.edit import EditedCodes, PlannedEdit, apply
from seamline.errors import InvalidInput
from seamline.inversion import Inversion
from seamline.job import Job
from seamline.networks import Generator
from seamline.storage.artifact import Artifact, ArtifactWriter, Recipe
from seamline.storage.framepack import Frames
from seamline.storage.store import Store
from seamline.tuning import compute, to_pixels, with_fast_layout
from seamline.v1.media_pb2 import ArtifactRef
from seamline_stitcher.plan import opened

VERSION = 2
FRAMES = 3
"""Rows of a sheet, unless the request says how many."""
MOST_CELLS = 256
BATCH = 8
"""Pictures that are drawn together."""
SHEET = "sheet.png"

Variant = tuple[PlannedEdit, ...]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The stage's result."""

    ref: ArtifactRef
    """To the PNG."""
    frames: list[int]
    """Top to bottom."""


@dataclass(frozen=True, kw_only=True)
class _Face:
    """One of a track's visible frames."""

    track: int
    row: int
    """Position among them."""
    frame: int


def check_size(variants: int, frame_count: int) -> None:
    """Raises InvalidInput for a preview without variants, or with more pictures than `MOST_CELLS`."""
    if not variants:
        raise InvalidInput("there is no variant; ask for at least one", field="variants")
    if variants * (frame_count or FRAMES) > MOST_CELLS:
        raise InvalidInput(
            f"{variants} variants of {frame_count or FRAMES} frames are more than {MOST_CELLS} pictures; ask for fewer",
            field="variants",
        )


def preview(
    store: Store,
    bundle: Bundle,
    alignment: ArtifactRef,
    inversion: ArtifactRef,
    variants: Sequence[Variant],
    frame_count: int,
    job: Job,
    algorithm: Algorithm = Algorithm.DEFAULT,
) -> Sheet:
    """Draws the sheet of some variants, or returns the one that exists.

    Args:
        store: where alignment and inversion lie and the sheet goes.
        bundle: the networks and directions; both inputs must have been made with the same.
        alignment: reference to it.
        inversion: reference to one of that alignment.
        variants: the columns, after that of the source.
        frame_count: the rows, evenly over the frames that have a face; 0 for 3, or as many as have one.
        job: told of progress, and asked whether to go on.
        algorithm: in whose units texts move styles, see `seamline.editing.edit.apply`.

    Raises:
        InvalidInput: there is no variant, there are too many pictures, or too few frames have a face.
        Precondition: alignment, inversion and bundle do not belong together.
        NotFound, DigestMismatch, StoreUnavailable: as `Artifact.open`.
        Cancelled: as `Job.check`.
    """
    check_size(len(variants), frame_count)
    aligned, inverted = opened(store, bundle, alignment, inversion)
    recipe = Recipe(
        video=aligned.video,
        stage="preview",
        version=VERSION,
        inputs={"alignment": aligned.sha256, "inversion": inverted.sha256, "bundle": bundle.digest},
        parameters={
            "variants": [[edit.parameters() for edit in variant] for variant in variants],
            "frame_count": frame_count,
        }
        | ({"algorithm": algorithm.value} if algorithm is Algorithm.STIT else {}),
    )
    writer = ArtifactWriter(store, recipe)
    if (done := writer.finished()) is None:
        faces = _chosen(aligned, frame_count)
        png = _Preview(bundle, aligned, inverted, job, algorithm).draw(faces, variants)
        with job.step("write"):
            writer.put_part(SHEET, png)
            done = writer.finish({"frames": [face.frame for face in faces]})
    artifact = Artifact.open(store, done, stage="preview")
    return Sheet(ref=artifact.part_ref(SHEET), frames=artifact.meta["frames"])


def draw_average(bundle: Bundle) -> Frames:
    """As many pictures of a bundle's average face as are drawn together, (BATCH, R, R, 3)."""
    generator = with_fast_layout(bundle.generator()).requires_grad_(False)
    return _drawn(bundle, generator, EditedCodes(codes=bundle.latent_avg.expand(BATCH, -1, -1)))


def _drawn(bundle: Bundle, generator: Generator, edited: EditedCodes) -> Frames:
    with torch.no_grad(), compute(bundle.device, "bfloat16"):
        return to_pixels(generator.synthesis_from_styles(edited.styles_in(generator)))


def _chosen(aligned: Alignment, frame_count: int) -> list[_Face]:
    """Faces evenly over all those of the video, each in the middle of its share of them."""
    faces = [
        _Face(track=track.id, row=row, frame=frame)
        for track in aligned.tracks
        if track.visible_frames
        for row, frame in enumerate(aligned.geometry(track.id).frames.tolist())
    ]
    if not faces or frame_count > len(faces):
        raise InvalidInput(
            f"{frame_count or FRAMES} frames are to be shown, but only {len(faces)} have a face; ask for fewer",
            field="frame_count",
        )
    faces.sort(key=lambda face: face.frame)
    count = frame_count or min(FRAMES, len(faces))
    return [faces[(2 * number + 1) * len(faces) // (2 * count)] for number in range(count)]


class _Preview:
    """Draws faces of one video."""

    def __init__(self, bundle: Bundle, aligned: Alignment, inverted: Inversion, job: Job, algorithm: Algorithm) -> None:
        self._bundle, self._aligned, self._inverted, self._job = bundle, aligned, inverted, job
        self._algorithm = algorithm

    def draw(self, faces: Sequence[_Face], variants: Sequence[Variant]) -> bytes:
        """The sheet with the sources and all variants, a PNG."""
        tracks = sorted({face.track for face in faces})
        size = self._aligned.crop_size
        columns = np.empty((1 + len(variants), len(faces), size, size, 3), np.uint8)
        with self._job.step("draw", total=len(faces) * len(variants)) as step:
            for track in tracks:
                places = [place for place, face in enumerate(faces) if face.track == track]
                own = [faces[place] for place in places]
                columns[0, places] = self._sources(track, own)
                generator, edited = self._generator(track), self._edited(track, own, variants)
                drawn: list[Frames] = []
                for part in torch.arange(len(edited)).split(BATCH):
                    drawn.append(_drawn(self._bundle, generator, edited[part]))
                    step.advance(len(part))
                columns[1:, places] = np.concatenate(drawn).reshape(len(variants), len(places), size, size, 3)
        with self._job.step("sheet"):
            return contact_sheet([["source"], *(self._title(variant) for variant in variants)], list(columns))

    def _generator(self, track: int) -> Generator:
        tuned = self._inverted.tune(self._bundle.generator(), track)
        return with_fast_layout(tuned).requires_grad_(False)

    def _sources(self, track: int, faces: Sequence[_Face]) -> Frames:
        """The faces' crops (n, R, R, 3), from as few ranges as hold them."""
        geometry = self._aligned.geometry(track)
        crops: dict[int, NDArray[np.uint8]] = {}
        for stored in self._aligned.ranges:
            wanted = [face for face in faces if stored[0] <= face.frame < stored[1]]
            if wanted:
                pack, first = self._aligned.crops(track, [stored]), geometry.within(stored).start
                crops |= {face.row: pack[face.row - first] for face in wanted}
        return np.stack([crops[face.row] for face in faces])

    def _edited(self, track: int, faces: Sequence[_Face], variants: Sequence[Variant]) -> EditedCodes:
        """All faces in the first variant, then all in the next."""
        _, pivots = self._inverted.pivots(track)
        codes = pivots[[face.row for face in faces]].to(self._bundle.device)
        seconds = self._aligned.seconds([face.frame for face in faces])
        with torch.no_grad():
            return EditedCodes.joined([self._moved(variant, codes, seconds) for variant in variants])

    def _moved(self, variant: Variant, codes: Tensor, seconds: NDArray[np.float64]) -> EditedCodes:
        return apply(self._bundle, variant, codes, seconds, self._algorithm)

    def _title(self, variant: Variant) -> list[str]:
        styles = [f"style {style.label} {style.strength:+g}" for style in self._inverted.styles]
        edits = [f"{edit.label} {_strength(edit)}" for edit in variant]
        # The sheet's font has no arrow.
        return [line.replace("→", ">") for line in (*styles, *edits)] or ["no edit"]


def _strength(edit: PlannedEdit) -> str:
    strengths = [strength for _, strength in edit.keyframes]
    low, high = min(strengths), max(strengths)
    return f"{low:+g}" if low == high else f"{low:+g} to {high:+g}"
