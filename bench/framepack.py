"""What a frame pack costs, in bytes and milliseconds a frame, against the other lossless ways to keep frames.

    python -m bench.framepack some.mp4 --frames 16 --repeats 3

Prints a Markdown table. Every way is checked to give the frames back bit by bit; times are processor
seconds on one thread, the best of the repeats.
"""

import argparse
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.stream import VideoStream

from seamline.storage import decode_frames, encode_frames
from seamline.video import read_frames

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Way:
    """One way to keep frames."""

    name: str
    encode: Callable[[Frames], list[bytes]]
    decode: Callable[[list[bytes]], Frames]


def png(level: int) -> Way:
    """One PNG a frame."""

    def encode(frames: Frames) -> list[bytes]:
        options = [cv2.IMWRITE_PNG_COMPRESSION, level]
        return [cv2.imencode(".png", frame[..., ::-1], options)[1].tobytes() for frame in frames]

    def decode(data: list[bytes]) -> Frames:
        images = [cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_COLOR) for each in data]
        return np.stack([cast(Frames, image)[..., ::-1] for image in images])

    return Way(f"PNG, level {level}", encode, decode)


def video(name: str, codec: str, layout: str, options: dict[str, str], group: int) -> Way:
    """One Matroska file for all frames, `group` frames from key frame to key frame."""

    def encode(frames: Frames) -> list[bytes]:
        file = io.BytesIO()
        with av.open(file, "w", format="matroska") as container:
            stream = cast(VideoStream, container.add_stream(codec, rate=25, options=options))
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt, stream.thread_count, stream.gop_size = layout, 1, group
            for number, pixels in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=layout)
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return [file.getvalue()]

    def decode(data: list[bytes]) -> Frames:
        with av.open(io.BytesIO(data[0]), "r") as container:
            container.streams.video[0].thread_count = 1
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            return np.stack(frames).astype(np.uint8, copy=False)

    return Way(name, encode, decode)


WAYS = [
    Way("frame pack", lambda frames: [encode_frames(frames)], lambda data: decode_frames(data[0])),
    png(1),
    png(6),
    video("FFV1, range coder", "ffv1", "bgr0", {"level": "1", "coder": "range_def", "context": "1"}, 1),
    video("FFV1, states kept over frames", "ffv1", "bgr0", {"level": "1", "coder": "rice"}, 300),
    video("H.264 lossless, ultrafast", "libx264rgb", "rgb24", {"qp": "0", "preset": "ultrafast"}, 300),
    video("H.264 lossless, veryfast", "libx264rgb", "rgb24", {"qp": "0", "preset": "veryfast"}, 300),
]


def measure(way: Way, frames: Frames, repeats: int) -> tuple[int, float, float]:
    """Bytes, milliseconds to encode and milliseconds to decode, all per frame."""
    encoding, decoding, data = [], [], list[bytes]()
    for _ in range(repeats):
        start = time.process_time()
        data = way.encode(frames)
        middle = time.process_time()
        got = way.decode(data)
        end = time.process_time()
        if not np.array_equal(got, frames):
            raise SystemExit(f"{way.name} does not give the frames back")
        encoding.append(middle - start)
        decoding.append(end - middle)
    return sum(map(len, data)) // len(frames), *(min(t) * 1000 / len(frames) for t in (encoding, decoding))


def main() -> None:
    """Runs the benchmark on the command line's video."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    frames = np.stack(list(islice(read_frames(options.video), options.frames)))
    print(f"{options.video.name}: {len(frames)} frames of {frames.shape[2]}x{frames.shape[1]}, one thread\n")
    print("| way | bytes a frame | of raw | encode, CPU ms a frame | decode, CPU ms a frame |\n|---|---|---|---|---|")
    for way in WAYS:
        size, encoding, decoding = measure(way, frames, options.repeats)
        print(f"| {way.name} | {size:,} | {size / frames[0].nbytes:.1%} | {encoding:.1f} | {decoding:.1f} |")


if __name__ == "__main__":
    main()
