"""What a video file holds."""

from dataclasses import dataclass
from pathlib import Path

from seamline.errors import UnreadableVideo
from seamline.v1.media_pb2 import VideoInfo
from seamline.video.index import index_video
from seamline.video.limits import Limits
from seamline.video.pixels import is_transposed
from seamline.video.source import decode, open_video


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """A video as its frames are read: upright, and as many as can be decoded."""

    width: int
    """Pixels, after the rotation flag."""
    height: int
    """Pixels, after the rotation flag."""
    frame_count: int
    fps: float
    """Mean frame rate."""
    duration_seconds: float
    has_audio: bool

    def to_proto(self) -> VideoInfo:
        """The message that says the same."""
        return VideoInfo(
            width=self.width,
            height=self.height,
            frame_count=self.frame_count,
            fps=self.fps,
            duration_seconds=self.duration_seconds,
            has_audio=self.has_audio,
        )


def probe(path: Path | str, limits: Limits = Limits()) -> VideoFacts:
    """Looks at a video. It is decoded once, so that the count of frames is the one `read_frames` keeps.

    Raises:
        UnreadableVideo: it is not a video, is damaged before its end, or no frame can be decoded.
        InvalidInput: there is no such file, or it is larger or longer than the limits allow.
    """
    path = Path(path)
    index = index_video(path, limits)
    with open_video(path, limits) as (container, stream):
        frame = next(decode(container, stream, path), None)
        if frame is None:
            raise UnreadableVideo(f"no frame of {path.name} can be decoded; upload it whole", path=path)
        width, height = frame.width, frame.height
        limits.check_picture(width, height, path)
        if is_transposed(frame):
            width, height = height, width
        return VideoFacts(
            width=width,
            height=height,
            frame_count=len(index),
            fps=len(index) / index.duration_seconds,
            duration_seconds=index.duration_seconds,
            has_audio=bool(container.streams.audio),
        )
