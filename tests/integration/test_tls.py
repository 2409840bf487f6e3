"""TLS over real sockets: who trusts whom, what is said where they do not, and certificates that change meanwhile."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from seamline.client import Retry, call_stage, open_channel
from seamline.errors import Forbidden, InvalidInput, ServiceUnavailable
from seamline.job import Job
from seamline.rpc.config import ServerConfig
from seamline.rpc.metrics import CERTIFICATE_EXPIRY
from seamline.rpc.server import started
from seamline.rpc.tls import Tls
from seamline.v1.aligner_pb2 import AlignRequest, AlignResult
from seamline.v1.aligner_pb2_grpc import AlignerServiceStub
from tests.asynchronous import asynchronous
from tests.calling import SERVING, health_of
from tests.certificates import Authority, Issued
from tests.fakes.aligner import SERVICE, Served, result, serving, slow_work


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), "other")


def shown(issued: Issued) -> dict[str, str]:
    """A certificate as a service's settings name it."""
    return {"tls_certificate": str(issued.certificate), "tls_key": str(issued.key)}


def trusting(authority: Authority, issued: Issued | None = None) -> Tls:
    """A caller's settings."""
    own = {"certificate": str(issued.certificate), "key": str(issued.key)} if issued else {}
    return Tls(ca=str(authority.certificate), **own)


def service(**settings: object):
    return serving(slow_work(1, 0), **settings)


async def called(channel: grpc.aio.Channel, served: Served, connect_seconds: float = 10) -> object:
    retry = Retry(repeats=0, patience_seconds=0, connect_seconds=connect_seconds)
    stub = AlignerServiceStub(channel)
    async with aclosing(call_stage(stub.Align, AlignRequest(), served.address, channel=channel, retry=retry)) as events:
        return [event async for event in events][-1]


async def call(served: Served, tls: Tls, connect_seconds: float = 10) -> object:
    """The result of one call on a channel of its own."""
    async with open_channel(served.address, tls=tls) as channel:
        return await called(channel, served, connect_seconds)


async def refusal(served: Served, tls: Tls, connect_seconds: float = 10) -> str:
    """What a call is told that does not come through."""
    with pytest.raises(ServiceUnavailable) as caught:
        await call(served, tls, connect_seconds)
    assert caught.value.metadata["endpoint"] == served.address
    return str(caught.value)


@asynchronous
async def test_a_caller_that_trusts_the_authority_is_served(authority: Authority) -> None:
    async with service(**shown(authority.issue())) as served:
        assert await call(served, trusting(authority)) == result()


@asynchronous
async def test_a_service_of_another_authority_is_not_trusted_and_that_is_said_at_once(
    authority: Authority, other: Authority
) -> None:
    async with service(**shown(other.issue())) as served:
        start = time.monotonic()
        said = await refusal(served, trusting(authority), connect_seconds=30)
        assert time.monotonic() - start < 10
        assert "of no authority in SEAMLINE_TLS_CA" in said
        assert "of no authority in SEAMLINE_TLS_CA" in await refusal(served, Tls(ca="system"))


@asynchronous
async def test_a_name_that_is_not_in_the_certificate_is_not_trusted(authority: Authority) -> None:
    async with service(**shown(authority.issue("elsewhere", "aligner.example"))) as served:
        assert "certificate is for other names" in await refusal(served, trusting(authority))


@asynchronous
async def test_a_certificate_that_expires_while_it_is_served_is_said(authority: Authority) -> None:
    brief = authority.issue("brief", ends_in=timedelta(seconds=1.5))
    async with service(**shown(brief)) as served:
        assert await call(served, trusting(authority)) == result()
        await asyncio.sleep(1.6)
        assert "its certificate has expired" in await refusal(served, trusting(authority))


@asynchronous
async def test_plaintext_and_tls_do_not_mix_and_that_is_said(authority: Authority) -> None:
    async with service() as served:
        assert "it speaks plaintext: unset SEAMLINE_TLS_CA" in await refusal(served, trusting(authority))
    async with service(**shown(authority.issue())) as served:
        assert "if it speaks TLS, set SEAMLINE_TLS_CA" in await refusal(served, Tls(), connect_seconds=0.6)


@asynchronous
async def test_callers_must_show_a_certificate_where_the_service_asks_for_one(
    authority: Authority, other: Authority
) -> None:
    theirs = shown(authority.issue()) | {"tls_client_ca": str(authority.certificate)}
    async with service(**theirs) as served:
        assert await call(served, trusting(authority, authority.issue("editor", "editor"))) == result()
        for own in (None, other.issue("stranger", "editor")):
            assert "to one that it accepts" in await refusal(served, trusting(authority, own), connect_seconds=0.6)


