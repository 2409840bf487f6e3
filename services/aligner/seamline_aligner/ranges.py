"""The frame ranges that an alignment is stored in, and the names of their parts."""

from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

from seamline.video import VideoFacts, read_frames
from seamline_aligner.landmarks.backend import Pixels

Range = tuple[int, int]
"""Frames [start, end)."""
MOST_FRAMES = 48
"""Frames of a range."""
MOST_BYTES = 256 << 20
"""Decoded bytes of a range: larger pictures get shorter ranges."""


def ranges_of(facts: VideoFacts) -> list[Range]:
    """The frame ranges [start, end) that are parts of their own.

    They are nearly equally long: stitching tuning shares work between the frames of a range, and a short last one
    would have little to share.
    """
    longest = max(1, min(MOST_FRAMES, MOST_BYTES // (facts.width * facts.height * 3)))
    count = -(-facts.frame_count // longest)
    return list(pairwise(facts.frame_count * index // count for index in range(count + 1))) if count else []


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
