"""All services as child processes on this machine: what the command line, the demo and the tests run on.

    with Deployment(directory, store="file:///tmp/store") as deployment:
        client = Client(deployment.endpoint("editor"))

A cluster runs the same programs with the same environment (deploy/); nothing here is needed there.
"""

import ctypes
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from seamline.errors import ServiceUnavailable

STAGES = ("aligner", "inverter", "stitcher", "metrics")
"""The services that the editor calls, named as their packages: seamline_<name>."""

ALLOCATOR = ":".join(
    (
        "glibc.malloc.mmap_threshold=4294967296",
        "glibc.malloc.trim_threshold=4294967296",
        "glibc.malloc.arena_max=1",
        "glibc.malloc.hugetlb=1",
    )
)
"""GLIBC_TUNABLES of the services, as in their images: memory that is freed is kept for the next optimiser step.

By default glibc hands large blocks back at once, and the kernel clears their pages anew in every step: more than
20 000 faults, a tenth of a processor's time. The peak is the same. An own GLIBC_TUNABLES wins.
"""
WAIT_POLICY = "PASSIVE"
"""OMP_WAIT_POLICY of the services, as in their images: a thread that waits for the others of its loop sleeps.

By default it spins for milliseconds, on a processor that the thread it waits for could have. Where others work on the
machine, or a container may use fewer processors than it sees, networks of many small layers then take ten times as long
and more; on a quiet machine a whole edit takes as long. An own OMP_WAIT_POLICY wins.
"""

REPEAT = "; start it again and repeat the call, which goes on with what is finished"
"""What to do about a service that ended at work; one that does not start has another remedy."""

_LOOPBACK = "127.0.0.1"
_POLL_SECONDS = 0.05
_WATCH_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, kw_only=True)
class Service:
    """One running child process."""

    stage: str
    """What it is a replica of: one of STAGES, or "editor"."""
    process: subprocess.Popen[bytes]
    host: str
    port: int
    metrics_port: int

    @property
    def endpoint(self) -> str:
        """Where it serves gRPC."""
        return f"{self.host}:{self.port}"


