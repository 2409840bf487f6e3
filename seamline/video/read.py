"""Frames of a video, one by one."""

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from seamline.errors import InvalidInput
from seamline.video.index import FrameIndex, index_video
from seamline.video.pixels import Rgb, to_rgb
from seamline.video.source import decode, open_video


def read_frames(path: Path | str, start: int = 0, end: int | None = None) -> Iterator[Rgb]:
    """Yields frames [start, end) in presentation order, one in memory at a time.

    Args:
        path: the video file.
        start: the first frame, from 0.
        end: behind the last frame; None for all.

    Yields:
        (H, W, 3) uint8 RGB, upright.

    Raises:
        UnreadableVideo: as `probe`.
        InvalidInput: as `probe`, or the range is not inside the video.
    """
    path = Path(path)
    index = index_video(path)
    end = len(index) if end is None else end
    if not 0 <= start <= end <= len(index):
        raise InvalidInput(
            f"frames [{start}, {end}) are not inside {path.name}, which has {len(index)} frames",
            path=path,
            frames=len(index),
        )
    if start < end:
        yield from map(to_rgb, _decode_range(path, index, start, end))


def _decode_range(path: Path, index: FrameIndex, start: int, end: int) -> Iterator[VideoFrame]:
    key = index.key_before(start) if index.timed else 0
    if key:
        with open_video(path) as (container, stream):
            first, rest = _seek(container, stream, index.times[key], path)
            if first is not None:
                yield from islice(chain([first], rest), start - key, end - key)
                return
    # The container cannot go to the key frame, or there is none on the way: decode from the beginning.
    with open_video(path) as (container, stream):
        yield from islice(decode(container, stream, path), start, end)


def _seek(
    container: InputContainer, stream: VideoStream, time: int, path: Path
) -> tuple[VideoFrame | None, Iterator[VideoFrame]]:
    """Goes to the key frame shown at `time`; gives it, or None if it does not come, and what follows it."""
    container.seek(time, stream=stream, backward=True)
    frames = decode(container, stream, path)
    # Frames shown before the key frame but stored after it (open GOP) lean on others that were skipped over.
    first = next((frame for frame in frames if frame.pts is None or frame.pts >= time), None)
    return (first if first is not None and first.pts == time else None), frames
