"""Frame packs: a run of frames as one object, without loss.

FFV1 (RFC 9043) in Matroska. It codes RGB reversibly, is half the size of PNG at about its speed on decoded
video (`bench/framepack.py`) and can be played with any FFmpeg. Every frame is a key frame and nothing
random or dated goes into the file, so the same frames always give the same bytes, and the digest of a pack
identifies its frames. Damage is found by that digest, on reading the part; the decoder would paint over it.
"""

import io
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.codec.context import Flags
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from seamline.errors import InvalidInput

Frames = npt.NDArray[np.uint8]

# channels -> (numpy layout, FFV1 layout): the second is the same values, moved about.
_LAYOUTS = {3: ("rgb24", "bgr0"), 1: ("gray", "gray")}
# Version 1 has no slices: later ones want several in large frames and cannot cut narrow ones.
_FFV1_OPTIONS = {"level": "1", "coder": "rice", "context": "0"}


def encode_frames(frames: Frames) -> bytes:
    """Packs frames.

    Args:
        frames: (N, H, W, 3) RGB or (N, H, W, 1), uint8, N at least 1.

    Raises:
        InvalidInput: the array is of another shape or type.
    """
    if frames.ndim != 4 or frames.dtype != np.uint8 or frames.shape[3] not in _LAYOUTS or 0 in frames.shape:
        raise InvalidInput(
            "a frame pack takes uint8 frames (N, H, W, 3 or 1), at least one of at least one pixel, "
            f"not {frames.dtype} {frames.shape}"
        )
    file = io.BytesIO()
    with av.open(file, "w", format="matroska", options={"fflags": "+bitexact"}) as container:
        _write(container, frames)
    return file.getvalue()


def decode_frames(data: bytes) -> Frames:
    """Unpacks what `encode_frames` made: (N, H, W, C) uint8.

    Raises:
        InvalidInput: the bytes are not a whole frame pack.
    """
    try:
        with av.open(io.BytesIO(data), "r", format="matroska") as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            layout = "gray" if stream.codec_context.pix_fmt == "gray" else "rgb24"
            frames = [frame.to_ndarray(format=layout) for frame in container.decode(stream)]
    except (FFmpegError, IndexError) as error:
        raise InvalidInput(f"the bytes are not a frame pack: {error}") from error
    if not frames:
        raise InvalidInput("the frame pack has no frames")
    pack = np.stack(frames).astype(np.uint8, copy=False)
    return pack[..., None] if pack.ndim == 3 else pack


def _write(container: OutputContainer, frames: Frames) -> None:
    source, coded = _LAYOUTS[frames.shape[3]]
    stream = cast(VideoStream, container.add_stream("ffv1", rate=25, options=_FFV1_OPTIONS))
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = coded
    stream.codec_context.gop_size = 1
    stream.codec_context.thread_count = 1
    stream.codec_context.flags |= Flags.bitexact
    for number, pixels in enumerate(frames):
        plane = pixels if frames.shape[3] == 3 else pixels[..., 0]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(plane), format=source).reformat(format=coded)
        frame.pts = number
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
