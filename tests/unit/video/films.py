"""Small videos whose every frame shows its number, in all the shapes that cameras and editors produce."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.codec.context import Flags

from seamline.video.write import X264

Rgb = npt.NDArray[np.uint8]

TICK = Fraction(1, 12800)
STEADY = 512
"""Ticks of a frame at 25 a second."""
BITS = 6


def picture(number: int, width: int = 64, height: int = 48) -> Rgb:
    """A soft picture with four unlike corners and, across its middle, `number` in black and white fields."""
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([x * 200 // width, y * 200 // height, (x + y) * 90 // (width + height) + 60], axis=-1)
    for bit in range(BITS):
        left, right = width * bit // BITS, width * (bit + 1) // BITS
        rgb[height // 3 : height * 2 // 3, left:right] = 235 if number >> bit & 1 else 20
    return rgb.astype(np.uint8)


def number_of(frame: Rgb) -> int:
    """The number that a frame shows, after any compression."""
    height, width = frame.shape[:2]
    fields = (frame[height // 2, width * (2 * bit + 1) // (2 * BITS)].mean() > 128 for bit in range(BITS))
    return sum(1 << bit for bit, white in enumerate(fields) if white)


def film(
    path: Path,
    *,
    count: int = 12,
    size: tuple[int, int] = (64, 48),
    times: Sequence[int] | None = None,
    codec: str = "libx264",
    layout: str = "yuv420p",
    options: dict[str, str] | None = None,
    matrix: Sequence[int] | None = None,
    tags: dict[str, int] | None = None,
    aspect: Fraction = Fraction(1),
    sound: str | None = None,
    start: int = 0,
    container: str | None = None,
) -> Path:
    """Writes a video of `count` numbered frames (width, height), shown at `times` in TICKs or 25 a second.

    Everything begins at `start` TICKs. Equal frames are equal bytes: see `seamline.video.write.X264`.
    """
    options = options or {"crf": "10", "preset": "veryfast"}
    if codec == "libx264":
        options = {"mbtree": X264["mbtree"], **options}
    times = times if times is not None else [STEADY * number for number in range(count)]
    with av.open(str(path), "w", format=container) as target:
        stream = target.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = layout
        if codec != "mpeg4":
            stream.time_base = stream.codec_context.time_base = TICK
        stream.codec_context.sample_aspect_ratio = aspect
        stream.thread_count = 1
        stream.codec_context.flags |= Flags.frame_duration
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        rate = 48000 if sound == "libopus" else 44100
        hum = target.add_stream(sound, rate=rate, layout="stereo") if sound else None
        for number, (time, following) in enumerate(zip(times, [*times[1:], times[-1] + STEADY], strict=True)):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame.pts, frame.time_base, frame.duration = start + time, TICK, following - time
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
        if hum is not None:
            for frame in tone(float(times[-1] * TICK) + 0.04, rate):
                frame.pts += int(start * TICK * rate)
                target.mux(hum.encode(frame))
            target.mux(hum.encode(None))
    return path


def tone(seconds: float, rate: int) -> Iterable[av.AudioFrame]:
    """A hum of 440 Hz in stereo."""
    wave = np.sin(np.arange(int(seconds * rate)) * (2 * np.pi * 440 / rate)) * 0.3
    for start in range(0, len(wave), 1024):
        block = np.tile(wave[start : start + 1024].astype(np.float32), (2, 1))
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield frame


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """Time in seconds and bytes of every packet of the first video or audio stream, as stored."""
    with av.open(str(path)) as source:
        stream = source.streams.get(**{kind: 0})[0]
        return [(p.pts * p.time_base, bytes(p)) for p in source.demux(stream) if p.size and p.pts is not None]


def shown(path: Path) -> list[Fraction]:
    """When each frame appears, in seconds, in order."""
    return sorted(time for time, _ in packets(path, "video"))
