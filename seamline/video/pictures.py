"""A folder of pictures as a video: what tools that work on frames keep."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.codec.context import Flags
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from seamline.errors import InvalidInput
from seamline.storage.atomic import atomic_path
from seamline.video.limits import check_side
from seamline.video.pixels import Rgb
from seamline.video.write import X264

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tiff")


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, in the order of their names.

    Raises:
        InvalidInput: There is none.
    """
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise InvalidInput(f"{folder}: has no pictures ({', '.join(SUFFIXES)})", path=folder)
    return found


def read_pictures(paths: Sequence[Path]) -> Iterator[Rgb]:
    """Pictures as (H, W, 3) uint8 RGB, one at a time.

    Raises:
        InvalidInput: One cannot be read, is too large, or of another size than the first.
    """
    size: tuple[int, int] | None = None
    for path in paths:
        try:
            with Image.open(path) as picture:
                check_side(*picture.size, path)
                pixels = np.asarray(picture.convert("RGB"))
                size = size or picture.size
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InvalidInput(f"{path}: is no picture that can be read ({error})", path=path) from error
        if pixels.shape[1::-1] != size:
            found = f"{pixels.shape[1]}x{pixels.shape[0]}"
            raise InvalidInput(f"{path}: is {found}, the pictures before it {size[0]}x{size[1]}", path=path)
        yield pixels


def write_pictures(path: Path, paths: Sequence[Path], fps: Fraction) -> None:
    """Write pictures as an MP4 (H.264) that appears whole or not at all.

    Raises:
        InvalidInput: As `read_pictures`.
    """
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with atomic_path(path) as unfinished, av.open(str(unfinished), "w", format="mp4", options=options) as target:
        stream: VideoStream | None = None
        for number, pixels in enumerate(read_pictures(paths)):
            if stream is None:
                stream = cast(VideoStream, target.add_stream("libx264", rate=fps, options=X264))
                stream.height, stream.width = pixels.shape[:2]
                stream.codec_context.flags |= Flags.bitexact
                stream.pix_fmt = "yuv420p" if stream.width % 2 == stream.height % 2 == 0 else "yuv444p"
            frame = VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, 1 / fps
            target.mux(stream.encode(frame))
        if stream is not None:
            target.mux(stream.encode(None))
