"""An alignment as the aligner writes it, of a small drawn video."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seamline.alignment import TIMES, crops_part, encode_times, frames_part, track_part
from seamline.bundles import Bundle
from seamline.geometry import crop
from seamline.storage import ArtifactWriter, Recipe, Store, encode_frames
from seamline.v1.media_pb2 import ArtifactRef

WIDTH, HEIGHT = 96, 80
RANGES = ((0, 4), (4, 8), (8, 10))
VIDEO = "0" * 64
"""The digest of its file, had it one."""


def put_alignment(
    store: Store,
    bundle: Bundle,
    *,
    ranges: Sequence[tuple[int, int]] = RANGES,
    hidden: Sequence[int] = (),
    video: str = "drawn",
    seconds: Sequence[float] | None = None,
) -> ArtifactRef:
    """Writes an alignment with one track over the whole video.

    Args:
        store: where it goes.
        bundle: whose alignment it is; says the size of the crops.
        ranges: of frames, as they are stored.
        hidden: frames in which the face is not to be seen.
        video: tells one alignment from another.
        seconds: when each frame is shown; by default 25 a second.
    """
    count = ranges[-1][1]
    frames = np.stack([drawn_frame(number) for number in range(count)])
    visible = np.array([number for number in range(count) if number not in hidden], np.int32)
    quads = np.stack([quad(number) for number in visible])
    size = bundle.resolution
    crops = np.stack([crop(frames[number], place, size) for number, place in zip(visible, quads, strict=True)])
    writer = ArtifactWriter(store, Recipe(video=VIDEO, stage="align", version=0, inputs={"video": video}))
    for stored in ranges:
        writer.put_part(frames_part(stored), encode_frames(frames[slice(*stored)]))
        here = (visible >= stored[0]) & (visible < stored[1])
        if here.any():
            writer.put_part(crops_part(0, stored), encode_frames(crops[here]))
    writer.put_part(TIMES, encode_times(np.arange(count) / 25 if seconds is None else np.array(seconds, float)))
    writer.put_part(track_part(0), _geometry(visible, quads))
    return writer.finish(_meta(bundle, ranges, len(visible)))


def drawn_frame(number: int) -> NDArray[np.uint8]:
    """Frame (HEIGHT, WIDTH, 3): smooth waves that move a little from frame to frame."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / 12.0
    waves = [np.sin(x + 0.1 * number + shade) * np.cos(0.7 * y - 0.05 * number * shade) for shade in range(3)]
    return np.rint(127.5 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


def quad(number: int) -> NDArray[np.float64]:
    """Corners (4, 2) of the face in a frame: a slightly turned square that drifts."""
    center, x = np.array([46.0 + 0.4 * number, 39.0]), np.array([30.0, 2.0])
    y = np.array([-x[1], x[0]])
    return np.stack([center - x - y, center - x + y, center + x + y, center + x - y])


def _landmarks(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """68 points (68, 2) on an ellipse in the middle of the crop."""
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    center, right, down = corners.mean(0), (corners[3] - corners[0]) / 2, (corners[1] - corners[0]) / 2
    return center + 0.5 * np.cos(angles)[:, None] * right + 0.6 * np.sin(angles)[:, None] * down


def _geometry(visible: NDArray[np.int32], quads: NDArray[np.float64]) -> bytes:
    file = io.BytesIO()
    landmarks = np.stack([_landmarks(place) for place in quads]).astype(np.float32)
    np.savez(file, frames=visible, quads=quads, landmarks=landmarks, detected=np.ones(len(visible), bool))
    return file.getvalue()


def _meta(bundle: Bundle, ranges: Sequence[tuple[int, int]], visible: int) -> dict[str, object]:
    count = ranges[-1][1]
    return {
        "video": {
            "sha256": VIDEO,
            "width": WIDTH,
            "height": HEIGHT,
            "frame_count": count,
            "fps": 25.0,
            "duration_seconds": count / 25,
            "has_audio": False,
        },
        "bundle": bundle.name,
        "bundle_digest": bundle.digest,
        "crop_size": bundle.resolution,
        "ranges": [list(stored) for stored in ranges],
        "tracks": [{"id": 0, "start": 0, "end": count, "visible_frames": visible}],
    }
