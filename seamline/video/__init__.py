"""Videos as frames: what a file holds, its frames upright in RGB, and a file like another with new frames."""

from seamline.video.limits import Limits
from seamline.video.probe import VideoFacts, probe
from seamline.video.read import read_frames
from seamline.video.write import write_video

__all__ = ["Limits", "VideoFacts", "probe", "read_frames", "write_video"]
