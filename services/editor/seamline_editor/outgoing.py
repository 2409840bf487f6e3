"""A result from the store to an address."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from seamline.job import Job
from seamline.storage import Store, fetch_object
from seamline.v1.media_pb2 import ArtifactRef, Timing
from seamline_editor.addresses import Address
from seamline_editor.connections import Bounds
from seamline_editor.transfer import upload


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """What delivering gives."""

    timing: Timing


def deliver(store: Store, result: ArtifactRef, kind: str, address: Address, bounds: Bounds, job: Job) -> Delivered:
    """Sends an object of the store to an address; a repeated call sends it again.

    Args:
        store: where it is.
        result: what is sent.
        kind: its Content-Type.
        address: where to.
        bounds: what that may cost.
        job: the call.

    Raises:
        NotFound, DigestMismatch, StoreUnavailable: as `fetch_object`.
        SeamlineError: as `upload`.
    """
    with TemporaryDirectory(prefix="seamline-deliver-") as directory:
        path = Path(directory) / "result"
        with job.step("read"):
            fetch_object(store, result, path)
        upload(address, path, kind, bounds, job)
    return Delivered(timing=Timing(step_seconds=job.seconds))
