"""Reading what the aligner wrote: frames, aligned crops, and where each crop lies in its frame."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seamline.errors import InvalidInput
from seamline.storage.artifact import Artifact
from seamline.storage.framepack import Frames, decode_frames
from seamline.storage.store import Store
from seamline.v1.media_pb2 import ArtifactRef

Range = tuple[int, int]
"""Frames [start, end) of the video."""

TIMES = "times.npy"
"""Name of the part that says when each frame is shown: (n,) float64 seconds since the first."""

MOST_FRAMES = 48
"""Frames of a stored range."""
MOST_BYTES = 256 << 20
"""Decoded bytes of a stored range: larger pictures get shorter ranges."""


@dataclass(frozen=True, kw_only=True)
class TrackSummary:
    """One face through one shot."""

    id: int
    start: int
    end: int
    visible_frames: int
    """Frames in which the face is edited."""


@dataclass(frozen=True, kw_only=True)
class TrackGeometry:
    """Where a track's face is, in each of its n visible frames."""

    frames: NDArray[np.int32]
    """(n,) numbers in the video, ascending."""
    quads: NDArray[np.float64]
    """(n, 4, 2) corners of the crop, pixels; see `seamline.geometry`."""
    landmarks: NDArray[np.float32]
    """(n, 68, 2) pixels."""
    detected: NDArray[np.bool_]
    """(n,) False where the face was interpolated."""

    def within(self, frames: Range) -> slice:
        """Positions of the visible frames that lie in a range."""
        start, end = np.searchsorted(self.frames, frames)
        return slice(int(start), int(end))


class Alignment:
    """A finished alignment.

    Attributes:
        artifact: what it is read from.
        bundle: name of the bundle that it was made with.
        bundle_digest: and the digest of its manifest.
        crop_size: side of the crops in pixels.
        frame_count: frames of the video.
        ranges: of frames, as the frames and crops are stored, in order.
        tracks: every face, each in one shot.
    """

    def __init__(self, artifact: Artifact) -> None:
        meta = artifact.meta
        self.artifact = artifact
        self.bundle: str = meta["bundle"]
        self.bundle_digest: str = meta["bundle_digest"]
        self.crop_size: int = meta["crop_size"]
        self.frame_count: int = meta["video"]["frame_count"]
        self.ranges: list[Range] = [(start, end) for start, end in meta["ranges"]]
        self.tracks = [TrackSummary(**track) for track in meta["tracks"]]

    @classmethod
    def open(cls, store: Store, ref: ArtifactRef) -> "Alignment":
        """Opens an alignment; raises as `Artifact.open`."""
        if not ref.uri:
            raise InvalidInput("the request names no alignment", field="alignment")
        return cls(Artifact.open(store, ref, stage="align"))

    @property
    def video(self) -> str:
        """Digest of the video that it is of."""
        return self.artifact.recipe.video

    @property
    def sha256(self) -> str:
        """Digest that names it in the recipes of later stages."""
        return self.artifact.ref.sha256

    def frames(self, stored: Range) -> Frames:
        """Frames (n, height, width, 3) of one of `ranges`."""
        return decode_frames(self.artifact.read_part(frames_part(stored)))

    def crops(self, track: int, stored: Sequence[Range] | None = None) -> Frames:
        """Aligned crops (n, R, R, 3) of a track's visible frames, from some of `ranges` or from all."""
        names = [crops_part(track, frames) for frames in (self.ranges if stored is None else stored)]
        packs = [decode_frames(self.artifact.read_part(name)) for name in names if name in self.artifact.parts]
        size = self.crop_size
        return np.concatenate(packs) if packs else np.empty((0, size, size, 3), np.uint8)

    def seconds(self, frames: ArrayLike) -> NDArray[np.float64]:
        """When frames (n,) of the video are shown, seconds since the first: by the video's own timestamps."""
        return self._times[np.asarray(frames, np.intp)]

    @cached_property
    def _times(self) -> NDArray[np.float64]:
        return np.load(io.BytesIO(self.artifact.read_part(TIMES)), allow_pickle=False)

    def geometry(self, track: int) -> TrackGeometry:
        """Quads and landmarks of a track."""
        with np.load(io.BytesIO(self.artifact.read_part(track_part(track)))) as arrays:
            return TrackGeometry(**{name: arrays[name] for name in TrackGeometry.__dataclass_fields__})


def stored_ranges(frame_count: int, width: int, height: int) -> list[Range]:
    """The frame ranges that are parts of their own, of a video with pictures of this size.

    They are nearly equally long: stitching tuning shares work between the frames of a range, and a short last one
    would have little to share.
    """
    longest = max(1, min(MOST_FRAMES, MOST_BYTES // (width * height * 3)))
    count = -(-frame_count // longest)
    return list(pairwise(frame_count * index // count for index in range(count + 1))) if count else []


def frames_part(stored: Range) -> str:
    """Name of the part with a range's frames."""
    return f"frames-{stored[0]:06d}-{stored[1]:06d}"


def crops_part(track: int, stored: Range) -> str:
    """Name of the part with a track's crops in a range; absent when the face is in none of its frames."""
    return f"crops-{track}-{stored[0]:06d}-{stored[1]:06d}"


def encode_times(seconds: NDArray[np.float64]) -> bytes:
    """What `Alignment.seconds` reads."""
    file = io.BytesIO()
    np.save(file, seconds, allow_pickle=False)
    return file.getvalue()


def track_part(track: int) -> str:
    """Name of the part with a track's geometry."""
    return f"track-{track}.npz"
