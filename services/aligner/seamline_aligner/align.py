"""The align stage: from a video to the face's smooth crops in every shot.

The first pass goes through the video range by range: it keeps the frames without loss and notes the faces
seen. The second pass, which needs to see the whole, finds shots, follows one face through each, smooths, and
crops. Each range is its own part, so a broken call goes on where it stopped.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from seamline.alignment import TIMES, encode_times
from seamline.bundles import Bundle
from seamline.errors import InvalidInput, NoFace
from seamline.geometry import crop
from seamline.job import Job
from seamline.storage import (
    Artifact,
    ArtifactWriter,
    Recipe,
    Store,
    encode_frames,
    fetch_object,
)
from seamline.v1.media_pb2 import ArtifactRef
from seamline.video import Limits, VideoFacts, probe
from seamline.video.index import index_video
from seamline_aligner.landmarks import BACKENDS
from seamline_aligner.landmarks.backend import LandmarkBackend
from seamline_aligner.observations import Observations
from seamline_aligner.observe import observe
from seamline_aligner.ranges import Range, decoded, faces_part, frames_part, ranges_of, span
from seamline_aligner.shots import shots
from seamline_aligner.tracks import Track, track_shot

VERSION = 2
"""Part of the artifact's key; raised when the same inputs give another alignment."""


@dataclass(frozen=True, kw_only=True)
class AlignOptions:
    """What a caller may choose; the defaults are those of Stitch it in Time."""

    landmarks: str
    """bundle, dlib or face-alignment."""
    center_sigma: float = 1.0
    """Gaussian sigma over time, in frames, of the quad's centre."""
    axes_sigma: float = 3.0
    """Gaussian sigma over time, in frames, of the quad's half axes."""
    max_gap_frames: int = 12
    """Longest gap without a face, in frames, that is interpolated."""


def align(
    job: Job,
    store: Store,
    video: ArtifactRef,
    bundle: Bundle,
    options: AlignOptions,
    backend: Callable[[], LandmarkBackend],
    limits: Limits = Limits(),
) -> Artifact:
    """Aligns a video, or returns the alignment that exists, or goes on with one that was begun.

    Args:
        job: progress, timing and cancellation.
        store: where the video lies and the alignment goes.
        video: the source.
        bundle: the face domain to cut crops for.
        options: the caller's choice.
        backend: makes the landmark backend; called only if there is work for it.
        limits: what the video may measure.

    Raises:
        NotFound, DigestMismatch: the video is not there, or not the one meant.
        InvalidInput: the reference to it is wrong, or it is too large.
        UnreadableVideo: it is no video, or has no frame.
        NoFace: no frame of it shows a face.
        Precondition: the landmark backend is not installed.
        Cancelled: the caller went away.
    """
    recipe = Recipe(
        video=video.sha256,
        stage="align",
        version=VERSION,
        inputs={"video": video.sha256, "bundle": bundle.digest},
        parameters=asdict(options),
    )
    writer = ArtifactWriter(store, recipe)
    if (done := writer.finished()) is None:
        done = _finish(job, writer, store, video, bundle, options, backend, limits)
    return Artifact.open(store, done, stage="align")


def _finish(
    job: Job,
    writer: ArtifactWriter,
    store: Store,
    video: ArtifactRef,
    bundle: Bundle,
    options: AlignOptions,
    backend: Callable[[], LandmarkBackend],
    limits: Limits,
) -> ArtifactRef:
    with _fetched(job, store, video, limits) as path:
        facts = _probe(job, path, limits)
        ranges = ranges_of(facts)
        observe(job, writer, path, ranges, backend)
        with job.step("track"):
            parts = [writer.read_part(faces_part(run)) for run in ranges]
            tracks = _tracks(Observations.joined([Observations.from_bytes(part) for part in parts]), options)
        if not tracks:
            raise _no_face(video, facts, options)
        writer.put_part(TIMES, encode_times(index_video(path).seconds))
        names = [TIMES, *(frames_part(run) for run in ranges)]
        names += _write_crops(job, writer, path, ranges, tracks, bundle.resolution)
    for number, track in enumerate(tracks):
        names.append(f"track-{number}.npz")
        writer.put_part(names[-1], track.to_bytes())
    return writer.finish(_meta(video, facts, bundle, ranges, tracks), names)


