"""The sound of one file for another: packets as they are, re-encoded only where MP4 players would fail."""

from __future__ import annotations  # PyAV's packets are generic for type checkers only

from collections.abc import Iterator
from fractions import Fraction

from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet

# MP4 may hold more (PCM, Vorbis), but hardly anything plays it from there.
_PLAYABLE = {"aac", "ac3", "alac", "eac3", "flac", "mp3", "mp3float", "opus", "libopus"}
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
_AAC_BITS_PER_SECOND = 192_000


class Sound:
    """Every audio stream of `source`, handed to `target` piece by piece beside its picture."""

    def __init__(self, source: InputContainer, target: OutputContainer, start: Fraction) -> None:
        """`start`: the time in seconds that becomes 0."""
        self._target = target
        self._start = start
        self._streams = {stream.index: _add_stream(target, stream) for stream in source.streams.audio}
        self._packets = _timed_packets(source) if self._streams else iter(())
        self._next = next(self._packets, None)

    def write_until(self, seconds: Fraction) -> None:
        """Writes what begins before a time, so that sound and picture lie side by side in the file."""
        while self._next is not None and _time(self._next) - self._start < seconds:
            self._write(self._next)
            self._next = next(self._packets, None)

    def finish(self) -> None:
        """Writes the rest."""
        while self._next is not None:
            self._write(self._next)
            self._next = next(self._packets, None)
        for stream in self._streams.values():
            if stream.codec_context.is_encoder:
                self._target.mux(stream.encode(None))

    def _write(self, packet: Packet[AudioStream]) -> None:
        stream = self._streams[packet.stream.index]
        shift = round(self._start / packet.time_base)
        if not stream.codec_context.is_encoder:
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts = None if packet.dts is None else packet.dts - shift
            packet.stream = stream
            self._target.mux(packet)
            return
        for frame in packet.decode():
            if frame.pts is not None and frame.time_base:
                frame.pts -= round(self._start / frame.time_base)
            self._target.mux(stream.encode(frame))


def _add_stream(target: OutputContainer, source: AudioStream) -> AudioStream:
    stream = _add_codec(target, source)
    if source.language:
        stream.metadata["language"] = source.language
    return stream


def _add_codec(target: OutputContainer, source: AudioStream) -> AudioStream:
    if source.codec_context.name in _PLAYABLE:
        return target.add_stream_from_template(source)
    rate = source.rate if source.rate in _AAC_RATES else 48_000
    stream = target.add_stream("aac", rate=rate)
    stream.bit_rate = _AAC_BITS_PER_SECOND
    stream.layout = "mono" if source.channels == 1 else "stereo"
    return stream


def _timed_packets(source: InputContainer) -> Iterator[Packet[AudioStream]]:
    try:
        for packet in source.demux(source.streams.audio):
            if packet.size and packet.dts is not None:
                yield packet
    except FFmpegError:  # a file that breaks off has sound up to there
        return


def _time(packet: Packet[AudioStream]) -> Fraction:
    return (packet.dts or 0) * packet.time_base
