"""What a video may measure, checked as early as it shows."""

from dataclasses import dataclass
from math import inf
from pathlib import Path

from av.container import InputContainer
from av.video.stream import VideoStream

from seamline.errors import InvalidInput

MAX_SIDE = 8192
"""Pixels; the largest width or height accepted."""
MAX_FRAMES = 100_000
"""Frames; nearly an hour at 30 a second."""

_CUT = "cut it into shorter videos"
_SIZED = ("mov", "matroska")
"""Formats whose headers say how long a video is; of others it is an estimate, and often wrong."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that a video may measure.

    Headers are believed where they say that it is more: nothing is decoded then. Where they say less, decoding stops at
    the limit.
    """

    bytes: float = inf
    """Of the file."""
    seconds: float = inf
    frames: int = MAX_FRAMES
    pixels: int = MAX_SIDE**2
    """Of a frame."""

    def check_bytes(self, count: int, name: str) -> None:
        """Raises InvalidInput if a file is larger."""
        if count > self.bytes:
            raise InvalidInput(
                f"{name} has {count} bytes, of {self.bytes:.0f} at most (SEAMLINE_MAX_VIDEO_BYTES); shorten it, or "
                "compress it more",
                limit=self.bytes,
            )

    def check_length(self, frames: int, seconds: float, path: Path) -> None:
        """Raises InvalidInput if a video is longer."""
        if frames > self.frames:
            raise InvalidInput(
                f"{path.name} has more than {self.frames} frames (SEAMLINE_MAX_VIDEO_FRAMES); {_CUT}",
                path=path,
                limit=self.frames,
            )
        if seconds > self.seconds:
            raise InvalidInput(
                f"{path.name} lasts longer than {self.seconds:g} s (SEAMLINE_MAX_VIDEO_SECONDS); {_CUT}",
                path=path,
                limit=self.seconds,
            )

    def check_header(self, container: InputContainer, stream: VideoStream, path: Path) -> None:
        """Raises InvalidInput if a file says of itself that it is longer."""
        if container.format.name.startswith(_SIZED):
            ticks = stream.duration or 0
            whole = (container.duration or 0) / 1_000_000
            self.check_length(stream.frames, float(ticks * (stream.time_base or 0)) or whole, path)

    def check_picture(self, width: int, height: int, path: Path) -> None:
        """Raises InvalidInput if a frame is larger, or a side is larger than MAX_SIDE."""
        check_side(width, height, path)
        if width * height > self.pixels:
            raise InvalidInput(
                f"{path.name} is {width}x{height}, {width * height} pixels a frame, of {self.pixels} at most "
                "(SEAMLINE_MAX_VIDEO_PIXELS); scale it down",
                path=path,
                limit=self.pixels,
            )


def check_side(width: int, height: int, path: Path) -> None:
    """Raises InvalidInput if a picture is larger than MAX_SIDE."""
    if max(width, height) > MAX_SIDE:
        raise InvalidInput(
            f"{path.name} is {width}x{height} pixels; at most {MAX_SIDE} a side are accepted: scale it down",
            path=path,
            limit=MAX_SIDE,
        )
