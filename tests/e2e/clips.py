"""Clips for the whole edit: cut from the demo clip, or made to be refused."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

PRESENTER = Path(__file__).resolve().parents[2] / "assets" / "presenter.mp4"


def cut(path: Path, count: int, source: Path = PRESENTER) -> Path:
    """Writes the first `count` frames of a video, with its sound up to there."""
    with av.open(str(source)) as film, av.open(str(path), "w", options={"movflags": "faststart"}) as target:
        picture, sound = film.streams.video[0], film.streams.audio[0]
        rate = picture.average_rate or Fraction(25)
        stream = target.add_stream("libx264", rate=rate, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
        voice = target.add_stream_from_template(sound)
        for number, frame in enumerate(film.decode(picture)):
            if number == count:
                break
            still = frame.reformat(format="yuv420p")
            still.pts, still.time_base = number, 1 / rate
            target.mux(stream.encode(still))
        target.mux(stream.encode(None))
        film.seek(0)
        for packet in film.demux(sound):
            if packet.pts is not None and packet.pts * packet.time_base < count / rate:
                packet.stream = voice
                target.mux(packet)
    return path


def faceless(path: Path) -> Path:
    """Writes a video of drifting colours."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        y, x = np.mgrid[:240, :320]
        for number in range(6):
            waves = [128 + 90 * np.sin((x * (c + 1) + y + 9 * number) / 60) for c in range(3)]
            frame = av.VideoFrame.from_ndarray(np.stack(waves, -1).astype(np.uint8), format="rgb24")
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def damaged(path: Path, source: Path = PRESENTER) -> Path:
    """Writes a video file that a broken upload cut off before the end of its first frame."""
    path.write_bytes(source.read_bytes()[:4096])
    return path


def looped(path: Path, times: int, source: Path = PRESENTER) -> Path:
    """Writes a video's pictures several times over, without its sound."""
    with av.open(str(source)) as film, av.open(str(path), "w") as target:
        picture = film.streams.video[0]
        rate = picture.average_rate or Fraction(25)
        stream = target.add_stream("libx264", rate=rate, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
        stills = [frame.reformat(format="yuv420p") for frame in film.decode(picture)] * times
        for number, still in enumerate(stills):
            still.pts, still.time_base = number, 1 / rate
            target.mux(stream.encode(still))
        target.mux(stream.encode(None))
    return path
