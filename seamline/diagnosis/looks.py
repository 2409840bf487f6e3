"""Everything that a service looks at."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from seamline.diagnosis import bundle, certificates, device, store, triton
from seamline.rpc.config import ServerConfig
from seamline.rpc.tls import Tls
from seamline.v1.diagnostics_pb2 import Check, DiagnoseRequest


@dataclass(frozen=True, kw_only=True)
class Look:
    """One thing to look at."""

    subject: str
    find: Callable[[], Check]
    """May take long, and may be called from any thread."""
    limit_seconds: float
    """After which it is a fault that nothing was found."""
    remedy: str
    """What to do then."""


def looks(config: ServerConfig, request: DiagnoseRequest, *, computes: bool) -> list[Look]:
    """What one service looks at.

    Args:
        config: of the service.
        request: names the bundle, and what the caller has put into the store.
        computes: whether it runs networks by itself.
    """
    found = [
        Look(
            subject=store.SUBJECT,
            find=partial(store.check_store, config.store, request.probe),
            limit_seconds=20.0,
            remedy="look whether the store answers at all, and at the network between",
        ),
        Look(
            subject=bundle.SUBJECT,
            find=partial(bundle.check_bundle, request.bundle, config.bundles_path),
            limit_seconds=120.0,
            remedy="look at the volume that the bundles are on: it hardly answers",
        ),
    ]
    if computes:
        found.append(
            Look(
                subject=device.SUBJECT,
                find=partial(device.check_device, config.device),
                limit_seconds=60.0,
                remedy="look at nvidia-smi on the node: the GPU does not answer",
            )
        )
    if computes and config.triton:
        found.append(
            Look(
                subject=triton.SUBJECT,
                find=partial(triton.check_triton, config.triton, config.tls, request.bundle, config.bundles_path),
                limit_seconds=30.0,
                remedy="check SEAMLINE_TRITON, and whether the server is overloaded",
            )
        )
    if config.tls != Tls():
        found.append(
            Look(
                subject=certificates.SUBJECT,
                find=partial(certificates.check_tls, config.tls),
                limit_seconds=20.0,
                remedy="look at the volume that the certificates are on: it hardly answers",
            )
        )
    return found
