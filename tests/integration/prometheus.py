"""A real Prometheus on this machine, with the rules as shipped and other targets."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.programs import installed

SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
SECONDS_TO_START = 60
SECONDS_TO_STOP = 10
COMPONENT = "app_kubernetes_io_component"


@dataclass(frozen=True, kw_only=True)
class Prometheus:
    """A running server."""

    url: str
    log: Path

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its HTTP API."""
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}") as response:
            answer = json.load(response)
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, query: str) -> list[tuple[dict[str, str], float]]:
        """(labels, value) of an instant vector."""
        found = self.get("query", query=query)["result"]
        return [(sample["metric"], float(sample["value"][1])) for sample in found]

    def awaited(self, query: str) -> list[tuple[dict[str, str], float]]:
        """The same, once there is something in it: scrapes come every second."""
        return self.awaited_value(query, bool)

    def awaited_value(
        self, query: str, right: Callable[[list[tuple[dict[str, str], float]]], bool], seconds: float = 60
    ) -> list[tuple[dict[str, str], float]]:
        """The same, once it is right."""
        deadline = time.monotonic() + seconds
        while not right(found := self.query(query)):
            assert time.monotonic() < deadline, f"{query} stays {found}; log: {self.log.read_text()[-2000:]}"
            time.sleep(0.2)
        return found


@contextmanager
def prometheus(folder: Path, targets: Sequence[tuple[str, int]]) -> Iterator[Prometheus]:
    """Starts it on a free port; it scrapes every target on loopback, every second.

    Args:
        folder: for its configuration, data and log; made if it is missing.
        targets: component and metrics port of each replica that is to be scraped.
    """
    program = installed("prometheus", "prometheus")
    folder.mkdir(parents=True, exist_ok=True)
    config, log, port = folder / "prometheus.yaml", folder / "prometheus.log", _free_port()
    config.write_text(yaml.safe_dump(configuration(targets)))
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/-/ready", process, log)
        yield Prometheus(url=url, log=log)
    finally:
        process.terminate()
        try:
            process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def configuration(targets: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """The shipped configuration, faster and with other targets."""
    config = yaml.safe_load((SHIPPED / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(SHIPPED / files) for files in config["rule_files"]]
    (scrape,) = config["scrape_configs"]
    shipped = {target["labels"][COMPONENT] for target in scrape["static_configs"]}
    assert {component for component, _ in targets} <= shipped
    scrape["static_configs"] = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {COMPONENT: component}} for component, port in targets
    ]
    return config


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Prometheus does not answer at {url}: {log.read_text()[-2000:]}") from error
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]
