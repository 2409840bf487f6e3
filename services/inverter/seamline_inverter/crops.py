"""A track's crops, one frame range at a time: what a long video does not fit into memory."""

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from seamline.alignment import Alignment
from seamline.storage.framepack import Frames


class TrackCrops:
    """Reads the crops of one track in the ranges that they are stored in.

    At most two ranges are in memory: the one in hand, and the next, which is read in the background meanwhile.

        with TrackCrops(source, track) as crops:
            learn(crops.take(0, following=1))

    Attributes:
        frames: (n,) numbers, in the video, of the frames that have a crop.
        places: of the m ranges that show the face, in order: where their crops stand among the n.
    """

    def __init__(self, source: Alignment, track: int) -> None:
        """Reads the track's geometry, and no crop yet."""
        geometry = source.geometry(track)
        shown = [(stored, geometry.within(stored)) for stored in source.ranges]
        shown = [(stored, place) for stored, place in shown if place.start < place.stop]
        self.frames = geometry.frames
        self.places = [place for _, place in shown]
        self._stored = [stored for stored, _ in shown]
        self._source, self._track = source, track
        self._held: dict[int, Future[Frames]] = {}
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="crops")

    def __enter__(self) -> "TrackCrops":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.shutdown(cancel_futures=True)

    def take(self, number: int, following: int) -> Frames:
        """Waits for a range's crops (k, R, R, 3), and has those of another read meanwhile.

        What was taken before must no longer be referred to, or it stays in memory as a third range.

        Args:
            number: the range, 0 to m - 1.
            following: the range that will be asked for next; it may be the same one.

        Raises:
            NotFound, DigestMismatch, StoreUnavailable: as `Alignment.crops`.
        """
        wanted = (number, following)
        if not self._held.keys() >= set(wanted):  # else keep what may be asked for again: a clip of two ranges
            self._held = {held: crops for held, crops in self._held.items() if held in wanted}
        for missing in wanted:
            if missing not in self._held:
                self._held[missing] = self._reader.submit(self._read, missing)
        return self._held[number].result()

    def _read(self, number: int) -> Frames:
        return self._source.crops(self._track, [self._stored[number]])
