import asyncio
from functools import partial

import pytest
from seamline_editor.fan_out import SummedProgress, fan_out

from seamline.v1.media_pb2 import Progress
from tests.asynchronous import asynchronous


class Crowd:
    """Streams that count how many of them run, and how many were closed before their end."""

    def __init__(self, events=2):
        self.running = 0
        self.most = 0
        self.cut_short = 0
        self.started = []
        self._events = events

    async def stream(self, index, error=None):
        self.started.append(index)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for number in range(self._events):
                await asyncio.sleep(0)
                yield number
                if error:
                    raise error
        except BaseException:
            self.cut_short += 1
            raise
        finally:
            self.running -= 1


@asynchronous
async def test_every_event_of_every_stream_comes_once():
    crowd = Crowd(events=3)
    found = [event async for event in fan_out([partial(crowd.stream, i) for i in range(5)], limit=2)]
    assert sorted(found) == [(index, number) for index in range(5) for number in range(3)]
    assert crowd.most == 2


@asynchronous
async def test_no_streams_no_events():
    assert [event async for event in fan_out([], limit=3)] == []


@asynchronous
async def test_the_first_failure_ends_all_and_starts_no_more():
    crowd = Crowd(events=100)
    streams = [
        partial(crowd.stream, 0),
        partial(crowd.stream, 1, ValueError("broken")),
        partial(crowd.stream, 2),
    ]
    with pytest.raises(ValueError, match="broken"):
        async for _ in fan_out(streams, limit=2):
            pass
    assert crowd.running == 0
    assert crowd.started == [0, 1]


@asynchronous
async def test_closing_ends_all():
    crowd = Crowd(events=100)
    events = fan_out([partial(crowd.stream, index) for index in range(6)], limit=3)
    await anext(events)
    await events.aclose()
    assert crowd.running == 0
    assert crowd.cut_short == crowd.most == 3


def _progress(done, total, step="stitch"):
    return Progress(stage="stitch", step=step, done=done, total=total)


def test_progress_of_ranges_is_summed_per_step():
    summed = SummedProgress([4, 4, 2])
    summed.add(0, _progress(1, 40))
    both = summed.add(1, _progress(10, 40))
    assert (both.done, both.total) == (11, 100)  # the silent range of 2 frames is taken for 20
    assert summed.add(0, _progress(0, 4, "paste")).done == 0
    assert summed.add(0, _progress(40, 40)).done == 50


def test_a_total_that_nobody_knows_stays_unknown():
    assert SummedProgress([4, 4]).add(0, _progress(3, 0)).total == 0
