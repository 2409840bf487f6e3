"""A service process and its signals: started as a program, ended as Kubernetes ends it."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from seamline import errors
from seamline.client import Retry, call_stage
from seamline.v1.aligner_pb2 import AlignRequest
from tests.asynchronous import asynchronous
from tests.calling import AT_ONCE, SERVING, align, health_of, stub_of
from tests.fakes.aligner import SERVICE, Served, result

ROOT = Path(__file__).resolve().parents[2]


class Service(NamedTuple):
    """A service as a process of its own."""

    process: asyncio.subprocess.Process
    served: Served
    started: list[dict[str, Any]]
    """The log lines up to "listening"."""

    async def end(self) -> None:
        """Sends SIGTERM and returns when the service has begun to drain."""
        assert self.process.stderr is not None
        self.process.send_signal(signal.SIGTERM)
        assert json.loads(await self.process.stderr.readline())["message"] == "draining"

    async def ended(self) -> tuple[int, list[dict[str, Any]]]:
        """Its exit status and the rest of its log, once it ends by itself."""
        assert self.process.stderr is not None
        rest = [json.loads(line) async for line in self.process.stderr]
        return await self.process.wait(), rest


@asynccontextmanager
async def process(tmp_path: Path, steps: int, seconds: float, **settings: str) -> AsyncIterator[Service]:
    ports = tmp_path / "ports.json"
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fakes.aligner", str(steps), str(seconds)),
        cwd=ROOT,
        env={
            **os.environ,
            "SEAMLINE_HOST": "127.0.0.1",
            "SEAMLINE_PORT": "0",
            "SEAMLINE_METRICS_PORT": "0",
            "SEAMLINE_STORE": "file:///nowhere",
            "SEAMLINE_PORT_FILE": str(ports),
            **settings,
        },
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert child.stderr is not None
        started = [json.loads(await child.stderr.readline())]
        bound = json.loads(ports.read_text())
        served = Served(f"127.0.0.1:{bound['grpc']}", f"http://127.0.0.1:{bound['metrics']}/metrics")
        yield Service(child, served, started)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def collect(events: AsyncIterator[Any]) -> list[Any]:
    return [event async for event in events]


@asynchronous
async def test_sigterm_lets_a_running_stream_finish_and_takes_no_new_call(tmp_path: Path) -> None:
    async with process(tmp_path, 20, 0.1) as service, stub_of(service.served) as stub:
        assert await health_of(service.served.address, SERVICE) == SERVING
        async with aclosing(call_stage(stub.Align, AlignRequest(), "aligner:1")) as running:
            await anext(running)
            await service.end()
            events = [await anext(running)]
            async with stub_of(service.served) as newcomer:
                with pytest.raises(errors.SeamlineError):
                    await align(newcomer, timeout=0.7)
            events += [event async for event in running]
        assert events[-1] == result()
        status, log = await service.ended()
    assert status == 0
    assert service.started[0]["message"].startswith("listening aligner 127.0.0.1:")
    assert log[-1]["message"] == "stopped"
    (finished,) = [line for line in log if line.get("code") == "OK"]
    assert (finished["method"], finished["service"]) == (f"/{SERVICE}/Align", "aligner")
    assert finished["seconds"] >= 2


@asynchronous
async def test_the_drain_has_an_end(tmp_path: Path) -> None:
    async with (
        process(tmp_path, 1000, 0.05, SEAMLINE_DRAIN_SECONDS="0.4") as service,
        stub_of(service.served) as stub,
    ):
        events = call_stage(stub.Align, AlignRequest(), "aligner:1", retry=AT_ONCE)
        await anext(events)
        start = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        with pytest.raises(errors.ServiceUnavailable, match="aligner:1"):
            async for _ in events:
                pass
        status, log = await service.ended()
    assert status == 0
    assert time.monotonic() - start < 10
    assert log[-1]["message"] == "stopped"


@asynchronous
async def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    async with process(tmp_path, 1000, 0.05) as service, stub_of(service.served) as stub:
        events = call_stage(stub.Align, AlignRequest(), "aligner:1", retry=AT_ONCE)
        await anext(events)
        await service.end()
        service.process.send_signal(signal.SIGTERM)
        with pytest.raises(errors.ServiceUnavailable, match="aligner:1"):
            async for _ in events:
                pass
        assert await service.process.wait() == -signal.SIGTERM


@asynchronous
async def test_a_wrong_environment_is_said_in_one_line(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fakes.aligner", "1", "0"),
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith("SEAMLINE_")}
        | {"SEAMLINE_PORT": "http"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await child.communicate()
    assert child.returncode == 1
    lines = said.decode().splitlines()
    assert len(lines) == 1
    assert "SEAMLINE_STORE: Field required" in lines[0]
    assert "SEAMLINE_PORT: Input should be a valid integer" in lines[0]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
@asynchronous
async def test_a_caller_does_not_notice_that_its_replica_was_replaced(end: signal.Signals, tmp_path: Path) -> None:
    async with process(tmp_path, 1000, 0.05, SEAMLINE_DRAIN_SECONDS="0.2") as first:
        port = first.served.address.rpartition(":")[2]
        async with stub_of(first.served) as stub:
            retry = Retry(connect_seconds=30, repeats=1, backoff_seconds=0.1)
            events = call_stage(stub.Align, AlignRequest(), "aligner:1", retry=retry)
            await anext(events)
            first.process.send_signal(end)
            rest = asyncio.ensure_future(collect(events))
            await first.process.wait()
            async with process(tmp_path, 2, 0.01, SEAMLINE_PORT=port):
                assert (await rest)[-1] == result()
