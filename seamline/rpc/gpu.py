"""Metrics of the GPU that a service computes on, read when Prometheus asks.

torch knows the memory. How busy the device is, and which driver runs it, only the driver's management library (NVML)
knows; its C interface is called directly, since so few functions are no reason for a dependency.
"""

import ctypes
import logging
from collections.abc import Iterator
from contextlib import suppress

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

MEMORY = (
    ("seamline_gpu_memory_total_bytes", "Memory of the GPU."),
    ("seamline_gpu_memory_used_bytes", "Memory of the GPU in use, by whatever process."),
    ("seamline_gpu_memory_reserved_bytes", "Memory of the GPU that this service's allocator holds."),
)
UTILISATION = (
    "seamline_gpu_utilisation_ratio",
    "Share of the last moments in which the GPU computed, 0 to 1; absent where the driver does not say (MIG).",
)


def watch(device: str) -> None:
    """Adds the metrics of a CUDA device, named as torch names it; does nothing for any other."""
    if device.partition(":")[0] == "cuda":
        REGISTRY.register(GpuCollector(device))


class GpuCollector(Collector):
    """One CUDA device. The label `device` is its number in this process."""

    def __init__(self, device: str) -> None:
        """Waits with CUDA until the first scrape."""
        self._device = device

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The families without values: registering must not start CUDA."""
        return (GaugeMetricFamily(*family, labels=["device"]) for family in (*MEMORY, UTILISATION))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The values of now; none, and a line in the log, if there is no such device."""
        import torch  # only here: most services have no GPU to ask about

        try:
            device = torch.device(self._device)
            number = torch.cuda.current_device() if device.index is None else device.index
            free, total = torch.cuda.mem_get_info(number)
            uuid = torch.cuda.get_device_properties(number).uuid
        except (RuntimeError, AssertionError) as error:  # the second is what a build without CUDA raises
            logger.warning(f"cannot measure {self._device}: {error}")
            return
        values = (total, total - free, torch.cuda.memory_reserved(number))
        for family, value in zip(MEMORY, values, strict=True):
            yield _gauge(family, number, value)
        if (busy := utilisation(f"GPU-{uuid}")) is not None:
            yield _gauge(UTILISATION, number, busy)


def _gauge(family: tuple[str, str], number: int, value: float) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(*family, labels=["device"])
    gauge.add_metric([str(number)], value)
    return gauge


class _Utilisation(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


def utilisation(uuid: str) -> float | None:
    """How busy the GPU with this UUID was, 0 to 1; None if NVML is missing or does not know.

    By UUID, since NVML numbers the machine's devices, not those that CUDA_VISIBLE_DEVICES leaves.
    """
    with suppress(OSError, AttributeError):
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        handle, rates = ctypes.c_void_p(), _Utilisation()
        # nvmlInit counts its calls, and is cheap after the first.
        if (
            nvml.nvmlInit_v2() == 0
            and nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)) == 0
            and nvml.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(rates)) == 0
        ):
            return rates.gpu / 100
    return None


def driver_version() -> str:
    """The version of NVIDIA's driver; empty without one."""
    with suppress(OSError, AttributeError):
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        version = ctypes.create_string_buffer(96)
        if nvml.nvmlInit_v2() == 0 and nvml.nvmlSystemGetDriverVersion(version, len(version)) == 0:
            return version.value.decode(errors="replace")
    return ""
