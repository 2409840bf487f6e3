"""Scores an edit from the artifacts of the earlier stages, range by range, in bounded memory."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from seamline.alignment import Alignment, Range, crops_part
from seamline.bundles import Bundle
from seamline.editing.keyframes import strength_at
from seamline.errors import InvalidInput, Precondition
from seamline.job import Job, Step
from seamline.storage import Artifact, ArtifactWriter, Recipe, Store, decode_frames
from seamline.storage.framepack import Frames
from seamline.v1.media_pb2 import ArtifactRef
from seamline_metrics.measure import Measures, TrackCrops, measure
from seamline_metrics.summary import EditRequest, summarize

VERSION = 2
"""Raise it when the same artifacts give other scores."""

SCORES = "scores.json"
"""The part of the score artifact that the result names."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of one edit."""

    ref: ArtifactRef
    """The JSON object."""
    values: Mapping[str, Any]
    """Its content."""


@dataclass(frozen=True, kw_only=True)
class _Segment:
    """One track in one stored frame range."""

    track: int
    stored: Range
    stitched: Artifact

    @property
    def suffix(self) -> str:
        return f"{self.track}-{self.stored[0]:06d}-{self.stored[1]:06d}"


def score(store: Store, bundle: Bundle, alignment: ArtifactRef, stitched: Sequence[ArtifactRef], job: Job) -> Scores:
    """Scores the edit that `stitched` makes of `alignment`, or returns what an earlier call found.

    Raises:
        InvalidInput: no ranges are given, they overlap, leave an edited frame out, or differ in their edits.
        Precondition: a range belongs to another alignment.
        NotFound, DigestMismatch, StoreUnavailable: an artifact cannot be read.
        Cancelled: the job was cancelled.
    """
    aligned = Alignment.open(store, alignment)
    parts = [Artifact.open(store, ref, "stitch") for ref in stitched]
    _check_ranges(aligned, parts)
    writer = ArtifactWriter(store, _recipe(bundle, aligned, stitched))
    ref = writer.finished()
    if ref is None:
        ref = _write_scores(writer, bundle, aligned, parts, job)
    artifact = Artifact.open(store, ref, "score")
    return Scores(ref=artifact.part_ref(SCORES), values=json.loads(artifact.read_part(SCORES)))


def _recipe(bundle: Bundle, aligned: Alignment, stitched: Sequence[ArtifactRef]) -> Recipe:
    inputs = {"alignment": aligned.sha256, "bundle": bundle.digest}
    inputs |= {f"stitched{index:05d}": ref.sha256 for index, ref in enumerate(stitched)}
    return Recipe(video=aligned.video, stage="score", version=VERSION, inputs=inputs)


def _write_scores(
    writer: ArtifactWriter, bundle: Bundle, aligned: Alignment, stitched: Sequence[Artifact], job: Job
) -> ArtifactRef:
    segments = _segments(aligned, stitched)
    measured: dict[int, list[Measures]] = {}
    with job.step("measure", total=sum(len(part.meta["frames"]) for part in stitched)) as step:
        for segment in segments:
            measured.setdefault(segment.track, []).append(_measured(writer, bundle, aligned, segment, job, step))
    with job.step("compare") as step:
        tracks = {track: _joined(parts) for track, parts in sorted(measured.items())}
        frames = np.concatenate([measures.frames for measures in tracks.values()])
        seconds = aligned.seconds(frames)
        edits = [_edit_request(bundle, edit, seconds) for edit in _edits(stitched[0])]
        values = summarize(tracks, edits) | {"bundle": bundle.name, "edits": stitched[0].meta["edits"]}
        seam = {f"seam_error_{kind}": values["seam_error"][kind] for kind in ("naive", "stitched")}
        step.advance(**seam, **{name: values[name] for name in ("tl_id", "tg_id", "identity_similarity")})
    writer.put_part(SCORES, json.dumps(values, allow_nan=False, separators=(",", ":")).encode())
    return writer.finish({"frames": len(values["frames"])}, parts=[SCORES])


def _measured(
    writer: ArtifactWriter, bundle: Bundle, aligned: Alignment, segment: _Segment, job: Job, step: Step
) -> Measures:
    """The measures of one segment, taken now or found from an earlier call."""
    name = f"measures-{segment.suffix}.npz"
    if writer.has_part(name):
        measures = Measures.from_bytes(writer.read_part(name))
        step.skip(len(measures.frames))
        return measures
    measures = measure(_read_crops(aligned, segment), bundle, set(bundle.manifest.networks), job.check)
    writer.put_part(name, measures.to_bytes())
    step.advance(len(measures.frames))
    return measures


