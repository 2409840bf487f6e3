"""Traces over real sockets: services as processes, and a collector that keeps what they send."""

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from seamline_editor.replicas import Persistence, Replicas

from seamline import errors
from seamline.client import open_channel
from seamline.job import Job
from seamline.rpc import tracing
from seamline.rpc.logs import REQUEST_ID
from seamline.v1.aligner_pb2 import AlignRequest, AlignResult
from seamline.v1.aligner_pb2_grpc import AlignerServiceStub
from tests.asynchronous import asynchronous
from tests.calling import SERVING, align, health_of, stub_of
from tests.fakes.aligner import SERVICE, result, serving, slow_work
from tests.fakes.collector import KeepingCollector, collecting
from tests.integration.test_rpc_drain import process

SERVER, CLIENT = 2, 3
"""Kinds of spans."""
METHOD = f"{SERVICE}/Align"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch):
    with collecting() as running:
        monkeypatch.setenv(tracing.ENDPOINT, running.endpoint)
        tracing.configure("tests")
        yield running
        tracing.close()


@asynccontextmanager
async def aligners(address: str) -> AsyncIterator[Replicas]:
    async with open_channel(address) as channel:
        yield Replicas(
            "align",
            address,
            lambda _: channel,
            lambda channel: AlignerServiceStub(channel).Align,
            Persistence(backoff_seconds=0.01),
        )


@asynchronous
async def test_a_call_its_attempts_and_its_steps_are_one_trace(collector: KeepingCollector) -> None:
    failures = [errors.StoreUnavailable("away")]

    def work(job: Job) -> AlignResult:
        if failures:
            raise failures.pop()
        return slow_work(2, 0)(job)

    async with serving(work) as served, aligners(served.address) as replicas:
        token = REQUEST_ID.set("order-17")
        # As a service that serves a call does, before it calls the next.
        outer = tracing.served("/seamline.v1.EditorService/EditVideo", {}, "order-17")
        assert [event async for event in replicas.call(AlignRequest())][-1] == result()
        outer.end("OK")
        REQUEST_ID.reset(token)
        assert await health_of(served.address, SERVICE) == SERVING
    await asyncio.to_thread(tracing.close)
    (edit,) = collector.named("seamline.v1.EditorService/EditVideo")
    attempts, calls = collector.named("seamline.v1.Align"), collector.named(METHOD)
    (step,) = collector.named("align detect")
    assert {span.trace for span in collector.spans} == {edit.trace}
    assert [(span.kind, span.failed, span.parent == edit.id) for span in attempts] == [
        (CLIENT, True, True),
        (CLIENT, False, True),
    ]
    assert [(span.kind, span.failed) for span in calls] == [(SERVER, True), (SERVER, False)]
    assert [span.parent for span in calls] == [span.id for span in attempts]
    assert step.parent == calls[1].id
    assert step.attributes == {"seamline.stage": "align", "seamline.step": "detect"}
    assert calls[1].attributes["seamline.request_id"] == "order-17"
    assert {span.service for span in collector.spans} == {"seamline-tests"}


@asynchronous
async def test_a_call_that_its_caller_ends_is_a_span_too(collector: KeepingCollector) -> None:
    go = threading.Event()

    def work(job: Job) -> AlignResult:
        with job.step("detect"):
            while not go.wait(0.01):
                job.check()
        return result()

    async with serving(work) as served, stub_of(served) as stub:
        with pytest.raises(errors.Cancelled):
            await align(stub, timeout=0.5)
    await asyncio.to_thread(tracing.close)
    (call,) = collector.named(METHOD)
    (attempt,) = collector.named("seamline.v1.Align")
    assert call.failed
    assert attempt.attributes["rpc.response.status_code"] == grpc.StatusCode.DEADLINE_EXCEEDED.name


@asynchronous
async def test_a_service_sends_its_last_spans_before_it_ends(tmp_path: Path) -> None:
    with collecting() as collector:
        traced = {tracing.ENDPOINT: collector.endpoint}
        async with process(tmp_path, 2, 0.01, **traced) as service, stub_of(service.served) as stub:
            await align(stub)
            service.process.send_signal(signal.SIGTERM)
            assert (await service.ended())[0] == 0
    assert {(span.service, span.name) for span in collector.spans} == {
        ("seamline-aligner", METHOD),
        ("seamline-aligner", "align detect"),
    }


def test_a_collector_that_is_away_does_not_put_off_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as gone:
        pass
    monkeypatch.setenv(tracing.ENDPOINT, gone.endpoint)
    monkeypatch.setattr("seamline.rpc.otel.LAST_BATCH_SECONDS", 0.2)
    tracing.configure("tests")
    tracing.made("Align", "aligner:1").end("OK")
    start = time.monotonic()
    tracing.close()
    assert time.monotonic() - start < 5  # by itself the exporter tries for ten seconds
