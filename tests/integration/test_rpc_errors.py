"""What a caller gets when a call goes wrong, over real sockets."""

import asyncio
import re
import threading

import grpc
import pytest

from seamline import errors
from seamline.client import Retry, call_stage, open_channel
from seamline.job import Job
from seamline.rpc.errors import TABLE, mapping_of
from seamline.v1.aligner_pb2 import AlignRequest, AlignResult
from seamline.v1.aligner_pb2_grpc import AlignerServiceStub
from seamline.v1.editor_pb2_grpc import EditorServiceStub
from seamline.v1.media_pb2 import Progress
from tests.asynchronous import asynchronous
from tests.calling import SERVING, align, health_of, stub_of
from tests.fakes.aligner import SERVICE, Work, result, serving, slow_work


def failing(error: BaseException) -> Work:
    def work(job: Job) -> AlignResult:
        raise error

    return work


@pytest.mark.parametrize("crash", [ZeroDivisionError("1/0 in frame 7"), SystemExit(3), StopIteration()])
@asynchronous
async def test_a_crash_fails_its_call_and_the_service_lives(
    crash: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    crashes = [crash]

    def work(job: Job) -> AlignResult:
        if crashes:
            raise crashes.pop()
        return result()

    async with serving(work) as served, stub_of(served) as stub:
        with pytest.raises(errors.SeamlineError, match="Align crashed") as caught:
            await align(stub)
        assert await health_of(served.address, SERVICE) == SERVING
        assert (await align(stub))[-1] == result()
    assert type(caught.value) is errors.SeamlineError
    assert mapping_of(caught.value).code is grpc.StatusCode.INTERNAL
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("kind", TABLE)
@asynchronous
async def test_every_error_arrives_as_it_was_raised(kind: type[errors.SeamlineError]) -> None:
    sent = kind("edits[0]: no “smile” in it\nremedy", field="edits[0].name", bucket="b", frame=7)
    async with serving(failing(sent)) as served, stub_of(served) as stub:
        with pytest.raises(kind) as caught:
            await align(stub)
    got = caught.value
    assert type(got) is kind
    assert (str(got), got.field) == (str(sent), "edits[0].name")
    assert got.metadata == {"bucket": "b", "frame": "7", "endpoint": "aligner:1"}


@asynchronous
async def test_an_error_too_long_for_headers_is_shortened_not_lost() -> None:
    sent = errors.NotFound("ü" * 20_000, field="f" * 500, **{f"key{i}": "ü" * 5_000 for i in range(20)})
    async with serving(failing(sent)) as served, stub_of(served) as stub:
        with pytest.raises(errors.NotFound, match=r"ü{400}…$"):
            await align(stub)


@asynchronous
async def test_a_full_replica_refuses_and_a_patient_caller_gets_its_turn() -> None:
    go_on = threading.Event()

    def work(job: Job) -> AlignResult:
        with job.step("detect"):
            assert go_on.wait(20)
        return result()

    async with serving(work, queue=0) as served, stub_of(served) as stub:
        first = call_stage(stub.Align, AlignRequest(), "aligner:1")
        assert isinstance(await anext(first), Progress)
        with pytest.raises(errors.Overloaded, match="1 stage calls") as caught:
            await align(stub)
        assert caught.value.metadata["limit"] == "1"
        second = asyncio.ensure_future(align(stub, retry=Retry(patience_seconds=20)))
        await asyncio.sleep(0.1)
        go_on.set()
        assert [event async for event in first][-1] == result()
        assert (await second)[-1] == result()


@asynchronous
async def test_a_stream_that_breaks_is_repeated_and_not_for_ever() -> None:
    calls: list[int] = []

    def work(job: Job) -> AlignResult:
        calls.append(1)
        with job.step("detect"):
            if len(calls) != 3:
                raise errors.StoreUnavailable("no answer from http://store")
        return result()

    retry = Retry(repeats=2, backoff_seconds=0.01)
    async with serving(work) as served, stub_of(served) as stub:
        assert (await align(stub, retry=retry))[-1] == result()
        assert len(calls) == 3
        with pytest.raises(errors.StoreUnavailable, match="http://store"):
            await align(stub, retry=retry)
        assert len(calls) == 6


@asynchronous
async def test_errors_that_repeating_cannot_mend_are_not_repeated() -> None:
    calls: list[int] = []

    def work(job: Job) -> AlignResult:
        calls.append(1)
        raise errors.NoFace("no frame shows a face")

    async with serving(work) as served, stub_of(served) as stub:
        with pytest.raises(errors.NoFace):
            await align(stub, retry=Retry(repeats=5, backoff_seconds=0.01))
    assert len(calls) == 1


@asynchronous
async def test_a_service_that_is_not_there_is_named() -> None:
    async with serving(slow_work(1, 0)) as served:
        pass
    async with open_channel(served.address) as channel:
        with pytest.raises(errors.ServiceUnavailable, match=re.escape(served.address)) as caught:
            await anext(
                call_stage(
                    AlignerServiceStub(channel).Align,
                    AlignRequest(),
                    served.address,
                    retry=Retry(connect_seconds=0.3),
                )
            )
    assert caught.value.metadata["endpoint"] == served.address


@asynchronous
async def test_a_service_that_starts_late_is_waited_for() -> None:
    async with serving(slow_work(1, 0)) as served:
        port = int(served.address.rpartition(":")[2])
    async with stub_of(served) as stub:
        waiting = asyncio.ensure_future(align(stub))
        await asyncio.sleep(0.3)
        async with serving(slow_work(1, 0), port=port):
            assert (await waiting)[-1] == result()


@asynchronous
async def test_a_method_that_the_service_lacks_is_an_error_that_names_the_endpoint() -> None:
    async with serving(slow_work(1, 0)) as served, open_channel(served.address) as channel:
        with pytest.raises(errors.SeamlineError, match=r"editor:1 failed \(UNIMPLEMENTED"):
            await anext(call_stage(EditorServiceStub(channel).EditVideo, AlignRequest(), "editor:1"))


@asynchronous
async def test_a_message_over_the_limit_is_refused_without_repeating() -> None:
    request = AlignRequest(bundle="x" * 3000)
    async with serving(slow_work(1, 0), max_message_bytes=2048) as served, stub_of(served) as stub:
        with pytest.raises(errors.SeamlineError, match="RESOURCE_EXHAUSTED") as caught:
            await anext(call_stage(stub.Align, request, "aligner:1"))
    assert type(caught.value) is errors.SeamlineError
