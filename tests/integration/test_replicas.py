"""A call that is refused is repeated, elsewhere or when its replica says; over real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from prometheus_client import REGISTRY
from seamline_editor.replicas import Persistence, Replicas

from seamline.client import open_channel
from seamline.errors import Forbidden, Overloaded, ServiceUnavailable, StoreUnavailable, Unauthenticated
from seamline.storage import open_store
from seamline.v1.inverter_pb2 import InvertRequest
from seamline.v1.inverter_pb2_grpc import InverterServiceStub
from seamline.v1.media_pb2 import ArtifactRef
from tests.asynchronous import asynchronous
from tests.fakes.dns import names
from tests.fakes.stages import Stages, served


@pytest.fixture
def replica(tmp_path):
    return Stages(open_store(tmp_path.as_uri()), ArtifactRef())


@asynccontextmanager
async def inverters(replica: Stages, name: str, **persistence: float) -> AsyncIterator[Replicas]:
    """The editor's view of one replica, under `name` with its port."""
    async with AsyncExitStack() as stack:
        port = (await stack.enter_async_context(served(replica))).rpartition(":")[2]

        def opened(address: str):
            channel = open_channel(address)
            stack.push_async_callback(channel.close)
            return channel

        found = Replicas(
            "invert",
            name.format(port=port),
            opened,
            lambda channel: InverterServiceStub(channel).Invert,
            Persistence(**persistence),
        )
        yield found


async def inverted(replicas: Replicas) -> float:
    """Seconds that a call takes."""
    start = time.monotonic()
    assert [event async for event in replicas.call(InvertRequest())][-1].psnr_db == 30.0
    return time.monotonic() - start


def full(seconds: float) -> Overloaded:
    error = Overloaded("full")
    error.retry_seconds = seconds
    return error


def retries(reason: str) -> float:
    labels = {"stage": "invert", "reason": reason}
    return REGISTRY.get_sample_value("seamline_stage_retries_total", labels) or 0.0


@asynchronous
async def test_the_only_replica_is_asked_again_after_the_time_it_gave(replica):
    replica.failures["invert"] = [full(1.2), full(1.2)]
    async with inverters(replica, "127.0.0.1:{port}") as replicas:
        before = retries("refused")
        assert 0.6 <= await inverted(replicas) < 10
        assert retries("refused") == before + 2
    assert REGISTRY.get_sample_value("seamline_stage_calls_waiting", {"stage": "invert"}) == 0


@asynchronous
async def test_behind_a_name_the_next_replica_is_asked_at_once(replica):
    replica.failures["invert"] = [full(50)] * 5
    async with inverters(replica, "dns:///localhost:{port}") as replicas:
        assert replicas.concurrency == 8
        assert await inverted(replicas) < 20
    assert len(replica.calls) == 6


@asynchronous
async def test_what_was_unavailable_is_counted_as_such_and_patience_ends(replica):
    before = retries("store")
    replica.failures["invert"] = [StoreUnavailable("away"), *(full(0.2) for _ in range(4))]
    async with inverters(replica, "127.0.0.1:{port}", backoff_seconds=0.01, patience_seconds=0.3) as replicas:
        with pytest.raises(Overloaded):
            await inverted(replicas)
    assert retries("store") == before + 1


@asynchronous
async def test_a_stage_that_does_not_let_the_editor_in_is_a_fault_of_the_deployment_and_may_mend(replica):
    refusal = Forbidden("a certificate for x may not call")
    replica.failures["invert"] = [refusal, Unauthenticated("who are you?")]
    async with inverters(replica, "127.0.0.1:{port}", backoff_seconds=0.01) as replicas:
        before = retries("unavailable")
        await inverted(replicas)
        assert retries("unavailable") == before + 2
    replica.failures["invert"] = [refusal, refusal]
    async with inverters(replica, "127.0.0.1:{port}", backoff_seconds=0.01, repeats=1) as replicas:
        with pytest.raises(
            ServiceUnavailable, match=r"127\.0\.0\.1:\d+ does not let the editor in: a certificate for x"
        ):
            await inverted(replicas)


@asynchronous
async def test_a_replica_that_joins_the_name_gets_its_share(tmp_path):
    store = open_store(tmp_path.as_uri())
    first, second = Stages(store, ArtifactRef()), Stages(store, ArtifactRef())
    async with AsyncExitStack() as stack:
        known = await stack.enter_async_context(names("127.0.0.1"))
        port = (await stack.enter_async_context(served(first, max_connection_age_seconds=1))).rpartition(":")[2]
        name = f"dns://{known.endpoint}/inverter.test:{port}"
        async with open_channel(name) as channel:
            replicas = Replicas("invert", name, lambda _: channel, lambda c: InverterServiceStub(c).Invert)
            await inverted(replicas)
            await stack.enter_async_context(served(second, host="127.0.0.2", port=int(port)))
            known.addresses.append("127.0.0.2")
            async with asyncio.timeout(40):
                while not second.calls:  # the connection ends, the name is asked again
                    await inverted(replicas)
                    await asyncio.sleep(0.1)
            before = len(first.calls)
            async with asyncio.timeout(20):
                while len(first.calls) < before + 2 or len(second.calls) < 3:  # the two take turns
                    await inverted(replicas)
