"""All services as child processes on this machine: what the command line, the demo and the tests run on.

    with Deployment(directory, store="file:///tmp/store") as deployment:
        client = Client(deployment.endpoint("editor"))

A cluster runs the same programs with the same environment (deploy/); nothing here is needed there.
"""

import ctypes
import json
import os
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

REPEAT = "; start it again and repeat the call, which goes on with what is finished"
"""What to do about a service that ended at work; one that does not start has another remedy."""

_LOOPBACK = "127.0.0.1"
_POLL_SECONDS = 0.05
_WATCH_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True, kw_only=True)
class Service:
    """One running child process."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    metrics_port: int

    @property
    def endpoint(self) -> str:
        """Where it serves gRPC."""
        return f"{_LOOPBACK}:{self.port}"


class Deployment:
    """Runs the five services on loopback, on free ports, until `stop`.

    On Linux they end with the thread that started them, even if that is killed: start them from the main
    thread, or from one that lives as long as they should.

    Attributes:
        services: the running ones, by name.
    """

    def __init__(
        self,
        directory: Path,
        *,
        store: str,
        environment: Mapping[str, str] | None = None,
        start_seconds: float = 120.0,
    ) -> None:
        """Prepares; nothing runs before `start`.

        Args:
            directory: for the services' log files and port files; made if it is missing.
            store: URL of the object store that all of them share.
            environment: SEAMLINE_* settings beside store and ports; they win over this process's own.
            start_seconds: how long a service may take until it listens.
        """
        self.services: dict[str, Service] = {}
        self._directory = directory
        self._environment = {"SEAMLINE_STORE": store, "SEAMLINE_HOST": _LOOPBACK, **(environment or {})}
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
        self._directory.mkdir(parents=True, exist_ok=True)
        starting: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for name in STAGES:
                starting[name] = self._spawn(name, {})
            for name in STAGES:
                self.services[name] = self._await_listening(name, starting[name])
            starting["editor"] = self._spawn("editor", self._stage_endpoints())
            self.services["editor"] = self._await_listening("editor", starting["editor"])
        except BaseException:
            _stop(list(starting.values()))
            self.services.clear()
            raise

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
        """Starts a service again that has ended, at its old port. Raises ServiceUnavailable as `start`."""
        port = str(self.services[name].port)
        links = self._stage_endpoints() if name == "editor" else {}
        self.services[name] = self._await_listening(name, self._spawn(name, links | {"SEAMLINE_PORT": port}))

    def _stage_endpoints(self) -> dict[str, str]:
        return {f"SEAMLINE_{name.upper()}": self.endpoint(name) for name in STAGES}

    def _port_file(self, name: str) -> Path:
        return self._directory / f"{name}.ports.json"

    def _spawn(self, name: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        self._port_file(name).unlink(missing_ok=True)
        own = {
            "SEAMLINE_PORT": "0",
            "SEAMLINE_METRICS_PORT": "0",
            "SEAMLINE_PORT_FILE": str(self._port_file(name)),
        }
        with self.log(name).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"seamline_{name}"],
                env={"GLIBC_TUNABLES": ALLOCATOR, **os.environ, **self._environment, **own, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C at a terminal reaches its whole process group: ours decides when the services end.
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )

    def _await_listening(self, name: str, process: subprocess.Popen[bytes]) -> Service:
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
        return Service(name=name, process=process, port=ports["grpc"], metrics_port=ports["metrics"])


def _end_with_parent() -> None:
    """Asks Linux for SIGTERM when the thread that started this child is gone."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


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