class Deployment:
    """Runs the five services on loopback, on free ports, until `stop`; of the stages, as many replicas as wanted.

    On Linux they end with the thread that started them, even if that is killed: start them from the main
    thread, or from one that lives as long as they should.

    Attributes:
        services: the running ones, by name: that of the stage, with "-2", "-3", … for further replicas.
    """

    def __init__(
        self,
        directory: Path,
        *,
        store: str,
        environment: Mapping[str, str] | None = None,
        replicas: Mapping[str, int] | None = None,
        start_seconds: float = 120.0,
    ) -> None:
        """Prepares; nothing runs before `start`.

        Args:
            directory: for the services' log files and port files; made if it is missing.
            store: URL of the object store that all of them share.
            environment: SEAMLINE_* settings beside store and ports; they win over this process's own, and over the
                stages' endpoints as the editor is told them.
            replicas: how many of a stage to start, by stage; one of each that is not named.
            start_seconds: how long a service may take until it listens.
        """
        self.services: dict[str, Service] = {}
        self._directory = directory
        self._environment = {"SEAMLINE_STORE": store, **(environment or {})}
        self._replicas = replicas or {}
        self._start_seconds = start_seconds

    def __enter__(self) -> "Deployment":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the stages side by side, then the editor that calls them.

        Raises:
            ServiceUnavailable: one of them ended, or did not listen in time. Its log is named, the others
                are stopped.
        """
        starting: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for stage in STAGES:
                for number in range(self._replicas.get(stage, 1)):
                    name = _name(stage, number)
                    starting[name] = self._spawn(name, stage)
            for name, process in starting.items():
                self.services[name] = self._await_listening(name, _stage(name), process)
            starting["editor"] = self._spawn("editor", "editor")
            self.services["editor"] = self._await_listening("editor", "editor", starting["editor"])
        except BaseException:
            _stop(list(starting.values()))
            self.services.clear()
            raise

    def add(self, stage: str, *, host: str = _LOOPBACK, port: int = 0) -> str:
        """Starts one more replica of a stage, of which the editor learns only by a name that it is told to ask.

        Args:
            stage: one of STAGES.
            host, port: where it serves; port 0 takes a free one.

        Returns:
            Its name.

        Raises:
            ServiceUnavailable: as `start`.
        """
        name = _name(stage, sum(service.stage == stage for service in self.services.values()))
        self.services[name] = self._start_one(name, stage, host, port)
        return name

    def stop(self) -> None:
        """Lets the services drain, and ends those that do not."""
        _stop([service.process for service in self.services.values()])
        self.services.clear()

    def endpoint(self, name: str) -> str:
        """The gRPC endpoint, host:port, of one service."""
        return self.services[name].endpoint

    def log(self, name: str) -> Path:
        """The file that one service logs to."""
        return self._directory / f"{name}.log"

    def wait(self) -> None:
        """Blocks for as long as all services run.

        Raises:
            ServiceUnavailable: one of them ended.
        """
        while True:
            self.check()
            time.sleep(_WATCH_SECONDS)

    def check(self) -> None:
        """Raises ServiceUnavailable if one of the services has ended."""
        for name, service in self.services.items():
            if service.process.poll() is not None:
                raise _ended(name, service.process, self.log(name), REPEAT)

    def kill(self, name: str) -> None:
        """Ends one service as a power cut would (SIGKILL)."""
        process = self.services[name].process
        process.kill()
        process.wait()

    def restart(self, name: str) -> None:
        """Starts a service again that has ended, at its old address. Raises ServiceUnavailable as `start`."""
        service = self.services[name]
        self.services[name] = self._start_one(name, service.stage, service.host, service.port)

    def _start_one(self, name: str, stage: str, host: str, port: int) -> Service:
        process = self._spawn(name, stage, host, port)
        try:
            return self._await_listening(name, stage, process, host)
        except BaseException:
            _stop([process])
            raise

    def _stage_endpoints(self) -> dict[str, str]:
        running = self.services.values()
        endpoints = {stage: ",".join(s.endpoint for s in running if s.stage == stage) for stage in STAGES}
        return {f"SEAMLINE_{stage.upper()}": endpoint for stage, endpoint in endpoints.items()}

    def _port_file(self, name: str) -> Path:
        return self._directory / f"{name}.ports.json"

    def _spawn(self, name: str, stage: str, host: str = _LOOPBACK, port: int = 0) -> subprocess.Popen[bytes]:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._port_file(name).unlink(missing_ok=True)
        own = {
            "SEAMLINE_HOST": host,
            "SEAMLINE_PORT": str(port),
            "SEAMLINE_METRICS_PORT": "0",
            "SEAMLINE_PORT_FILE": str(self._port_file(name)),
        }
        links = self._stage_endpoints() if stage == "editor" else {}
        with self.log(name).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", __name__, f"seamline_{stage}", str(os.getpid())],
                env={
                    "GLIBC_TUNABLES": ALLOCATOR,
                    "OMP_WAIT_POLICY": WAIT_POLICY,
                    **os.environ,
                    **own,
                    **links,
                    **self._environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C at a terminal reaches its whole process group: ours decides when the services end.
                start_new_session=True,
            )

    def _await_listening(
        self, name: str, stage: str, process: subprocess.Popen[bytes], host: str = _LOOPBACK
    ) -> Service:
        deadline = time.monotonic() + self._start_seconds
        while (ports := _read_ports(self._port_file(name))) is None:
            if process.poll() is not None:
                raise _ended(name, process, self.log(name))
            if time.monotonic() > deadline:
                raise ServiceUnavailable(
                    f"the {name} did not listen within {self._start_seconds:.0f} s; see {self.log(name)}",
                    service=name,
                )
            time.sleep(_POLL_SECONDS)
        return Service(stage=stage, process=process, host=host, port=ports["grpc"], metrics_port=ports["metrics"])


def _name(stage: str, number: int) -> str:
    """The name of the number-th replica of a stage, counted from 0."""
    return f"{stage}-{number + 1}" if number else stage


def _stage(name: str) -> str:
    return name.partition("-")[0]


def _read_ports(path: Path) -> dict[str, int] | None:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):  # not there yet, or half written
        return None


def _ended(name: str, process: subprocess.Popen[bytes], log: Path, remedy: str = "") -> ServiceUnavailable:
    return ServiceUnavailable(
        f"the {name} ended with status {process.returncode}: {_last_line(log)} (log: {log}){remedy}", service=name
    )


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:400] if lines else "it wrote no log"


def _stop(processes: list[subprocess.Popen[bytes]], grace_seconds: float = 10.0) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + grace_seconds
    for process in processes:
        try:
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _run_service(module: str, parent: int) -> None:
    """What a child process begins with: on Linux it asks for SIGTERM when the thread that started it is gone.

    Done here and not between fork and exec, where a process that has used gRPC may run nothing of its own.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it was gone before
            sys.exit()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _run_service(sys.argv[1], int(sys.argv[2]))
