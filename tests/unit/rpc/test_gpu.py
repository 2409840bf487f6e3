"""Metrics of a GPU that is not there: torch is told what to say, and NVML is a compiled stand-in."""

import ctypes
import logging
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from prometheus_client import CollectorRegistry, generate_latest

from seamline.rpc.gpu import GpuCollector

NVML = """
#include <string.h>
struct rates { unsigned gpu, memory; };
static int device = 7, begun;
int nvmlInit_v2(void) { begun = 1; return 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    *handle = &device;
    return !begun || strcmp(uuid, "GPU-5c0e");
}
int nvmlDeviceGetUtilizationRates(void *handle, struct rates *rates) {
    rates->gpu = 73; rates->memory = 11;
    return handle != &device;
}
"""


@pytest.fixture
def nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, library = tmp_path / "nvml.c", tmp_path / "libnvidia-ml.so.1"
    source.write_text(NVML)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    load = ctypes.CDLL
    monkeypatch.setattr(ctypes, "CDLL", lambda name: load(str(tmp_path / name)))


@pytest.fixture
def uuid(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    properties = SimpleNamespace(uuid="5c0e")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (30, 100))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda number: 50)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: properties)
    return properties


def scraped() -> list[str]:
    registry = CollectorRegistry()
    registry.register(GpuCollector("cuda:1"))
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


MEMORY = [
    'seamline_gpu_memory_total_bytes{device="1"} 100.0',
    'seamline_gpu_memory_used_bytes{device="1"} 70.0',
    'seamline_gpu_memory_reserved_bytes{device="1"} 50.0',
]


@pytest.mark.usefixtures("nvml")
def test_memory_and_utilisation(uuid: SimpleNamespace) -> None:
    assert scraped() == [*MEMORY, 'seamline_gpu_utilisation_ratio{device="1"} 0.73']
    uuid.uuid = "a device that NVML does not know"
    assert scraped() == MEMORY


@pytest.mark.usefixtures("uuid")
def test_without_nvml_the_memory_is_still_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    load = ctypes.CDLL
    monkeypatch.setattr(ctypes, "CDLL", lambda name: load(str(tmp_path / name)))
    assert scraped() == MEMORY


def test_a_missing_gpu_does_not_break_the_page(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(number: int) -> None:
        raise RuntimeError("no such device")

    monkeypatch.setattr(torch.cuda, "mem_get_info", missing)
    with caplog.at_level(logging.WARNING):
        assert scraped() == []
    assert "cannot measure cuda:1: no such device" in caplog.text
