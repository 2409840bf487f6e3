"""Opening a video that somebody sent: only known formats, only this file, only sane sizes."""

from __future__ import annotations  # PyAV's packets are generic for type checkers only

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from seamline.errors import InvalidInput, UnreadableVideo
from seamline.video.limits import Limits

# Playlists, image sequences and the like are left out: they would let the file name other files or addresses.
_FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,h264,hevc"
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
_PADDED = 2
"""Times the pixels of a frame that decoders may make room for: they pad pictures."""


@contextmanager
def open_video(path: Path, limits: Limits = Limits()) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Opens a file and its first moving picture.

    Raises:
        InvalidInput: there is no such file, or its picture is larger than the limits allow.
        UnreadableVideo: it is not a video in a known format, or it holds no picture.
    """
    _check_file(path)
    room = {"max_pixels": str(_PADDED * limits.pixels)}
    try:
        container = av.open(str(path), "r", options=_OPTIONS | room, metadata_errors="replace")
    except FFmpegError as error:
        raise UnreadableVideo(f"{path.name} {_why_not_a_video(path)}", path=path) from error
    with container:
        stream = _picture_stream(container, path)
        # Frame threads would report damage some frames late; the decoder is no bottleneck here.
        stream.thread_type = "SLICE"
        stream.codec_context.options = room
        limits.check_picture(stream.width, stream.height, path)
        yield container, stream


def decode(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[VideoFrame]:
    """Decoded frames in presentation order, from where the container stands.

    A file that ends in the middle (a broken-off upload) gives the frames up to there, and one that begins in
    the middle (cut from a broadcast) those from its first key frame on. Damage between decodable frames is an
    error, not a hole that nobody hears of.

    Raises:
        UnreadableVideo: a frame between others cannot be decoded.
    """
    rejected: Packet[VideoStream] | None = None
    begun = False
    for packet in _packets(container, stream):
        if begun and rejected is not None and packet.size:
            raise UnreadableVideo(
                f"{path.name} is damaged at {_seconds(rejected):.3f} s; encode it again, "
                "for instance with: ffmpeg -i damaged.mp4 repaired.mp4",
                path=path,
                seconds=f"{_seconds(rejected):.3f}",
            )
        try:
            frames = stream.decode(packet)
        except FFmpegError:
            rejected = packet
            continue
        begun = begun or bool(frames)
        yield from frames


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    try:
        yield from container.demux(stream)
    except FFmpegError:  # the container broke off: what is inside the decoder still comes out
        yield cast("Packet[VideoStream]", Packet())


def _picture_stream(container: InputContainer, path: Path) -> VideoStream:
    for stream in container.streams.video:
        # A cover picture of a sound file is a video stream of one frame.
        if not stream.disposition & Disposition.attached_pic:
            return stream
    held = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise UnreadableVideo(f"{path.name} holds no video, only {held}; send a file with a picture", path=path)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise InvalidInput(f"there is no file {path}", path=path)
    if path.stat().st_size == 0:
        raise UnreadableVideo(f"{path.name} is empty; upload it again", path=path)


def _why_not_a_video(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] in (b"ftyp", b"mdat", b"wide", b"free"):
        return (
            "is an MP4 or MOV without its index (moov): the recording or upload broke off; "
            "upload it whole, or recover it with a repair tool"
        )
    return "is not a video in a known format; send MP4, MOV, MKV, WebM, AVI or MPEG-TS"


def _seconds(packet: Packet[VideoStream]) -> float:
    ticks = packet.pts if packet.pts is not None else packet.dts
    return float((ticks or 0) * packet.time_base)
