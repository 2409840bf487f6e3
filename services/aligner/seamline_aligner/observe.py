"""The first pass: every frame is kept without loss, and searched for faces."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seamline.job import Job, Step
from seamline.storage import ArtifactWriter, encode_frames
from seamline_aligner.follower import FaceFollower, Observation
from seamline_aligner.landmarks.backend import LandmarkBackend, Pixels
from seamline_aligner.observations import Observations
from seamline_aligner.ranges import Range, decoded, faces_part, frames_part
from seamline_aligner.shots import jumps, signature


def observe(
    job: Job,
    writer: ArtifactWriter,
    path: Path,
    ranges: list[Range],
    backend: Callable[[], LandmarkBackend],
) -> None:
    """Writes the frames and faces parts of every range that lacks them."""
    missing = [run for run in ranges if not (writer.has_part(frames_part(run)) and writer.has_part(faces_part(run)))]
    with job.step("observe", total=ranges[-1][1]) as step:
        step.skip(ranges[-1][1] - sum(end - start for start, end in missing))
        if not missing:
            return
        follower = FaceFollower(backend())
        for run, frames in decoded(path, missing):
            _observe_range(step, writer, run, frames, follower)


def _observe_range(
    step: Step, writer: ArtifactWriter, run: Range, frames: list[Pixels], follower: FaceFollower
) -> None:
    """The parts of one range depend on its frames only, so a resumed call writes the same."""
    writer.put_part(frames_part(run), encode_frames(np.stack(frames)))
    follower.restart()
    seen: list[list[Observation]] = []
    signatures: list[NDArray[np.float32]] = []
    for frame in frames:
        signatures.append(signature(frame))
        if len(signatures) > 1 and jumps(*signatures[-2:]):
            follower.restart()
        seen.append(follower.observe(frame))
        step.advance(faces=len(seen[-1]))
    writer.put_part(faces_part(run), Observations.of(run[0], seen, signatures).to_bytes())
