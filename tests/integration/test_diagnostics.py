"""An editor asks every replica what it has, over real sockets; what is wrong is in the answer."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from seamline_editor.config import EditorConfig
from seamline_editor.diagnosis import STAGES, ask_replicas

from seamline.client import Client, Retry
from seamline.diagnosis import looks as diagnosis
from seamline.errors import SeamlineError
from seamline.rpc.config import ServerConfig
from seamline.rpc.server import started
from seamline.rpc.tls import Tls
from seamline.storage import open_store
from seamline.v1 import aligner_pb2, editor_pb2, inverter_pb2, metrics_pb2, stitcher_pb2  # noqa: F401 (declare services)
from seamline.v1.diagnostics_pb2 import Check, CheckOutcome, ServiceReport
from tests.asynchronous import asynchronous
from tests.certificates import Authority
from tests.fakes.bundle import NAME
from tests.fakes.dns import names
from tests.fakes.few_networks import few_networks

OK, WARNING, FAULT = (
    CheckOutcome.CHECK_OUTCOME_OK,
    CheckOutcome.CHECK_OUTCOME_WARNING,
    CheckOutcome.CHECK_OUTCOME_FAULT,
)
AT_ONCE = Retry(repeats=0, patience_seconds=0)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> Path:
    return few_networks(tmp_path_factory.mktemp("bundles")).directory.parent


@pytest.fixture
def settings(tmp_path, bundles) -> dict[str, object]:
    """Of every service."""
    store = (tmp_path / "store").as_uri()
    return {"host": "127.0.0.1", "port": 0, "metrics_port": 0, "store": store, "bundles_path": bundles}


class Services:
    """Services in this process, started as asked for."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        self._settings = settings
        self._running: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self.endpoints: dict[str, str] = {}

    async def start(self, *names: str, **own: object) -> None:
        for name in names:
            config = ServerConfig(**{**self._settings, **own})  # type: ignore[arg-type]
            self.endpoints[name] = await self._start(name, config)

    async def start_editor(self, **own: object) -> str:
        """Its endpoint; it calls the stages where they are, or where the settings say."""
        config = EditorConfig(**{**self._settings, **self.endpoints, **own})  # type: ignore[arg-type]
        return await self._start("editor", config, partial(ask_replicas, config))

    async def _start(self, name: str, config: ServerConfig, *elsewhere) -> str:
        service = f"seamline.v1.{name.capitalize()}Service"
        ports = asyncio.get_running_loop().create_future()

        async def run() -> None:
            async with started(config, lambda server: None, service, *elsewhere) as bound:
                ports.set_result(bound.grpc)
                await self._stop.wait()

        self._running.append(asyncio.create_task(run()))
        return f"{config.host}:{await ports}"

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.gather(*self._running)


@asynccontextmanager
async def services(settings: Mapping[str, object]) -> AsyncIterator[Services]:
    running = Services({**settings, "drain_seconds": 0})
    try:
        yield running
    finally:
        await running.stop()


async def asked(editor: str, bundle: str = NAME, tls: Tls = Tls()) -> list[ServiceReport]:
    async with Client(editor, tls=tls, token="", retry=AT_ONCE) as client:
        return list((await client.diagnose(bundle)).services)


def faults(report: ServiceReport) -> dict[str, Check]:
    """What is wrong, by subject."""
    return {check.subject: check for check in report.checks if check.outcome == FAULT}


@asynchronous
async def test_every_service_says_what_it_has(settings) -> None:
    async with services(settings) as running:
        await running.start(*STAGES)
        editor, *stages = await asked(await running.start_editor())
    assert (editor.service, editor.endpoint) == ("editor", "")
    assert {report.service: report.endpoint for report in stages} == running.endpoints
    assert [check.subject for check in editor.checks] == ["store", "bundle", "versions"]
    assert "5 replicas" in editor.checks[-1].finding
    for report in stages:
        assert [check.subject for check in report.checks] == ["store", "bundle", "device"]
        assert report.checks[0].seconds > 0
        assert report.versions == editor.versions
    assert [faults(report) for report in (editor, *stages)] == [{}] * 5
    assert list(open_store(str(settings["store"])).list("")) == []


