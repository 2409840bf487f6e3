"""A real Triton on this machine: NVIDIA's server with its python backend, which runs bundles by this environment."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from seamline.bundles import load_bundle
from seamline.triton import Backend, Serving, write_repository

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = Path(sys.prefix) / "triton" / "pytriton" / "tritonserver"
SECONDS_TO_START = 300
SECONDS_TO_STOP = 20
MODELS = ("detector", "landmarks", "e4e", "parsing", "identity", "attributes", "clip_text")
"""What the stages ask. Every model is a process with its own torch, so that others are left out."""


class Triton:
    """One server on loopback, always at the same port.

    Attributes:
        endpoint: host:port of its gRPC interface.
        log: what it says.
    """

    def __init__(self, repository: Path, log: Path, bundles: Path | None, options: Sequence[str]) -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
        self.endpoint, self.log = f"127.0.0.1:{port}", log
        # Every server has its own part of /dev/shm, which one that is killed leaves behind.
        self._memory = f"seamline-{uuid.uuid4().hex[:12]}"
        self._command = [
            str(INSTALLED / "bin" / "tritonserver"),
            f"--model-repository={repository}",
            f"--backend-directory={INSTALLED / 'backends'}",
            f"--backend-config=python,shm-region-prefix-name={self._memory}",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={port}",
            "--allow-http=false",
            "--allow-metrics=false",
            *options,
        ]
        self._environment = {**os.environ, **_environment(), **({"SEAMLINE_BUNDLES": str(bundles)} if bundles else {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = SECONDS_TO_START) -> None:
        """Returns once it listens, which it does when all of its models are ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        host, port = self.endpoint.split(":")
        deadline = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=5).close()
                return
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.kill()
                    raise RuntimeError(f"Triton does not listen: {self.log.read_text()[-4000:]}") from error
                time.sleep(0.1)

    def kill(self) -> None:
        """Ends it, and the processes of its models, as a power cut would."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # its own group: the models' processes are in it
            self._process.wait()
            self._process = None
        for left in Path("/dev/shm").glob(f"{self._memory}*"):
            left.unlink()

    def restart(self) -> None:
        """Kills it if it runs, and starts it at the same port."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """Lets it finish, within limits."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(SECONDS_TO_STOP)
        self.kill()


@contextmanager
def running_triton(
    repository: Path, log: Path, *, bundles: Path | None = None, options: Sequence[str] = ()
) -> Iterator[Triton]:
    """Starts the server, and stops it, and only it, in the end.

    Args:
        repository: as `seamline triton export --backend python` writes it; see `python_repository`.
        log: file for what it says.
        bundles: directory of the bundles that the models are of; None for those that come with Seamline.
        options: more of the server's own.
    """
    if not (INSTALLED / "bin" / "tritonserver").exists():
        pytest.fail("this test needs NVIDIA's Triton: make .venv/stamps/triton", pytrace=False)
    _put_stub()
    triton = Triton(repository, log, bundles, options)
    try:
        triton.start()
        yield triton
    finally:
        triton.stop()


def python_repository(
    directory: Path, bundle: str = "", bundles: Path | None = None, models: Sequence[str] = MODELS
) -> Path:
    """Writes a bundle's models for the python backend, one process each, that give the same for the same request."""
    serving = Serving(joined=False)
    list(write_repository(load_bundle(bundle, bundles), directory, Backend.PYTHON, serving, models))
    return directory


def is_healthy(triton: Triton) -> bool:
    """Whether it says so to the gRPC probes of a cluster."""
    with grpc.insecure_channel(triton.endpoint) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def _put_stub() -> None:
    """The backend starts the program that was built for this version of Python, if it finds it beside itself."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = INSTALLED / "python_backend_stubs" / version / "triton_python_backend_stub"
    place = INSTALLED / "backends" / "python" / stub.name
    if not place.exists() or place.stat().st_size != stub.stat().st_size:
        draft = place.with_name(f".{stub.name}.{os.getpid()}")
        shutil.copy2(stub, draft)
        draft.replace(place)


def _environment() -> Mapping[str, str]:
    """Makes the interpreter inside the stub this one, with its packages."""
    packages = (str(ROOT), sysconfig.get_path("purelib"))
    library = str(sysconfig.get_config_var("LIBDIR"))
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": ":".join(packages),
        "LD_LIBRARY_PATH": ":".join(filter(None, (library, os.environ.get("LD_LIBRARY_PATH", "")))),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
