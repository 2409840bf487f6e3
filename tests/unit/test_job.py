"""seamline.job: what a stage reports, measures and notices while it works."""

import threading
import time

import pytest
from prometheus_client import REGISTRY

from seamline.errors import Cancelled
from seamline.job import Job
from seamline.v1.media_pb2 import Progress


def test_first_and_last_progress_always_arrive_and_the_rest_is_rate_limited() -> None:
    sent: list[Progress] = []
    job = Job("align", on_progress=sent.append)
    with job.step("detect", total=1000) as step:
        for _ in range(1000):
            step.advance(confidence=0.5)
        step.advance(0, confidence=0.75)
    assert (sent[0].stage, sent[0].step, sent[0].done, sent[0].total) == ("align", "detect", 0, 1000)
    assert (sent[-1].done, dict(sent[-1].figures)) == (1000, {"confidence": 0.75})
    assert len(sent) < 10


def test_progress_flows_while_a_step_lasts() -> None:
    sent: list[Progress] = []
    with Job("align", on_progress=sent.append).step("decode", total=3) as step:
        for _ in range(3):
            time.sleep(0.21)
            step.advance()
    assert [progress.done for progress in sent] == [0, 1, 2, 3]


def test_seconds_sum_over_repetitions_and_reach_the_histogram() -> None:
    job = Job("align")
    labels = {"stage": "align", "step": "test_sum"}
    for _ in range(2):
        with job.step("test_sum"):
            time.sleep(0.02)
    assert 0.04 <= job.seconds["test_sum"] < 1
    assert REGISTRY.get_sample_value("seamline_stage_duration_seconds_count", labels) == 2
    total = REGISTRY.get_sample_value("seamline_stage_duration_seconds_sum", labels)
    assert total == pytest.approx(job.seconds["test_sum"])


def test_a_failing_step_is_timed_and_does_not_claim_to_be_finished() -> None:
    sent: list[Progress] = []
    job = Job("invert", on_progress=sent.append)
    with pytest.raises(ValueError, match="boom"), job.step("tune", total=2) as step:  # noqa: PT012
        step.advance()
        raise ValueError("boom")
    assert "tune" in job.seconds
    assert [progress.done for progress in sent] == [0]


def test_cancellation_is_noticed_on_the_next_advance_and_before_the_next_step() -> None:
    cancelled = threading.Event()
    job = Job("stitch", cancelled=cancelled)
    done = 0
    with pytest.raises(Cancelled, match="stitch"), job.step("optimise", total=10) as step:  # noqa: PT012
        for index in range(10):
            if index == 3:
                cancelled.set()
            step.advance()
            done += 1
    assert done == 3
    with pytest.raises(Cancelled), job.step("paste"):
        pytest.fail("the step must not start")
