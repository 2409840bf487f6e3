"""A video like another one, with new frames."""

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import cast

import av
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from seamline.errors import InvalidInput, UnreadableVideo
from seamline.video.index import FrameIndex, index_video
from seamline.video.pixels import Colour, Rgb, from_rgb, is_transposed
from seamline.video.sound import Sound
from seamline.video.source import decode, open_video

X264 = {"crf": "17", "preset": "fast", "mbtree": "0"}
"""How frames are stored.

Without x264's macroblock tree: where a processor has AVX-512 it reads memory that it never wrote, and equal frames give
other bytes from one time to the next. This factor is for the demo clip what 14 is with the tree: 57.3 dB, not 57.0.
"""
_THREADS = 4


def write_video(path: Path | str, frames: Iterable[Rgb], like: Path | str) -> None:
    """Writes an MP4 (H.264, index in front) that appears whole or not at all.

    From `like` it takes each frame's time, the sound as it is stored, the colour tags and the pixels' shape.
    Frames are stored upright. The size is kept exactly: H.264 cannot crop 4:2:0 pictures to odd sizes, so
    those are stored in 4:4:4, which costs hardware players but no pixel.

    Args:
        path: the file to write.
        frames: as many (H, W, 3) uint8 RGB frames of one size as `like` has; read one at a time.
        like: the video that they were made from.

    Raises:
        InvalidInput: frames differ in size or type, or are not as many as `like` has.
        UnreadableVideo: `like` is not a video.
    """
    like, path = Path(like), Path(path)
    index = index_video(like)
    remaining = iter(frames)
    first = next(remaining, None)
    if first is None:
        raise InvalidInput(f"no frames for a video like {like.name}, which has {len(index)}")
    with open_video(like) as (source, picture), _appearing(path) as target:
        pattern = next(decode(source, picture, like), None)
        if pattern is None:
            raise UnreadableVideo(f"no frame of {like.name} can be decoded", path=like)
        stream = _add_picture(target, first, index, picture, pattern)
        source.seek(0)
        start = _start(source.start_time)
        sound = Sound(source, target, start)
        shift = round(start / index.time_base)
        for number, rgb in enumerate(_as_many(chain([first], remaining), len(index), first.shape)):
            frame = from_rgb(rgb, Colour.of(pattern), str(stream.pix_fmt))
            frame.time_base = index.time_base
            frame.pts = index.times[number] - shift
            frame.duration = _duration(index, number)
            target.mux(stream.encode(frame))
            sound.write_until((frame.pts + frame.duration) * index.time_base)
        target.mux(stream.encode(None))
        sound.finish()


def _add_picture(
    target: OutputContainer, first: Rgb, index: FrameIndex, source: VideoStream, pattern: VideoFrame
) -> VideoStream:
    rate = Fraction(len(index) / index.duration_seconds).limit_denominator(1001)
    stream = cast(VideoStream, target.add_stream("libx264", rate=rate, options=X264))
    stream.height, stream.width = first.shape[:2]
    stream.pix_fmt = "yuv420p" if stream.width % 2 == stream.height % 2 == 0 else "yuv444p"
    stream.time_base = stream.codec_context.time_base = index.time_base
    stream.thread_count = _THREADS
    shape = source.sample_aspect_ratio or Fraction(1)
    context, colour = stream.codec_context, Colour.of(pattern)
    context.sample_aspect_ratio = 1 / shape if is_transposed(pattern) else shape
    context.flags |= Flags.bitexact | Flags.frame_duration
    context.color_range, context.colorspace = colour.range, colour.matrix
    context.color_primaries, context.color_trc = colour.primaries, colour.transfer
    return stream


def _as_many(frames: Iterable[Rgb], count: int, shape: tuple[int, ...]) -> Iterator[Rgb]:
    number = 0
    for number, frame in enumerate(frames, start=1):
        if number > count:
            raise InvalidInput(f"more frames than the {count} that the source video has", frames=count)
        if frame.shape != shape or len(shape) != 3 or shape[2] != 3 or frame.dtype != "uint8":
            raise InvalidInput(
                f"frame {number - 1} is {frame.dtype} {frame.shape}; needed is uint8 RGB as the first, {shape}",
                frame=number - 1,
            )
        yield frame
    if number < count:
        raise InvalidInput(f"only {number} frames for a video like one of {count}", frames=count)


def _duration(index: FrameIndex, number: int) -> int:
    if number + 1 < len(index):
        return index.times[number + 1] - index.times[number]
    return index.last_duration


def _start(start_time: int | None) -> Fraction:
    """Seconds to take off: broadcast files begin anywhere, and players should not wait for them."""
    return Fraction(max(0, start_time or 0), av.time_base)


@contextmanager
def _appearing(path: Path) -> Iterator[OutputContainer]:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{uuid.uuid4().hex}.unfinished")
    try:
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        with av.open(str(unfinished), "w", format="mp4", options=options) as container:
            yield container
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
