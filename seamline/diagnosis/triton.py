"""Whether a Triton server has the models that a service asks it for."""

from pathlib import Path

from seamline.bundles import Bundle, load_bundle
from seamline.diagnosis.check import fault_of, ok
from seamline.errors import SeamlineError, ServiceUnavailable
from seamline.exporting.bundle import models_of
from seamline.rpc.tls import Tls
from seamline.triton.server import TritonServer
from seamline.v1.diagnostics_pb2 import Check, CheckOutcome

SUBJECT = "triton"
NEEDED = ("detector", "landmarks", "e4e", "parsing", "identity", "attributes")
"""Models that every edit asks for, if its bundle has them."""
NOT_ASKED = ("clip", "perceptual")
"""Models that are exported for others: services need the gradients of these networks, or never run them. What is in
neither list is asked for by some edits only."""

_REMEDY = "check SEAMLINE_TRITON, and see the server's log"


def check_triton(endpoint: str, tls: Tls, bundle: str, search: Path | None) -> Check:
    """Compares what the server says of each model with the bundle.

    Args:
        endpoint: as SEAMLINE_TRITON has it.
        tls: how to call it.
        bundle: name of an installed bundle; empty for the default.
        search: directory of the installed bundles.
    """
    try:
        server = TritonServer(endpoint, tls, patience_seconds=0.0)
        return _compared(server, load_bundle(bundle, search))
    except SeamlineError as error:
        return fault_of(SUBJECT, error, _REMEDY)


def _compared(server: TritonServer, bundle: Bundle) -> Check:
    """Raises ServiceUnavailable if the server does not answer."""
    names = [name for name in models_of(bundle) if name not in NOT_ASKED]
    wrong: dict[str, SeamlineError] = {}
    for name in names:
        try:
            server.served(bundle, name)
        except ServiceUnavailable:
            raise
        except SeamlineError as error:
            wrong[name] = error
    if not wrong:
        return ok(SUBJECT, f"{server.endpoint} serves {len(names)} models of {bundle.name} {bundle.digest[:12]}")
    needed = [name for name in wrong if name in NEEDED]
    first, *others = needed or wrong
    found = fault_of(SUBJECT, wrong[first], _REMEDY)
    if others:
        found.finding += f"; as wrong: {', '.join(others)}"
    if not needed:
        found.outcome = CheckOutcome.CHECK_OUTCOME_WARNING
        found.finding += ": edits that need it fail"
    return found