@asynchronous
async def test_reflection_lists_it(settings) -> None:
    async with services(settings) as running:
        await running.start("aligner")
        async with grpc.aio.insecure_channel(running.endpoints["aligner"]) as channel:
            ask = reflection_pb2.ServerReflectionRequest(list_services="")
            call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([ask]))
            answer = await call.read()
    assert "seamline.v1.DiagnosticsService" in {each.name for each in answer.list_services_response.service}


@asynchronous
async def test_a_replica_that_is_down_is_one_fault_and_hides_no_other(settings) -> None:
    async with services(settings) as running:
        await running.start("aligner", "inverter", "metrics")
        reports = await asked(await running.start_editor(stitcher="127.0.0.1:1"))
    assert len(reports) == 5
    (down,) = [report for report in reports if faults(report)]
    assert (down.service, down.endpoint, len(down.checks)) == ("stitcher", "127.0.0.1:1", 1)
    found = faults(down)["service"]
    assert "127.0.0.1:1 does not answer" in found.finding
    assert "Connection refused" in found.finding
    assert "check the address" in found.remedy


@asynchronous
async def test_another_store_and_another_bundle_are_told_of_the_replica_that_has_them(settings, tmp_path) -> None:
    other = few_networks(tmp_path / "other", width=8).directory.parent
    async with services(settings) as running:
        await running.start("aligner", "inverter", "metrics")
        await running.start("stitcher", store=(tmp_path / "elsewhere").as_uri(), bundles_path=other)
        editor, *stages = await asked(await running.start_editor())
    found = {report.service: faults(report) for report in stages}
    assert [service for service in found if found[service]] == ["stitcher"]
    assert "another store" in found["stitcher"]["store"].finding
    assert running.endpoints["stitcher"] in faults(editor)["versions"].finding


@asynchronous
async def test_a_bundle_that_nobody_has(settings) -> None:
    async with services(settings) as running:
        await running.start(*STAGES)
        reports = await asked(await running.start_editor(), bundle="nope")
    assert all("no bundle 'nope'" in faults(report)["bundle"].finding for report in reports)


@pytest.mark.parametrize("name", ["dns:///stitcher.test", "dns:stitcher.test", "stitcher.test"])
def test_every_address_of_a_name_is_asked(settings, monkeypatch, name) -> None:
    asynchronous(every_address_is_asked)(settings, monkeypatch, name)


async def every_address_is_asked(settings, monkeypatch, name: str) -> None:
    known = {
        "127.0.0.1": socket.AF_INET,
        "127.0.0.2": socket.AF_INET,
        "127.0.0.3": socket.AF_INET,
        "::1": socket.AF_INET6,
    }

    async def resolved(host: str, port: int, **options: object) -> list[tuple]:
        found = known.items() if host == "stitcher.test" else [(host, socket.AF_INET)]
        return [(family, None, 0, "", (address, port)) for address, family in found for _ in range(2)]

    async with services(settings) as running:
        await running.start(*STAGES)
        port = running.endpoints["stitcher"].rpartition(":")[2]
        await running.start("stitcher", host="127.0.0.2", port=int(port))
        editor = await running.start_editor(stitcher=f"{name}:{port}")
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolved)
        reports = [report for report in await asked(editor) if report.service == "stitcher"]
    found = {report.endpoint: set(faults(report)) for report in reports}
    assert found == {f"127.0.0.1:{port}": set(), f"127.0.0.2:{port}": set(), f"127.0.0.3:{port}": {"service"}}


@asynchronous
async def test_behind_a_name_server_of_its_own_one_replica_is_asked_and_that_is_said(settings) -> None:
    async with services(settings) as running, names("127.0.0.1") as known:
        await running.start(*STAGES)
        port = running.endpoints["stitcher"].rpartition(":")[2]
        endpoint = f"dns://{known.endpoint}/stitcher.test:{port}"
        (report,) = [
            each for each in await asked(await running.start_editor(stitcher=endpoint)) if each.service == "stitcher"
        ]
    assert (report.endpoint, faults(report)) == (endpoint, {})
    assert [(check.subject, check.outcome) for check in report.checks][-1] == ("service", WARNING)


