"""Settings of the aligner service."""

from pydantic import Field

from seamline.rpc.config import ServerConfig
from seamline.video import Limits
from seamline.video.limits import MAX_FRAMES


class AlignerConfig(ServerConfig):
    """What every service reads, and what a video may measure: every other stage works on what the aligner let in."""

    max_video_bytes: int = Field(default=1 << 30, ge=1)
    """Of the file."""
    max_video_seconds: float = Field(default=3600.0, gt=0)
    """From its first frame to its end."""
    max_video_pixels: int = Field(default=7680 * 4320, ge=1)
    """Of a frame."""
    max_video_frames: int = Field(default=MAX_FRAMES, ge=1, le=MAX_FRAMES)
    """In all."""

    @property
    def limits(self) -> Limits:
        """The four together."""
        return Limits(
            bytes=self.max_video_bytes,
            seconds=self.max_video_seconds,
            pixels=self.max_video_pixels,
            frames=self.max_video_frames,
        )
