"""Writes the edited video: stitched frames where there are any, else the source's; its timing and audio."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from seamline.alignment import Alignment, Range, frames_part
from seamline.job import Job
from seamline.storage import Artifact, ArtifactWriter, Recipe, Store, decode_frames, fetch_object
from seamline.storage.framepack import Frames
from seamline.v1.media_pb2 import ArtifactRef
from seamline.video import write_video

VERSION = 2
"""Raise it when the same frames give another file."""

EDITED = "edited.mp4"


def mux(
    store: Store, video: ArtifactRef, alignment: ArtifactRef, stitched: Sequence[ArtifactRef], job: Job
) -> ArtifactRef:
    """Writes the edited video, or returns the one that an earlier call wrote.

    Memory holds one stored range of frames at a time.

    Args:
        store: where everything lies.
        video: the source.
        alignment: made from it.
        stitched: ranges of edited frames; frames in none of them stay as they are.
        job: the call.

    Returns:
        The reference to the mp4 file.
    """
    aligned = Alignment.open(store, alignment)
    writer = ArtifactWriter(store, _recipe(video, aligned, stitched))
    ref = writer.finished()
    if ref is None:
        edited = [Artifact.open(store, part, "stitch") for part in stitched]
        with tempfile.TemporaryDirectory(prefix="seamline-mux-") as directory:
            path = _write(store, video, aligned, edited, Path(directory), job)
            writer.put_part(EDITED, path)
        ref = writer.finish({"frames": aligned.frame_count})
    return Artifact.open(store, ref, "mux").part_ref(EDITED)


def _recipe(video: ArtifactRef, aligned: Alignment, stitched: Sequence[ArtifactRef]) -> Recipe:
    inputs = {"video": video.sha256, "alignment": aligned.sha256}
    inputs |= {f"stitched{index:05d}": ref.sha256 for index, ref in enumerate(stitched)}
    return Recipe(video=aligned.video, stage="mux", version=VERSION, inputs=inputs)


def _write(
    store: Store,
    video: ArtifactRef,
    aligned: Alignment,
    edited: Sequence[Artifact],
    directory: Path,
    job: Job,
) -> Path:
    source = directory / f"source{PurePosixPath(urlsplit(video.uri).path).suffix}"
    with job.step("fetch"):
        fetch_object(store, video, source)
    path = directory / EDITED
    with job.step("encode", total=aligned.frame_count) as step:

        def counted() -> Iterator[npt.NDArray[np.uint8]]:
            for frame in _frames(aligned, edited):
                yield frame
                step.advance()

        write_video(path, counted(), like=source)
    return path


def _frames(aligned: Alignment, edited: Sequence[Artifact]) -> Iterator[npt.NDArray[np.uint8]]:
    for stored in aligned.ranges:
        yield from _pack(aligned, edited, stored)


def _pack(aligned: Alignment, edited: Sequence[Artifact], stored: Range) -> Frames:
    """The frames of one stored range, edited if it was stitched."""
    name = frames_part(stored)
    for artifact in edited:
        if name in artifact.parts:
            return decode_frames(artifact.read_part(name))
    return aligned.frames(stored)