@contextmanager
def _fetched(job: Job, store: Store, video: ArtifactRef, limits: Limits) -> Iterator[Path]:
    """The video as a file of its own name, which errors mention."""
    with TemporaryDirectory(prefix="seamline-align-") as directory:
        path = Path(directory) / (PurePosixPath(video.uri).name or "video")
        with job.step("fetch"), _named_video():
            key = store.key(video.uri)
            for entry in store.list(key):
                if entry.key == key:
                    limits.check_bytes(entry.size, video.uri)
            fetch_object(store, video, path)
        yield path


def _probe(job: Job, path: Path, limits: Limits) -> VideoFacts:
    with job.step("probe"), _named_video():
        return probe(path, limits)


@contextmanager
def _named_video() -> Iterator[None]:
    """What is wrong in the block is wrong with the video."""
    try:
        yield
    except InvalidInput as error:
        error.field = {"": "video", "uri": "video.uri"}.get(error.field, error.field)
        raise


def _no_face(video: ArtifactRef, facts: VideoFacts, options: AlignOptions) -> NoFace:
    return NoFace(
        f"no frame of {video.uri} shows a face that the landmark backend {options.landmarks} finds "
        f"({facts.frame_count} frames searched): use a video with a face turned to the camera and at least "
        f"80 pixels wide, or choose another of {', '.join(BACKENDS)} in options.landmarks",
        field="video",
        uri=video.uri,
        frames=facts.frame_count,
    )


def _tracks(seen: Observations, options: AlignOptions) -> list[Track]:
    followed = (
        track_shot(
            seen,
            start,
            end,
            center_sigma=options.center_sigma,
            axes_sigma=options.axes_sigma,
            max_gap_frames=options.max_gap_frames,
        )
        for start, end in shots(seen.signatures)
    )
    return [track for track in followed if track is not None]


def _write_crops(
    job: Job, writer: ArtifactWriter, path: Path, ranges: list[Range], tracks: list[Track], size: int
) -> list[str]:
    """Writes the crops parts that are not there yet; returns the names of all."""
    wanted: dict[str, tuple[Range, Track, NDArray[np.intp]]] = {}
    for number, track in enumerate(tracks):
        for run in ranges:
            rows = np.flatnonzero((track.frames >= run[0]) & (track.frames < run[1]))
            if len(rows):
                wanted[f"crops-{number}-{span(run)}"] = run, track, rows
    missing = {name: crops for name, crops in wanted.items() if not writer.has_part(name)}
    with job.step("crop", total=sum(len(rows) for *_, rows in wanted.values())) as step:
        step.skip(step.total - sum(len(rows) for *_, rows in missing.values()))
        for run, frames in decoded(path, sorted({run for run, *_ in missing.values()})):
            for name, (at, track, rows) in missing.items():
                if at == run:
                    crops = [crop(frames[track.frames[row] - run[0]], track.quads[row], size) for row in rows]
                    writer.put_part(name, encode_frames(np.stack(crops)))
                    step.advance(len(rows))
    return list(wanted)


def _meta(
    video: ArtifactRef,
    facts: VideoFacts,
    bundle: Bundle,
    ranges: list[Range],
    tracks: list[Track],
) -> dict[str, object]:
    return {
        "video": {
            "sha256": video.sha256,
            "width": facts.width,
            "height": facts.height,
            "frame_count": facts.frame_count,
            "fps": facts.fps,
            "duration_seconds": facts.duration_seconds,
            "has_audio": facts.has_audio,
        },
        "bundle": bundle.name,
        "bundle_digest": bundle.digest,
        "crop_size": bundle.resolution,
        "ranges": [list(run) for run in ranges],
        "tracks": [
            {
                "id": number,
                "start": int(track.frames[0]),
                "end": int(track.frames[-1]) + 1,
                "visible_frames": len(track.frames),
            }
            for number, track in enumerate(tracks)
        ],
    }