@pytest.mark.parametrize("endpoint", ["dns:///nowhere.invalid:5", "nowhere.invalid:5", "dns:nowhere.invalid:5"])
def test_a_name_that_leads_nowhere_is_a_fault(settings, endpoint) -> None:
    @asynchronous
    async def test() -> None:
        async with services(settings) as running:
            await running.start("aligner", "inverter", "stitcher")
            reports = await asked(await running.start_editor(metrics=endpoint))
        found = faults(reports[-1])["service"]
        assert "leads to no address" in found.finding

    test()


@asynchronous
async def test_a_service_in_the_place_of_another_is_found(settings) -> None:
    async with services(settings) as running:
        await running.start(*STAGES)
        swapped = {"aligner": running.endpoints["metrics"], "metrics": running.endpoints["aligner"]}
        reports = await asked(await running.start_editor(**swapped))
    assert [set(faults(report)) for report in reports] == [set(), {"service"}, set(), set(), {"service"}]
    assert "SEAMLINE_ALIGNER" in faults(reports[1])["service"].remedy


@asynchronous
async def test_an_editor_that_is_its_own_stage_asks_itself_once(settings) -> None:
    async with services(settings) as running:
        await running.start("inverter", "stitcher", "metrics")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        reports = await asked(await running.start_editor(port=port, aligner=f"127.0.0.1:{port}"))
    # Whether it is asked at all or waits for its own turn, it is not where the aligner should be.
    assert len(reports) == 5
    assert "service" in faults(reports[1])


@asynchronous
async def test_what_hangs_is_given_up_and_what_crashes_is_told(settings, monkeypatch) -> None:
    looks, forever = diagnosis.looks, asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang() -> Check:
        asyncio.run_coroutine_threadsafe(forever.wait(), loop).result()
        return Check()

    def crash() -> Check:
        raise ZeroDivisionError("by zero")

    def faulty(*args, **kwargs):
        store, bundle, *others = looks(*args, **kwargs)
        return [replace(store, find=hang, limit_seconds=0.2), replace(bundle, find=crash), *others]

    monkeypatch.setattr(diagnosis, "looks", faulty)
    async with services(settings) as running:
        await running.start("aligner")
        reports = await asked(running.endpoints["aligner"])
        forever.set()
    found = faults(reports[0])
    assert found["store"].finding == "no answer within 0.2 s"
    assert found["store"].remedy
    assert "ZeroDivisionError: by zero" in found["bundle"].finding
    assert [check.outcome for check in reports[0].checks] == [FAULT, FAULT, OK]


@asynchronous
async def test_a_service_of_an_earlier_version_is_to_be_upgraded(settings) -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with services(settings) as running:
        await running.start("inverter", "stitcher", "metrics")
        reports = await asked(await running.start_editor(aligner=f"127.0.0.1:{port}"))
        with pytest.raises(SeamlineError, match="upgrade it"):
            await asked(f"127.0.0.1:{port}")
    await server.stop(None)
    assert faults(reports[1])["service"].remedy == "upgrade it"


@asynchronous
async def test_over_tls_replicas_are_asked_by_address_for_the_name_they_are_of(settings, tmp_path) -> None:
    authority = Authority(tmp_path / "authority")
    issued, ca = authority.issue("stage", "localhost"), str(authority.certificate)
    tls = {"tls_certificate": str(issued.certificate), "tls_key": str(issued.key), "tls_client_ca": ca, "tls_ca": ca}
    async with services({**settings, **tls}) as running:
        await running.start(*STAGES)
        named = {
            name: endpoint.replace("127.0.0.1", "dns:///localhost") for name, endpoint in running.endpoints.items()
        }
        editor = (await running.start_editor(**named)).replace("127.0.0.1", "localhost")
        caller = Tls(ca=ca, certificate=str(issued.certificate), key=str(issued.key))
        reports = await asked(editor, tls=caller)
        assert [set(faults(report)) for report in reports] == [set()] * 5
        assert {report.checks[-1].subject for report in reports[1:]} == {"tls"}
        by_address = await running.start_editor(aligner=running.endpoints["aligner"])
        found = await asked(by_address.replace("127.0.0.1", "localhost"), tls=caller)
    assert "other names" in faults(found[1])["service"].remedy
