"""How much each client has used of what it may have, as far as this editor has seen."""

import hashlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from seamline.errors import QuotaExceeded

HOUR = 3600.0
DAY = 86_400.0
AGAIN_SECONDS = 5.0
"""When to ask again where one of the client's own calls has to end first."""


class Quota(BaseModel):
    """What one client may have; None is as much as there is."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    concurrent_calls: int | None = Field(default=None, ge=1)
    calls_per_hour: int | None = Field(default=None, ge=1)
    video_minutes_per_day: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Usage:
    """What one client has used: calls of the last hour, seconds of video of the last day.

    Refused calls use nothing, and the video of a call that is repeated counts once.
    """

    def __init__(self, client: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts with nothing.

        Args:
            client: named in errors.
            clock: seconds, from any beginning.
        """
        self._client, self._clock = client, clock
        self._running = 0
        self._calls: deque[float] = deque()
        self._videos: dict[bytes, tuple[float, float]] = {}

    def enter(self, quota: Quota) -> None:
        """Counts a call that begins.

        Raises:
            QuotaExceeded: it is one too many.
        """
        now = self._clock()
        while self._calls and self._calls[0] <= now - HOUR:
            self._calls.popleft()
        if quota.concurrent_calls is not None and self._running >= quota.concurrent_calls:
            raise self._exceeded(f"{quota.concurrent_calls} calls at a time", "concurrent_calls", AGAIN_SECONDS)
        if quota.calls_per_hour is not None and len(self._calls) >= quota.calls_per_hour:
            oldest = self._calls[len(self._calls) - quota.calls_per_hour]
            raise self._exceeded(f"{quota.calls_per_hour} calls an hour", "calls_per_hour", oldest + HOUR - now)
        if quota.calls_per_hour is not None:
            self._calls.append(now)
        self._running += 1

    def leave(self) -> None:
        """The call is over."""
        self._running -= 1

    def charge(self, quota: Quota, work: bytes, seconds: float) -> None:
        """Counts the video that a call turned out to be about.

        Args:
            quota: the client's.
            work: what a repetition of the call is known by, as `work_of` gives it.
            seconds: of video.

        Raises:
            QuotaExceeded: together with what came before it is too much.
        """
        if quota.video_minutes_per_day is None:
            return
        now = self._clock()
        self._videos = {each: used for each, used in self._videos.items() if used[0] > now - DAY}
        if work in self._videos:
            return
        limit = quota.video_minutes_per_day * 60
        if seconds > limit:
            what = f"{quota.video_minutes_per_day:g} minutes of video a day, and this one alone has {seconds / 60:.1f}"
            raise self._exceeded(what, "video_minutes_per_day", None)
        excess = sum(used for _, used in self._videos.values()) + seconds - limit
        if excess > 0:
            what = f"{quota.video_minutes_per_day:g} minutes of video a day"
            raise self._exceeded(what, "video_minutes_per_day", self._until_free(excess) + DAY - now)
        self._videos[work] = (now, seconds)

    def _until_free(self, excess: float) -> float:
        """When that was used after which, once it counts no more, `excess` seconds are free."""
        for when, used in self._videos.values():  # the oldest first
            excess -= used
            if excess <= 0:
                return when
        raise AssertionError("more than everything is in excess")

    def _exceeded(self, what: str, quota: str, retry_seconds: float | None) -> QuotaExceeded:
        again = "ask for a shorter one" if retry_seconds is None else f"again in {max(retry_seconds, 1):.0f} s"
        error = QuotaExceeded(f"client {self._client} may have {what}: {again}, or ask for a larger quota", quota=quota)
        error.retry_seconds = None if retry_seconds is None else max(retry_seconds, 1.0)
        return error


def work_of(request: Any, video: str) -> bytes:
    """What a repetition of a call is known by: what it asks for, wherever the video comes from and goes to.

    Args:
        request: its message.
        video: the source's digest, which the request may lack.
    """
    work = type(request)()
    work.CopyFrom(request)
    work.ClearField("deliver_to")
    work.video.Clear()
    asked = f"{type(request).__name__} {video} ".encode() + work.SerializeToString(deterministic=True)
    return hashlib.sha256(asked).digest()
