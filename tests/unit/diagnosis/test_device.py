"""What is found of devices that this machine has and has not."""

from types import SimpleNamespace

import pytest
import torch

from seamline.diagnosis import device as diagnosis
from seamline.diagnosis.device import check_device
from seamline.v1.diagnostics_pb2 import CheckOutcome

OK, WARNING, FAULT = (
    CheckOutcome.CHECK_OUTCOME_OK,
    CheckOutcome.CHECK_OUTCOME_WARNING,
    CheckOutcome.CHECK_OUTCOME_FAULT,
)


@pytest.fixture(autouse=True)
def no_limits(monkeypatch, tmp_path):
    monkeypatch.setattr(diagnosis, "CPU_MAX", tmp_path / "cpu.max")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(diagnosis.os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_a_processor_is_always_there():
    found = check_device("cpu")
    assert (found.outcome, found.finding) == (OK, "cpu with 2 threads")


@pytest.mark.parametrize(("limit", "remedy"), [("150000 100000", "SEAMLINE_THREADS=1"), ("max 100000", "")])
def test_more_threads_than_the_container_may_run_are_a_warning(limit, remedy):
    diagnosis.CPU_MAX.write_text(limit + "\n")
    found = check_device("cpu")
    assert found.outcome == (WARNING if remedy else OK)
    assert remedy in found.remedy


def test_an_idle_gpu_is_a_warning(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H100")
    found = check_device("cpu")
    assert (found.outcome, "H100" in found.finding) == (WARNING, True)


def test_a_build_without_cuda_names_the_image(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    found = check_device("cuda")
    assert found.outcome == FAULT
    assert "no CUDA" in found.finding
    assert "DEVICE=cuda" in found.remedy


def test_a_gpu_that_is_not_there_is_a_fault_of_one_line(monkeypatch):
    def missing(*args, **kwargs):
        raise RuntimeError("CUDA error: no device\nCUDA kernel errors might be reported elsewhere")

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch, "ones", missing)
    monkeypatch.setattr(diagnosis, "driver_version", lambda: "")
    found = check_device("cuda:1")
    assert found.outcome == FAULT
    assert found.finding == "cuda:1 does not compute: CUDA error: no device"
    assert "the driver is missing" in found.remedy


def test_a_gpu_is_told_with_its_memory_and_driver(monkeypatch):
    ones = torch.ones
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch, "ones", lambda count, device: ones(count))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(name="H100"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (70 << 30, 80 << 30))
    monkeypatch.setattr(diagnosis, "driver_version", lambda: "580.1")
    found = check_device("cuda")
    assert (found.outcome, found.finding) == (OK, "cuda is H100, 80 GiB, 70 GiB of them free, driver 580.1")
