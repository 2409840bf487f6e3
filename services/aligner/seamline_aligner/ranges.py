"""The frame ranges that an alignment is stored in, and the names of their parts."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from seamline.alignment import MOST_BYTES, Range, stored_ranges
from seamline.video import VideoFacts, read_frames
from seamline_aligner.landmarks.backend import Pixels

__all__ = ["MOST_BYTES", "Range", "decoded", "faces_part", "frames_part", "ranges_of", "span"]


def ranges_of(facts: VideoFacts) -> list[Range]:
    """The frame ranges [start, end) that are parts of their own; see `stored_ranges`."""
    return stored_ranges(facts.frame_count, facts.width, facts.height)


def decoded(path: Path, wanted: list[Range]) -> Iterator[tuple[Range, list[Pixels]]]:
    """The frames of ascending ranges, decoded in one go: seeking would decode the same runs again."""
    position = wanted[0][0] if wanted else 0
    frames = read_frames(path, start=position)
    for start, end in wanted:
        yield (start, end), list(islice(frames, start - position, end - position))
        position = end


def span(run: Range) -> str:
    """The range, as it ends the names of parts."""
    return f"{run[0]:06d}-{run[1]:06d}"


def frames_part(run: Range) -> str:
    """The source frames of a range."""
    return f"frames-{span(run)}"


def faces_part(run: Range) -> str:
    """What was seen in a range; not part of the finished artifact."""
    return f"faces-{span(run)}"
