"""DiagnosticsService, which every service has: what this one depends on, looked at when somebody asks."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import grpc

from seamline.rpc.config import ServerConfig
from seamline.v1.diagnostics_pb2 import Check, CheckOutcome, DiagnoseRequest, DiagnoseResponse, ServiceReport
from seamline.v1.diagnostics_pb2_grpc import DiagnosticsServiceServicer

if TYPE_CHECKING:
    from seamline.diagnosis.looks import Look

logger = logging.getLogger(__name__)

SERVICE = "seamline.v1.DiagnosticsService"
QUICK_SECONDS = 20.0
"""For what touches the store or a manifest and nothing else."""

Elsewhere = Callable[[DiagnoseRequest], Awaitable[Sequence[ServiceReport]]]
"""Asks every replica of the services that this one calls."""

T = TypeVar("T")


class DiagnosticsServicer(DiagnosticsServiceServicer):
    """Serves `seamline.v1.DiagnosticsService`: looks at its own service once at a time, in threads of its own.

    What hangs is given up, holds one of these threads until it ends, and takes none from those that work.
    """

    def __init__(self, service: str, config: ServerConfig, elsewhere: Elsewhere | None = None) -> None:
        """Prepares; nothing is looked at before the first call.

        Args:
            service: aligner, inverter, stitcher, metrics or editor.
            config: its settings.
            elsewhere: asks the replicas that it has its computing done by; None if it computes itself.
        """
        self._service, self._config, self._elsewhere = service, config, elsewhere
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="diagnosis")
        self._turn = asyncio.Lock()

    async def Diagnose(  # noqa: N802
        self, request: DiagnoseRequest, context: grpc.aio.ServicerContext
    ) -> DiagnoseResponse:
        """Looks at everything; what is wrong is part of the answer."""
        own, others = await asyncio.gather(self._own(request), self._others(request))
        if others:
            from seamline.diagnosis.versions import compare_versions

            own.checks.extend(compare_versions([own, *others]))
        return DiagnoseResponse(services=[own, *others])

    async def _own(self, request: DiagnoseRequest) -> ServiceReport:
        # Only here: they need torch, and a service is to start without it if it can.
        from seamline.diagnosis.looks import looks
        from seamline.diagnosis.versions import versions_here

        versions = self._within(QUICK_SECONDS, lambda: versions_here(request.bundle, self._config.bundles_path), {})
        checks = [self._found(look) for look in looks(self._config, request, computes=self._elsewhere is None)]
        async with self._turn:
            found, findings = await asyncio.gather(versions, asyncio.gather(*checks))
        return ServiceReport(service=self._service, versions=found, checks=findings)

    async def _others(self, request: DiagnoseRequest) -> Sequence[ServiceReport]:
        """Asks elsewhere, with an object in the store for the others to find."""
        from seamline.diagnosis.store import put_probe, remove_probe

        if self._elsewhere is None or request.alone:
            return []
        url = self._config.store
        probe = await self._within(QUICK_SECONDS, lambda: put_probe(url), "")
        try:
            return await self._elsewhere(DiagnoseRequest(bundle=request.bundle, probe=probe, alone=True))
        finally:
            if probe:
                await self._within(QUICK_SECONDS, lambda: remove_probe(url, probe), None)

    async def _found(self, look: "Look") -> Check:
        start = time.perf_counter()
        slow = Check(
            subject=look.subject,
            outcome=CheckOutcome.CHECK_OUTCOME_FAULT,
            finding=f"no answer within {look.limit_seconds:g} s",
            remedy=look.remedy,
        )
        try:
            found = await self._within(look.limit_seconds, look.find, slow)
        except Exception as error:  # a check that crashes is a finding too, and takes no other with it
            logger.exception("a check crashed", extra={"subject": look.subject})
            said = f"the check crashed ({type(error).__name__}: {error})"
            found = Check(subject=look.subject, outcome=CheckOutcome.CHECK_OUTCOME_FAULT, finding=said)
            found.remedy = "see the traceback in the service's log"
        found.seconds = time.perf_counter() - start
        return found

    async def _within(self, seconds: float, call: Callable[[], T], otherwise: T) -> T:
        """What the call returns, in a thread; `otherwise` if it does not in time."""
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except TimeoutError:
            logger.warning(f"a diagnosis was given up after {seconds:g} s")
            return otherwise
