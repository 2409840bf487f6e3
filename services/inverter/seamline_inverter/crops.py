"""A track's crops, a few frame ranges at a time: all of a long video's do not fit into memory."""

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from seamline.alignment import Alignment
from seamline.storage.framepack import Frames
from seamline.tuning import batch_order

MOST_BYTES = 256 << 20
"""Decoded bytes of the crops in hand, unless a single range has more."""

_Group = tuple[int, ...]
"""Ranges whose crops are in memory together, ascending."""


class TrackCrops:
    """Goes over the crops of one track in visits to groups of the ranges that they are stored in.

    A group is as many ranges as `MOST_BYTES` allows, drawn from all over the track: a generator tuned to one
    range after another forgets each over the next (three ranges of one took 1.9 dB from six passes). At most two
    groups are in memory: the one in hand, and the next, which is read in the background meanwhile.

        with TrackCrops(source, track) as crops:
            visits = passes * crops.groups
            for visit in range(visits):
                learn(*crops.take(visit, visits, seed))

    Attributes:
        frames: (n,) numbers, in the video, of the frames that have a crop.
        groups: visits that make a pass over all of them.
    """

    def __init__(self, source: Alignment, track: int) -> None:
        """Reads the track's geometry, and no crop yet."""
        geometry = source.geometry(track)
        shown = [(stored, geometry.within(stored)) for stored in source.ranges]
        shown = [(stored, place) for stored, place in shown if place.start < place.stop]
        self.frames = geometry.frames
        self._stored = [stored for stored, _ in shown]
        self._places = [torch.arange(place.start, place.stop) for _, place in shown]
        longest = max(len(places) for places in self._places)
        self._together = max(1, MOST_BYTES // (longest * source.crop_size**2 * 3))
        self.groups = -(-len(shown) // self._together)
        self._source, self._track = source, track
        self._held: dict[_Group, Future[Frames]] = {}
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="crops")

    def __enter__(self) -> "TrackCrops":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.shutdown(cancel_futures=True)

    def take(self, visit: int, visits: int, seed: int | None) -> tuple[Tensor, Frames]:
        """Waits for the crops of one visit, and has those of the next read meanwhile.

        What was taken before must no longer be referred to, or it stays in memory as a third group.

        Args:
            visit: from 0, counted through all passes; each pass visits every range once.
            visits: how many there are going to be at most.
            seed: draws groups and their order anew for every pass; None keeps the order of the video.

        Returns:
            Where the k crops stand among the n, (k,) int64, ascending, and the crops (k, R, R, 3).

        Raises:
            NotFound, DigestMismatch, StoreUnavailable: as `Alignment.crops`.
        """
        group = self._group(visit, seed)
        crops = self._hold(group, self._group(min(visit + 1, visits - 1), seed)).result()
        return torch.cat([self._places[number] for number in group]), crops

    def spread(self, count: int) -> tuple[Tensor, Frames]:
        """Reads crops spread evenly over the track, from one range after another.

        Args:
            count: how many; all, if there are not so many.

        Returns:
            Where the k crops stand among the n, (k,) int64, ascending, and the crops (k, R, R, 3).

        Raises:
            NotFound, DigestMismatch, StoreUnavailable: as `Alignment.crops`.
        """
        wanted = torch.linspace(0, len(self.frames) - 1, min(count, len(self.frames))).round().long()
        found: list[Frames] = []
        for number, places in enumerate(self._places):
            here = wanted[torch.isin(wanted, places)] - places[0]
            if len(here):
                found.append(self._read((number,))[here.numpy()])
        return wanted, np.concatenate(found)

    def _group(self, visit: int, seed: int | None) -> _Group:
        turn, place = divmod(visit, self.groups)
        drawn = batch_order(len(self._stored), self._together, seed=seed, turn=turn)
        return tuple(sorted(drawn[place].tolist()))

    def _hold(self, *wanted: _Group) -> Future[Frames]:
        """Has groups read, in this order, in the place of others; returns the first."""
        if not self._held.keys() >= set(wanted):  # else keep what may be wanted again
            self._held = {held: crops for held, crops in self._held.items() if held in wanted}
        for group in wanted:
            if group not in self._held:
                self._held[group] = self._reader.submit(self._read, group)
        return self._held[wanted[0]]

    def _read(self, group: _Group) -> Frames:
        return self._source.crops(self._track, [self._stored[number] for number in group])
