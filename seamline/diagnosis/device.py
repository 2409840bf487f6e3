"""Whether the device that a service is to compute on is there, and computes."""

import os
from contextlib import suppress
from pathlib import Path

import torch

from seamline.diagnosis.check import fault, ok, warning
from seamline.rpc.gpu import driver_version
from seamline.v1.diagnostics_pb2 import Check

SUBJECT = "device"
CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
"""What the kernel gives this container: microseconds of processor time in so many microseconds."""


def check_device(device: str) -> Check:
    """Computes something on it.

    Args:
        device: as torch names it: cpu, cuda, cuda:1.
    """
    return _check_cuda(device) if device.partition(":")[0] == "cuda" else _check_cpu(device)


def _check_cuda(device: str) -> Check:
    if torch.version.cuda is None:
        wanted = f"torch {torch.__version__} has no CUDA, and SEAMLINE_DEVICE is {device}"
        return fault(SUBJECT, wanted, "use the image that is built with DEVICE=cuda, or set SEAMLINE_DEVICE=cpu")
    try:
        torch.ones(8, device=device).sum().item()
        properties = torch.cuda.get_device_properties(device)
        free, total = torch.cuda.mem_get_info(device)
    except (RuntimeError, AssertionError) as error:
        said = str(error).partition("\n")[0]
        remedy = (
            f"torch is built for CUDA {torch.version.cuda}, the driver is {driver_version() or 'missing'}: "
            "look at nvidia-smi on the node, and whether the pod has a GPU"
        )
        return fault(SUBJECT, f"{device} does not compute: {said}", remedy)
    memory = f"{total / 2**30:.0f} GiB, {free / 2**30:.0f} GiB of them free"
    return ok(SUBJECT, f"{device} is {properties.name}, {memory}, driver {driver_version()}")


def _check_cpu(device: str) -> Check:
    threads, processors = torch.get_num_threads(), _processors()
    if torch.cuda.is_available():
        idle = f"computes on {device}, beside an idle {torch.cuda.get_device_name()}"
        return warning(SUBJECT, idle, "set SEAMLINE_DEVICE=cuda, or do not give this service a GPU")
    if threads > processors:
        crowded = f"{threads} threads share the {processors} processors that this service may use"
        return warning(SUBJECT, crowded, f"set SEAMLINE_THREADS={processors}")
    return ok(SUBJECT, f"{device} with {threads} thread{'' if threads == 1 else 's'}")


def _processors() -> int:
    """What this process may use: its affinity, or the limit of its container if that is less."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no cgroup of version 2, or "max" in place of a limit
        quota, period = map(int, CPU_MAX.read_text().split())
        allowed = min(allowed, max(1, quota // period))
    return allowed
