"""The server, the stages and the errors over real sockets."""

import asyncio
import contextlib
import logging
import re
import threading
import time
import urllib.request
from contextlib import aclosing

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from seamline import errors
from seamline.client import call_stage
from seamline.job import Job
from seamline.rpc.logs import REQUEST_ID
from seamline.v1.aligner_pb2 import AlignRequest, AlignResult
from seamline.v1.media_pb2 import Progress
from tests.asynchronous import asynchronous
from tests.calling import SERVING, align, health_of, stub_of
from tests.fakes.aligner import SERVICE, Served, result, serving, slow_work


async def scrape(served: Served) -> dict[str, float]:
    def get() -> str:
        with urllib.request.urlopen(served.metrics_url) as response:
            return response.read().decode()

    lines = (await asyncio.to_thread(get)).splitlines()
    return {name: float(value) for name, value in re.findall(r"^([^#].*) (\S+)$", "\n".join(lines), re.M)}


@asynchronous
async def test_health_and_reflection_know_the_service() -> None:
    async with serving(slow_work(1, 0)) as served:
        assert await health_of(served.address) == SERVING
        assert await health_of(served.address, SERVICE) == SERVING
        async with grpc.aio.insecure_channel(served.address) as channel:
            ask = reflection_pb2.ServerReflectionRequest(list_services="")
            call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([ask]))
            answer = await call.read()
        listed = {service.name for service in answer.list_services_response.service}
        assert {SERVICE, "grpc.health.v1.Health"} <= listed


@asynchronous
async def test_a_stage_streams_its_progress_and_then_one_result() -> None:
    async with serving(slow_work(3, 0.25)) as served, stub_of(served) as stub:
        *progress, last = await align(stub)
    assert last == result()
    assert [p.done for p in progress if p.step == "detect"] == [0, 1, 2, 3]
    assert {(p.stage, p.total) for p in progress if p.step == "detect"} == {("align", 3)}


@asynchronous
async def test_metrics_count_calls_by_status_and_time_the_steps() -> None:
    call = f'grpc_method="Align",grpc_service="{SERVICE}",grpc_type="server_stream"'
    started, handled = f"grpc_server_started_total{{{call}}}", "grpc_server_handled_total{grpc_code="
    ok, absent = f'{handled}"OK",{call}}}', f'{handled}"NOT_FOUND",{call}}}'
    steps = 'seamline_stage_duration_seconds_count{stage="align",step="detect"}'
    fail = threading.Event()

    def work(job: Job) -> AlignResult:
        if fail.is_set():
            raise errors.NotFound("no such object")
        return slow_work(1, 0)(job)

    async with serving(work) as served, stub_of(served) as stub:
        before = await scrape(served)
        for _ in range(20):  # none of them may count as cancelled by the caller, who has what it wants
            await align(stub)
        fail.set()
        with pytest.raises(errors.NotFound):
            await align(stub)
        after = await scrape(served)
    assert after[started] - before[started] == 21
    assert after[ok] - before[ok] == 20
    assert after[absent] - before[absent] == 1
    assert after[steps] - before.get(steps, 0) == 20
    assert after[f"grpc_server_handling_seconds_count{{{call}}}"] >= 2
    assert after['seamline_stages_running{stage="align"}'] == 0


class EndlessWork:
    """Steps of 50 ms for a minute, counted in `steps`; `stopped` is set when the thread leaves."""

    def __init__(self) -> None:
        self.steps = 0
        self.stopped = threading.Event()

    def __call__(self, job: Job) -> AlignResult:
        try:
            with job.step("tune") as step:
                for _ in range(1200):
                    time.sleep(0.05)
                    self.steps += 1
                    step.advance()
        finally:
            self.stopped.set()
        return result()


@pytest.mark.parametrize("way", ["cancel", "deadline"])
@asynchronous
async def test_a_call_that_ends_early_stops_its_thread_within_a_step(way: str) -> None:
    work = EndlessWork()
    async with serving(work) as served, stub_of(served) as stub:
        if way == "deadline":
            with pytest.raises(errors.Cancelled, match="aligner:1"):
                await align(stub, timeout=0.5)
        else:
            async with aclosing(call_stage(stub.Align, AlignRequest(), "aligner:1")) as events:
                async for event in events:
                    if event.done >= 2:
                        break
        seen = work.steps
        assert await asyncio.to_thread(work.stopped.wait, 5)
        # The step that had begun, and what a loaded machine does between the two looks.
        assert 0 < work.steps - seen + 1 <= 4
        work.stopped.clear()
        async with aclosing(call_stage(stub.Align, AlignRequest(), "aligner:1")) as events:
            assert (await anext(events)).stage == "align"  # the thread is free again
        assert await asyncio.to_thread(work.stopped.wait, 5)


@asynchronous
async def test_a_silent_step_is_heard_every_second() -> None:
    def work(job: Job) -> AlignResult:
        with job.step("download", total=2) as step:
            step.advance(done=1, megabytes=3)
            time.sleep(2.2)
        return result()

    async with serving(work) as served, stub_of(served) as stub:
        heard, silences = [], []
        last = time.monotonic()
        async for event in call_stage(stub.Align, AlignRequest(), "aligner:1"):
            silences.append(time.monotonic() - last)
            last = time.monotonic()
            heard.append(event)
    repeats = [event for event in heard if isinstance(event, Progress) and event.step == "download"]
    assert len(repeats) >= 3
    assert max(silences) < 1.5


@asynchronous
async def test_a_stream_outlives_the_renewal_of_its_connection() -> None:
    age = {"max_connection_age_seconds": 0.3}
    async with serving(slow_work(10, 0.15), **age) as served, stub_of(served) as stub:
        assert (await align(stub))[-1] == result()
        assert (await align(stub))[-1] == result()


@asynchronous
async def test_the_request_id_of_the_caller_reaches_the_thread_and_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str] = []

    def work(job: Job) -> AlignResult:
        seen.append(REQUEST_ID.get())
        return result()

    caplog.set_level(logging.INFO, "seamline")
    async with serving(work) as served, stub_of(served) as stub:
        token = REQUEST_ID.set("order-17")
        await align(stub)
        REQUEST_ID.reset(token)
        await align(stub)
    assert seen[0] == "order-17"
    assert re.fullmatch(r"[0-9a-f]{32}", seen[1])
    lines = [record for record in caplog.records if record.getMessage() == "call"]
    assert [(line.method, line.code) for line in lines] == [(f"/{SERVICE}/Align", "OK")] * 2
    assert all(0 <= line.seconds < 30 for line in lines)


@pytest.mark.parametrize("taken", ["port", "metrics_port"])
@asynchronous
async def test_a_taken_port_is_said_at_the_start(taken: str) -> None:
    async with serving(slow_work(1, 0)) as served:
        port = int(re.findall(r":(\d+)", served.address if taken == "port" else served.metrics_url)[0])
        with pytest.raises(errors.InvalidInput, match=f"{port}.*SEAMLINE_{taken.upper()}"):
            async with serving(slow_work(1, 0), **{taken: port}):
                pytest.fail("two services on one port")


@asynchronous
async def test_a_health_watch_does_not_hold_up_the_drain() -> None:
    async with contextlib.AsyncExitStack() as stack:
        served = await stack.enter_async_context(serving(slow_work(1, 0), drain_seconds=50))
        async with grpc.aio.insecure_channel(served.address) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
            assert (await watch.read()).status == SERVING
            start = time.monotonic()
            await stack.aclose()
            assert time.monotonic() - start < 10
