"""When each frame of a video is shown, found by decoding it once: headers lie, decoders do not."""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from seamline.errors import InvalidInput, UnreadableVideo
from seamline.video.limits import Limits
from seamline.video.source import decode, open_video


@dataclass(frozen=True, kw_only=True)
class FrameIndex:
    """The frames of one file, counted from 0 in presentation order."""

    times: tuple[int, ...]
    """When each frame is shown, in units of `time_base`, strictly increasing."""
    keys: tuple[bool, ...]
    """Whether decoding may begin at the frame."""
    last_duration: int
    """How long the last frame is taken to stay, in units of `time_base`."""
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

    @property
    def seconds(self) -> NDArray[np.float64]:
        """When each frame is shown, (n,) seconds since the first."""
        ticks = np.asarray(self.times, np.int64) - self.times[0]
        return ticks * self.time_base.numerator / self.time_base.denominator

    def key_before(self, frame: int) -> int:
        """The last frame not after `frame` at which decoding may begin."""
        return next((number for number in range(frame, 0, -1) if self.keys[number]), 0)


@dataclass(frozen=True, kw_only=True)
class _File:
    """A file as it is now."""

    path: Path
    modified: int
    size: int
    limits: Limits = field(compare=False)
    """What stops its decoding; they do not change what is found."""


def index_video(path: Path, limits: Limits = Limits()) -> FrameIndex:
    """Decodes a video once; the result is remembered while the file stays the same.

    Raises:
        UnreadableVideo: it is not a video, no frame can be decoded, or its size changes on the way.
        InvalidInput: it is larger or longer than the limits allow; it is decoded no further then.
    """
    if not path.is_file():
        raise InvalidInput(f"there is no file {path}", path=path)
    stat = path.stat()
    limits.check_bytes(stat.st_size, path.name)
    file = _File(path=path.resolve(), modified=stat.st_mtime_ns, size=stat.st_size, limits=limits)
    index = _index(file)
    limits.check_length(len(index), index.duration_seconds, path)
    return index


@lru_cache(maxsize=8)
def _index(file: _File) -> FrameIndex:
    path, limits = file.path, file.limits
    with open_video(path, limits) as (container, stream):
        if not stream.time_base:
            raise UnreadableVideo(f"{path.name} does not say how fast it plays", path=path)
        limits.check_header(container, stream, path)
        shown: list[int | None] = []
        keys: list[bool] = []
        size, duration = (0, 0), 1
        for frame in decode(container, stream, path):
            size = _check_frame(frame, len(shown), size, path, limits)
            shown.append(frame.pts)
            keys.append(bool(frame.key_frame))
            duration = _duration(frame, stream)
            limits.check_length(len(shown), float(_ticks(shown, duration) * stream.time_base), path)
        if not shown:
            raise UnreadableVideo(f"no frame of {path.name} can be decoded; upload it whole", path=path)
        times = _forward(shown, duration)
        return FrameIndex(
            times=tuple(times),
            keys=tuple(keys),
            last_duration=_usual_step(times, duration),
            time_base=stream.time_base,
            timed=times == shown,
        )


def _ticks(shown: list[int | None], step: int) -> int:
    """How long the frames so far stay, but for the last, as far as the file says."""
    first, last = shown[0], shown[-1]
    return step * (len(shown) - 1) if first is None or last is None else last - first


def _forward(shown: list[int | None], step: int) -> list[int]:
    """The frames' times, put right where a file lacks, repeats or mixes them up; frames are in order."""
    times = [time for time in shown if time is not None]
    if len(times) < len(shown):
        return [step * number for number in range(len(shown))]
    times.sort()
    for number in range(1, len(times)):
        times[number] = max(times[number], times[number - 1] + 1)
    return times


def _usual_step(times: list[int], step: int) -> int:
    """The median distance of frames. Containers know the last frame's own duration only now and then."""
    return sorted(b - a for a, b in pairwise(times))[(len(times) - 1) // 2] if len(times) > 1 else step


def _duration(frame: VideoFrame, stream: VideoStream) -> int:
    if frame.duration:
        return frame.duration
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    return max(1, round(1 / (rate * (stream.time_base or Fraction(1, 1000)))))


def _check_frame(frame: VideoFrame, number: int, size: tuple[int, int], path: Path, limits: Limits) -> tuple[int, int]:
    found = (frame.width, frame.height)
    if number and found != size:
        raise UnreadableVideo(
            f"{path.name} changes from {size[0]}x{size[1]} to {found[0]}x{found[1]} at frame {number}; "
            "encode it at one size",
            path=path,
            frame=number,
        )
    limits.check_picture(*found, path)
    return found
