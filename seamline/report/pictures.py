"""The pictures of a report, as data URIs: whole frames before and after, and the seam in close-up."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from seamline.alignment import Alignment, crops_part
from seamline.storage import Artifact, Store, decode_frames
from seamline.v1.media_pb2 import ArtifactRef
from seamline.video import read_frames

Image = npt.NDArray[np.uint8]

MAX_WIDTH = 960
JPEG_QUALITY = 88


@dataclass(frozen=True, kw_only=True)
class FramePair:
    """One frame of the source and the same frame edited."""

    number: int
    source: str
    """data: URI."""
    edited: str


@dataclass(frozen=True, kw_only=True)
class SeamCrops:
    """One aligned crop: as it was, edited, and as it was blended into the video."""

    frame: int
    source: str
    """data: URI."""
    naive: str
    stitched: str


def pick_frames(numbers: Sequence[int], count: int = 6) -> list[int]:
    """Up to `count` of the frame numbers, evenly spread, first and last included."""
    ordered = sorted(set(numbers))
    positions = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int)
    return [ordered[position] for position in positions]


def frame_pairs(source: Path, edited: Path, numbers: Sequence[int]) -> list[FramePair]:
    """The same frames of both videos; numbers ascending, from 0."""
    before, after = (_frames(path, numbers) for path in (source, edited))
    return [FramePair(number=n, source=before[n], edited=after[n]) for n in numbers if n in before and n in after]


def seam_crops(
    store: Store, alignment: ArtifactRef, stitched: Sequence[ArtifactRef], scores: Mapping[str, Any]
) -> SeamCrops | None:
    """The crops of the frame whose seam was worst before blending; None if no frame has a seam."""
    errors = scores["seam_error"]["per_frame"]["naive"]
    known = [index for index, error in enumerate(errors) if error is not None]
    if not known:
        return None
    worst = max(known, key=lambda index: errors[index])
    frame, track = scores["frames"][worst], scores["tracks"][worst]
    aligned = Alignment.open(store, alignment)
    stored = next(r for r in aligned.ranges if r[0] <= frame < r[1])
    position = aligned.geometry(track).frames.tolist().index(frame) - aligned.geometry(track).within(stored).start
    for ref in stitched:
        part = Artifact.open(store, ref, "stitch")
        name = crops_part(track, stored).removeprefix("crops-")
        if f"stitched-{name}" in part.parts:
            return SeamCrops(
                frame=frame,
                source=data_uri(aligned.crops(track, [stored])[position]),
                naive=data_uri(decode_frames(part.read_part(f"naive-{name}"))[position]),
                stitched=data_uri(decode_frames(part.read_part(f"stitched-{name}"))[position]),
            )
    return None


def _frames(path: Path, numbers: Sequence[int]) -> dict[int, str]:
    """Data URIs of some frames, by number, read in one pass."""
    wanted = set(numbers)
    frames = read_frames(path, 0, max(wanted) + 1) if wanted else []
    return {number: data_uri(frame) for number, frame in enumerate(frames) if number in wanted}


def data_uri(image: Image) -> str:
    """A picture (H, W, 3) as a JPEG that a page can hold, reduced if it is wide."""
    height, width = image.shape[:2]
    if width > MAX_WIDTH:
        size = (MAX_WIDTH, round(height * MAX_WIDTH / width))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
