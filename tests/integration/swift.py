"""A real S3 server on this machine: OpenStack Swift with its S3 interface, one disk, one copy, no containers."""

import getpass
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ACCESS_KEY = "test:tester"
SECRET_KEY = "testing"
SECONDS_TO_START = 300
SECONDS_TO_STOP = 10

_BEFORE = ["catch_errors", "gatekeeper", "healthcheck", "listing_formats"]
_AFTER = ["copy", "slo", "dlo", "versioned_writes", "symlink"]

_MAKE_RINGS = """
import sys
from swift.common.ring.builder import RingBuilder
folder, *ports = sys.argv[1:]
for name, port in zip(("account", "container", "object"), ports):
    builder = RingBuilder(4, 1, 0)
    builder.add_dev({"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "disk",
                     "replication_ip": "127.0.0.1", "replication_port": int(port), "weight": 1.0, "meta": ""})
    builder.rebalance()
    builder.get_ring().save(f"{folder}/{name}.ring.gz")
"""


SERVERS = ("proxy", "account", "container", "object")


@dataclass(frozen=True, kw_only=True)
class Swift:
    """A running server, made of four."""

    folder: Path
    """Where it keeps everything."""
    ports: Mapping[str, int]
    """Of the four."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    """Those that run."""

    @property
    def endpoint(self) -> str:
        """http://127.0.0.1:port"""
        return f"http://127.0.0.1:{self.ports['proxy']}"

    def start(self, *servers: str) -> None:
        """Starts some of the servers, by default all, at the ports where they were, and waits until they answer."""
        for server in servers or SERVERS:
            self.processes[server] = _process(self.folder, server)
        for server in servers or SERVERS:
            _wait_for(f"http://127.0.0.1:{self.ports[server]}/healthcheck", self.folder)

    def kill(self, *servers: str) -> None:
        """Ends some of them, by default all, in the middle of whatever they do."""
        for server in servers or SERVERS:
            self.processes[server].kill()
        for server in servers or SERVERS:
            self.processes.pop(server).wait()

    def stop(self) -> None:
        """Ends those that run."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def stored_bytes(self) -> int:
        """Bytes of all objects on its disk, parts of objects included."""
        return sum(path.stat().st_size for path in (self.folder / "devices").glob("disk/objects/**/*.data"))

    def url(self, bucket: str, prefix: str = "") -> str:
        """The store URL of a bucket."""
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}&region=us-east-1"


@contextmanager
def running_swift() -> Iterator[Swift]:
    """Starts the four servers, waits until they answer, and stops them, and only them, in the end."""
    with tempfile.TemporaryDirectory(prefix="swift-") as name:
        folder = Path(name)
        (folder / "devices" / "disk").mkdir(parents=True)
        swift = Swift(folder=folder, ports=dict(zip(SERVERS, _free_ports(len(SERVERS)), strict=True)))
        _configure(folder, swift.ports)
        try:
            swift.start()
            yield swift
        finally:
            swift.stop()


def _configure(folder: Path, ports: Mapping[str, int]) -> None:
    (folder / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_suffix = tests\nswift_hash_path_prefix = tests\n"
        "[storage-policy:0]\nname = only\ndefault = yes\n"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _MAKE_RINGS, str(folder), *map(str, list(ports.values())[1:])],
        check=True,
        capture_output=True,
    )
    for server, port in ports.items():
        general = _section(
            "DEFAULT",
            bind_ip="127.0.0.1",
            bind_port=port,
            workers=0,
            user=getpass.getuser(),
            swift_dir=folder,
            devices=folder / "devices",
            mount_check="false",
            fallocate_reserve=0,
            disable_fallocate="true",
        )
        body = _proxy() if server == "proxy" else _storage(server)
        (folder / f"{server}.conf").write_text(general + body)


def _proxy() -> str:
    plain = "".join(_section(f"filter:{name}", use=f"egg:swift#{name}") for name in _BEFORE + _AFTER if name != "slo")
    return (
        _section("pipeline:main", pipeline=" ".join([*_BEFORE, "s3api", "tempauth", *_AFTER, "proxy-server"]))
        + _section(
            "app:proxy-server",
            use="egg:swift#proxy",
            account_autocreate="true",
            allow_account_management="true",
        )
        + plain
        # Else what large objects were made of is left to a fifth server to delete, some time later.
        + _section("filter:slo", use="egg:swift#slo", allow_async_delete="false")
        + _section("filter:s3api", use="egg:swift#s3api", location="us-east-1")
        + _section("filter:tempauth", use="egg:swift#tempauth", user_test_tester=f"{SECRET_KEY} .admin")
    )


def _storage(server: str) -> str:
    return (
        _section("pipeline:main", pipeline=f"healthcheck {server}-server")
        + _section("filter:healthcheck", use="egg:swift#healthcheck")
        + _section(f"app:{server}-server", use=f"egg:swift#{server}")
    )


def _section(name: str, **settings: object) -> str:
    lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
    return f"[{name}]\n{lines}\n"


def _process(folder: Path, server: str) -> subprocess.Popen[bytes]:
    program = Path(sys.executable).with_name(f"swift-{server}-server")
    with (folder / f"{server}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", str(program), str(folder / f"{server}.conf"), "--verbose"],
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _wait_for(url: str, folder: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            if time.monotonic() > deadline:
                logs = "".join(path.read_text(errors="replace")[-2000:] for path in folder.glob("*.log"))
                raise RuntimeError(f"Swift does not answer at {url}: {error}\n{logs}") from error
            time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; held together for a moment so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
