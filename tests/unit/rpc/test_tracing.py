"""Tracing that is not asked for, and tracing that cannot be had; tests/integration/test_tracing.py has the rest."""

import subprocess
import sys

import pytest

from seamline.errors import InvalidInput
from seamline.rpc import tracing


def test_nothing_of_opentelemetry_is_loaded_unless_a_collector_is_named() -> None:
    program = (
        "import sys; from seamline.job import Job; from seamline.rpc import server, tracing; tracing.configure('x')\n"
        "with Job('align').step('fetch'): pass\n"
        "assert tracing.made('a', 'b').metadata == ()\n"
        "tracing.close(); print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], env={}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_a_collector_without_opentelemetry_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracing.ENDPOINT, "http://127.0.0.1:4317")
    monkeypatch.delitem(sys.modules, "seamline.rpc.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(InvalidInput, match=r"OTEL_EXPORTER_OTLP_ENDPOINT.*pip install 'seamline\[otel\]'"):
        tracing.configure("aligner")
