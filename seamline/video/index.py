"""When each frame of a video is shown, found by decoding it once: headers lie, decoders do not."""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from seamline.errors import InvalidInput, UnreadableVideo
from seamline.video.source import MAX_FRAMES, check_side, decode, open_video


@dataclass(frozen=True, kw_only=True)
class FrameIndex:
    """The frames of one file, counted from 0 in presentation order."""

    times: tuple[int, ...]
    """When each frame is shown, in units of `time_base`, strictly increasing."""
    keys: tuple[bool, ...]
    """Whether decoding may begin at the frame."""
    last_duration: int
    """How long the last frame stays, in units of `time_base`."""
    time_base: Fraction
    """Seconds."""
    timed: bool
    """Whether the times are the file's own (raw streams have none), so that one can seek to them."""

    def __len__(self) -> int:
        return len(self.times)

    @property
    def duration_seconds(self) -> float:
        """From the first frame's appearance to the last one's end."""
        return float((self.times[-1] - self.times[0] + self.last_duration) * self.time_base)

    def key_before(self, frame: int) -> int:
        """The last frame not after `frame` at which decoding may begin."""
        return next((number for number in range(frame, 0, -1) if self.keys[number]), 0)


def index_video(path: Path) -> FrameIndex:
    """Decodes a video once; the result is remembered while the file stays the same.

    Raises:
        UnreadableVideo: it is not a video, no frame can be decoded, or its size changes on the way.
        InvalidInput: it is larger or longer than MAX_SIDE and MAX_FRAMES allow.
    """
    if not path.is_file():
        raise InvalidInput(f"there is no file {path}", path=path)
    stat = path.stat()
    return _index(path.resolve(), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=8)
def _index(path: Path, _modified: int, _size: int) -> FrameIndex:
    with open_video(path) as (container, stream):
        if not stream.time_base:
            raise UnreadableVideo(f"{path.name} does not say how fast it plays", path=path)
        times: list[int] = []
        keys: list[bool] = []
        size, last, timed = (0, 0), 0, True
        for frame in decode(container, stream, path):
            size = _check_frame(frame, len(times), size, path)
            step = _duration(frame, stream)
            timed = timed and frame.pts is not None and (not times or frame.pts > times[-1])
            times.append(_time(frame, times, step))
            keys.append(bool(frame.key_frame))
            last = step
        if not times:
            raise UnreadableVideo(f"no frame of {path.name} can be decoded; upload it whole", path=path)
        return FrameIndex(
            times=tuple(times), keys=tuple(keys), last_duration=last, time_base=stream.time_base, timed=timed
        )


def _time(frame: VideoFrame, before: list[int], step: int) -> int:
    if not before:
        return frame.pts or 0
    # Broken files repeat or lack times; what can be played must go forward.
    return frame.pts if frame.pts is not None and frame.pts > before[-1] else before[-1] + step


def _duration(frame: VideoFrame, stream: VideoStream) -> int:
    if frame.duration:
        return frame.duration
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    return max(1, round(1 / (rate * (stream.time_base or Fraction(1, 1000)))))


def _check_frame(frame: VideoFrame, number: int, size: tuple[int, int], path: Path) -> tuple[int, int]:
    found = (frame.width, frame.height)
    if number and found != size:
        raise UnreadableVideo(
            f"{path.name} changes from {size[0]}x{size[1]} to {found[0]}x{found[1]} at frame {number}; "
            "encode it at one size",
            path=path,
            frame=number,
        )
    if number >= MAX_FRAMES:
        raise InvalidInput(
            f"{path.name} has more than {MAX_FRAMES} frames; cut it into shorter videos",
            path=path,
            limit=MAX_FRAMES,
        )
    check_side(*found, path)
    return found