def _read_crops(aligned: Alignment, segment: _Segment) -> TrackCrops:
    def pack(kind: str) -> Frames:
        return decode_frames(segment.stitched.read_part(f"{kind}-{segment.suffix}"))

    start, end = segment.stored
    records = segment.stitched.meta["frames"]
    frames = [r["frame"] for r in records if r["track"] == segment.track and start <= r["frame"] < end]
    source = aligned.crops(segment.track, [segment.stored])
    if len(frames) != len(source):
        raise InvalidInput(
            f"{segment.stitched.ref.uri} has {len(frames)} frames of track {segment.track} in frames {start} "
            f"to {end}, the alignment {len(source)}; stitch the range again",
            field="stitched",
        )
    return TrackCrops(
        frames=np.array(frames, np.int64),
        source=source,
        naive=pack("naive"),
        stitched=pack("stitched"),
        masks=pack("masks"),
    )


def _segments(aligned: Alignment, stitched: Sequence[Artifact]) -> list[_Segment]:
    """The tracks' stored ranges that show a face, in order."""
    return [
        _Segment(track=track.id, stored=stored, stitched=artifact)
        for artifact in sorted(stitched, key=lambda part: part.meta["range"])
        for stored in aligned.ranges
        if _within(stored, artifact)
        for track in aligned.tracks
        if crops_part(track.id, stored) in aligned.artifact.parts
    ]


def _within(stored: Range, stitched: Artifact) -> bool:
    first, last = stitched.meta["range"]
    return first <= stored[0] and stored[1] <= last


def _check_ranges(aligned: Alignment, stitched: Sequence[Artifact]) -> None:
    if not stitched:
        raise InvalidInput("there is nothing to score: no stitched ranges are given", field="stitched")
    for artifact in stitched:
        if artifact.meta["alignment_sha256"] != aligned.sha256:
            raise Precondition(
                f"{artifact.ref.uri} was stitched from another alignment than {aligned.artifact.ref.uri}; "
                "stitch the range from this alignment",
                field="stitched",
            )
        if _edits(artifact) != _edits(stitched[0]):
            raise InvalidInput("the stitched ranges were made with different edits", field="stitched")
    covered = sorted(artifact.meta["range"] for artifact in stitched)
    for (_, end), (start, _) in pairwise(covered):
        if start < end:
            raise InvalidInput(f"frame {start} is in two of the stitched ranges", field="stitched", frame=start)
    for stored in aligned.ranges:
        shows_face = any(crops_part(track.id, stored) in aligned.artifact.parts for track in aligned.tracks)
        if shows_face and not any(_within(stored, artifact) for artifact in stitched):
            start, end = stored
            raise InvalidInput(
                f"frames {start} to {end} show a face, but no stitched range covers them",
                field="stitched",
                frame=start,
            )


def _joined(parts: Sequence[Measures]) -> Measures:
    names = Measures.__dataclass_fields__
    return Measures(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _edits(stitched: Artifact) -> Sequence[Mapping[str, Any]]:
    """What was asked of the stitcher, as `seamline.editing.edit.PlannedEdit.parameters` says it."""
    return stitched.recipe.parameters["edits"]


def _edit_request(bundle: Bundle, edit: Mapping[str, Any], seconds: npt.NDArray[np.float64]) -> EditRequest:
    """One edit, with its strength in each of the frames, which are shown at `seconds` (n,)."""
    keyframes = [(moment, strength) for moment, strength in edit["keyframes"]]
    text = edit["text"]
    return EditRequest(
        name=f"{text['neutral']} → {text['target']}" if text else edit["name"],
        strength=strength_at(keyframes, seconds) if len(keyframes) > 1 else keyframes[0][1],
        # No attribute says what two texts ask for.
        attribute=None if text else _column_of(bundle, bundle.edits[edit["name"]].attribute),
    )


def _column_of(bundle: Bundle, attribute: str) -> int | None:
    """Where the attribute network has an attribute; None if it does not read it."""
    network = bundle.manifest.networks.get("attributes")
    names = network.config["names"] if network else []
    return names.index(attribute) if isinstance(names, list) and attribute in names else None
