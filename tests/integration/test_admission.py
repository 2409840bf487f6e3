"""What a replica takes on, lets wait and refuses, over real sockets."""

import asyncio
import threading
from contextlib import AsyncExitStack, aclosing

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import REGISTRY
from seamline_editor.replicas import Replicas

from seamline import errors
from seamline.client import Retry, call_stage, open_channel
from seamline.job import Job
from seamline.v1.aligner_pb2 import AlignRequest, AlignResult
from seamline.v1.aligner_pb2_grpc import AlignerServiceStub
from seamline.v1.media_pb2 import Progress
from tests.asynchronous import asynchronous
from tests.calling import AT_ONCE, SERVING, align, stub_of
from tests.fakes.aligner import SERVICE, result, serving, slow_work

ALIGN = {"stage": "align"}


class HeldWork:
    """Work that lasts until `go` is set, which the fixture does in the end, and counts how often it began."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = 0

    def __call__(self, job: Job) -> AlignResult:
        self.begun += 1
        with job.step("observe"):
            while not self.go.wait(0.02):
                job.check()
        return result()


def called(stub: AlignerServiceStub):
    return aclosing(call_stage(stub.Align, AlignRequest(), "aligner:1", retry=AT_ONCE))


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {**ALIGN, **labels}) or 0.0


@asynchronous
async def test_a_full_replica_lets_a_few_calls_wait_in_order_and_refuses_the_rest() -> None:
    work = HeldWork()
    refused = sample("seamline_stages_refused_total", reason="full")
    async with serving(work, queue=2) as served, stub_of(served) as stub, AsyncExitStack() as calls:
        running, second, third = [await calls.enter_async_context(called(stub)) for _ in range(3)]
        assert (await anext(running)).step == "start"
        assert [(await anext(call)).step for call in (second, third)] == ["queue", "queue"]
        assert sample("seamline_stages_queued") == 2
        with pytest.raises(errors.Overloaded, match="already runs 1 stage calls and 2 wait") as caught:
            await align(stub)
        assert caught.value.retry_seconds == 1
        assert (await anext(second)).step == "queue"  # it is told again, a second later
        work.go.set()
        for call in (running, second, third):
            assert [event async for event in call][-1] == result()
    assert work.begun == 3
    assert sample("seamline_stages_queued") == 0
    assert sample("seamline_stages_running") == 0
    assert sample("seamline_stages_refused_total", reason="full") == refused + 1


@asynchronous
async def test_a_call_that_ends_in_the_queue_leaves_its_place() -> None:
    work = HeldWork()
    async with serving(work, queue=1) as served, stub_of(served) as stub, called(stub) as running:
        await anext(running)
        async with called(stub) as waiting:
            assert (await anext(waiting)).step == "queue"
        async with asyncio.timeout(5):
            while sample("seamline_stages_queued"):
                await asyncio.sleep(0.01)
        async with called(stub) as waiting:
            assert (await anext(waiting)).step == "queue"
            work.go.set()
            assert [event async for event in waiting][-1] == result()
    assert work.begun == 2


@asynchronous
async def test_a_replica_that_is_told_to_stop_finishes_its_work_and_sends_the_queue_away() -> None:
    work = HeldWork()
    drained = sample("seamline_stages_refused_total", reason="draining")
    async with AsyncExitStack() as replica, AsyncExitStack() as calls:
        served = await replica.enter_async_context(serving(work, queue=1, drain_seconds=50))
        stub = await calls.enter_async_context(stub_of(served))
        channel = await calls.enter_async_context(grpc.aio.insecure_channel(served.address))
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await watch.read()).status == SERVING
        running, waiting = [await calls.enter_async_context(called(stub)) for _ in range(2)]
        await anext(running)
        await anext(waiting)
        stopped = asyncio.ensure_future(replica.aclose())
        with pytest.raises(errors.Overloaded, match="told to stop"):
            async for _ in waiting:
                pass
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        work.go.set()
        assert [event async for event in running][-1] == result()
        await stopped
    assert work.begun == 1
    assert sample("seamline_stages_refused_total", reason="draining") == drained + 1


@asynchronous
async def test_one_channel_spreads_its_calls_over_every_address_of_the_name() -> None:
    works = [HeldWork(), HeldWork()]
    async with AsyncExitStack() as stack:
        addresses = [(await stack.enter_async_context(serving(work, queue=0))).address for work in works]
        stub = AlignerServiceStub(await stack.enter_async_context(open_channel(f"ipv4:{','.join(addresses)}")))
        # Until it has connected to both, the first address is all it knows: that one refuses, and the call asks again.
        patient = Retry(patience_seconds=30)
        calls = [asyncio.ensure_future(align(stub, retry=patient)) for _ in works]
        async with asyncio.timeout(20):
            while sum(work.begun for work in works) < 2:
                await asyncio.sleep(0.01)
        for work in works:
            work.go.set()
        events = [await call for call in calls]
    assert [work.begun for work in works] == [1, 1]
    assert all(last == result() and isinstance(first, Progress) for first, *_, last in events)


@asynchronous
async def test_a_call_is_not_queued_while_another_replica_is_idle() -> None:
    held, busy_before = HeldWork(), sample("seamline_stages_refused_total", reason="busy")
    async with serving(held, queue=1) as busy, serving(slow_work(1, 0), queue=1) as idle, AsyncExitStack() as stack:
        occupied = await stack.enter_async_context(called(await stack.enter_async_context(stub_of(busy))))
        await anext(occupied)

        def opened(address: str) -> grpc.aio.Channel:
            channel = open_channel(address)
            stack.push_async_callback(channel.close)
            return channel

        replicas = Replicas("align", f"{busy.address},{idle.address}", opened, lambda c: AlignerServiceStub(c).Align)
        for _ in range(4):  # whoever's turn it is
            steps = {event.step async for event in replicas.call(AlignRequest()) if isinstance(event, Progress)}
            assert steps == {"start", "detect"}
        alone = Replicas("align", busy.address, opened, lambda c: AlignerServiceStub(c).Align)
        async with aclosing(alone.call(AlignRequest())) as waiting:
            assert (await anext(waiting)).step == "queue"
            held.go.set()
            assert [event async for event in waiting][-1] == result()
    assert sample("seamline_stages_refused_total", reason="busy") >= busy_before + 3
