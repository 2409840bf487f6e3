"""What a client has used, by a clock of the test's own."""

import pytest
from seamline_editor.quota import DAY, HOUR, Quota, Usage, work_of

from seamline.errors import QuotaExceeded
from seamline.v1.editor_pb2 import EditVideoRequest, PreviewVideoRequest
from seamline.v1.media_pb2 import ArtifactRef, Edit, Variant


class Clock:
    """Stands still until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def usage(clock: Clock) -> Usage:
    return Usage("shop", clock)


def refused(usage: Usage, quota: Quota) -> QuotaExceeded:
    with pytest.raises(QuotaExceeded) as caught:
        usage.enter(quota)
    return caught.value


def test_without_quota_there_is_no_end(usage: Usage) -> None:
    for number in range(1000):
        usage.enter(Quota())
        usage.charge(Quota(), str(number).encode(), 1e6)


def test_a_call_that_ends_makes_room_for_the_next(usage: Usage) -> None:
    quota = Quota(concurrent_calls=2)
    usage.enter(quota)
    usage.enter(quota)
    error = refused(usage, quota)
    assert str(error) == "client shop may have 2 calls at a time: again in 5 s, or ask for a larger quota"
    assert (error.retry_seconds, error.metadata) == (5.0, {"quota": "concurrent_calls"})
    usage.leave()
    usage.enter(quota)
    refused(usage, quota)


def test_calls_count_for_an_hour_and_refused_ones_not_at_all(usage: Usage, clock: Clock) -> None:
    quota = Quota(calls_per_hour=2)
    usage.enter(quota)
    clock.now += 600
    usage.enter(quota)
    for _ in range(5):
        assert refused(usage, quota).retry_seconds == HOUR - 600
    clock.now += HOUR - 600
    usage.enter(quota)
    assert refused(usage, quota).retry_seconds == 600
    # A quota that was lowered meanwhile: both calls have to be gone.
    assert refused(usage, Quota(calls_per_hour=1)).retry_seconds == HOUR


def test_minutes_of_video_count_for_a_day(usage: Usage, clock: Clock) -> None:
    quota = Quota(video_minutes_per_day=10)
    usage.charge(quota, b"first", 240)
    clock.now += 100
    usage.charge(quota, b"second", 300)
    clock.now += 100
    with pytest.raises(QuotaExceeded, match="may have 10 minutes of video a day: again in") as caught:
        usage.charge(quota, b"third", 120)
    assert caught.value.retry_seconds == DAY - 200
    with pytest.raises(QuotaExceeded) as caught:
        usage.charge(quota, b"third", 500)
    assert caught.value.retry_seconds == DAY - 100  # both have to be gone
    usage.charge(quota, b"short", 60)
    clock.now += DAY - 200
    usage.charge(quota, b"third", 120)


def test_a_repeated_call_counts_once(usage: Usage) -> None:
    quota = Quota(video_minutes_per_day=1)
    for _ in range(5):
        usage.charge(quota, b"work", 50)
    with pytest.raises(QuotaExceeded):
        usage.charge(quota, b"other", 50)


def test_a_video_longer_than_the_quota_is_never_possible(usage: Usage) -> None:
    with pytest.raises(QuotaExceeded, match=r"this one alone has 1\.5: ask for a shorter one") as caught:
        usage.charge(Quota(video_minutes_per_day=1), b"long", 90)
    assert caught.value.retry_seconds is None


def test_work_is_known_wherever_the_video_comes_from_and_goes_to() -> None:
    smile = EditVideoRequest(video=ArtifactRef(uri="https://a/?X-Amz-Date=1"), edits=[Edit(name="smile", strength=1)])
    again = EditVideoRequest(edits=smile.edits, deliver_to="https://b/?X-Amz-Date=2")
    again.video.uri = "https://a/?X-Amz-Date=3"
    assert work_of(smile, "1" * 64) == work_of(again, "1" * 64)
    assert again.video.uri  # is left as it was
    age = EditVideoRequest(edits=[Edit(name="age", strength=1)])
    preview = PreviewVideoRequest(variants=[Variant(edits=smile.edits)])
    works = [work_of(smile, "1" * 64), work_of(smile, "2" * 64), work_of(age, "1" * 64), work_of(preview, "1" * 64)]
    assert len(set(works)) == 4