@asynchronous
async def test_a_renewed_certificate_is_served_without_a_restart_and_calls_under_way_go_on(
    authority: Authority, tmp_path: Path
) -> None:
    mine = Authority(tmp_path / "mine")
    both = tmp_path / "both.crt"
    both.write_bytes(authority.certificate.read_bytes() + mine.certificate.read_bytes())
    served_by = authority.issue("renewed")
    theirs = shown(served_by) | {"tls_client_ca": str(both)}
    caller = Tls(ca=str(both), certificate=str(served_by.certificate), key=str(served_by.key))
    begun, finish = threading.Event(), threading.Event()

    def work(job: Job) -> AlignResult:
        if not begun.is_set():
            begun.set()
            finish.wait(30)
        return result()

    async with (
        serving(work, **theirs, max_concurrent_stages=2) as served,
        open_channel(served.address, tls=caller) as channel,
    ):
        under_way = asyncio.ensure_future(called(channel, served))
        await asyncio.to_thread(begun.wait, 10)
        renewed = mine.issue("renewed")
        renewed.certificate.replace(served_by.certificate)
        # The certificate came before its key: the two do not belong together yet, and what was there stays.
        assert await call(served, trusting(authority, authority.issue("own", "own"))) == result()
        renewed.key.replace(served_by.key)
        assert await called(channel, served) == result()
        assert await call(served, trusting(mine, mine.issue("own", "own"))) == result()
        assert "of no authority" in await refusal(served, trusting(authority, authority.issue("own", "own")))
        assert len(channel._old) == 1  # kept for the call under way, and for no longer
        finish.set()
        assert await under_way == result()
        assert not channel._old


@asynchronous
async def test_a_caller_shows_its_renewed_certificate_from_the_next_call_on(tmp_path: Path) -> None:
    """The service trusts only the new authority, so that nothing but the renewed certificate is let in."""
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    own = old.issue("own", "editor")
    theirs = shown(new.issue()) | {"tls_client_ca": str(new.certificate)}
    async with service(**theirs) as served, open_channel(served.address, tls=trusting(new, own)) as channel:
        with pytest.raises(ServiceUnavailable):
            await called(channel, served, connect_seconds=0.5)
        renewed = new.issue("own", "editor")
        renewed.key.replace(own.key)
        renewed.certificate.replace(own.certificate)
        assert await called(channel, served) == result()


@asynchronous
async def test_health_has_a_port_of_its_own_beside_tls(authority: Authority) -> None:
    @asynccontextmanager
    async def both() -> AsyncIterator[tuple[Served, str]]:
        theirs = shown(authority.issue()) | {"tls_client_ca": str(authority.certificate), "health_port": 0}
        config = ServerConfig(host="127.0.0.1", port=0, metrics_port=0, store="file:///nowhere", **theirs)
        async with started(config, lambda server: None, SERVICE) as bound:
            yield Served(f"127.0.0.1:{bound.grpc}", ""), f"127.0.0.1:{bound.health}"

    async with both() as (served, probed):
        assert await health_of(probed) == SERVING
        assert await health_of(probed, SERVICE) == SERVING
        async with grpc.aio.insecure_channel(probed) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await anext(aiter(AlignerServiceStub(channel).Align(AlignRequest())))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(grpc.aio.AioRpcError):
            await health_of(served.address)


@asynchronous
async def test_a_taken_health_port_is_said_at_the_start() -> None:
    async with service() as served:
        port = int(served.address.rpartition(":")[2])
        with pytest.raises(InvalidInput, match=f"{port}.*SEAMLINE_HEALTH_PORT"):
            async with service(health_port=port):
                pytest.fail("two services on one port")


@asynchronous
async def test_of_one_authority_only_the_named_caller_is_let_in(authority: Authority) -> None:
    theirs = shown(authority.issue()) | {"tls_client_ca": str(authority.certificate)}
    editor = trusting(authority, authority.issue("one", "editor.example"))
    backend = trusting(
        authority, authority.issue("editor.example", "backend.example")
    )  # its subject counts for nothing
    async with service(**theirs, tls_client_names="other.example, editor.example") as served:
        assert await call(served, editor) == result()
        with pytest.raises(Forbidden, match=r"certificate for backend\.example may not call .*/Align"):
            await call(served, backend)


@asynchronous
async def test_names_of_callers_without_their_authority_are_a_contradiction(authority: Authority) -> None:
    with pytest.raises(InvalidInput, match="SEAMLINE_TLS_CLIENT_NAMES is set, but not SEAMLINE_TLS_CLIENT_CA"):
        async with service(**shown(authority.issue()), tls_client_names="editor"):
            pytest.fail("it started")


@asynchronous
async def test_the_end_of_the_certificate_that_is_served_is_a_metric(authority: Authority) -> None:
    brief = authority.issue("metric", ends_in=timedelta(hours=5))
    async with service(**shown(brief)) as served:
        before = CERTIFICATE_EXPIRY._value.get()
        authority.issue("metric", ends_in=timedelta(hours=9))
        assert await call(served, trusting(authority)) == result()
        after = CERTIFICATE_EXPIRY._value.get()
    assert before - time.time() == pytest.approx(5 * 3600, abs=120)
    assert after - before == pytest.approx(4 * 3600, abs=120)
