"""Whether what a service shows and trusts is in force, and for how long."""

from datetime import UTC, datetime

from seamline.diagnosis.check import fault_of, ok, warning
from seamline.errors import InvalidInput
from seamline.rpc.tls import Tls
from seamline.v1.diagnostics_pb2 import Check

SUBJECT = "tls"
LAST_PART = 0.1
"""Of a certificate's time; by then it should have been renewed, as cert-manager does when a third is left."""


def check_tls(tls: Tls) -> Check:
    """Reads all files again, as the service itself does when they change.

    Args:
        tls: of a service that serves or calls over TLS.
    """
    try:
        tls.server_credentials()
        tls.channel_credentials()
        validity = tls.validity()
    except InvalidInput as error:
        return fault_of(SUBJECT, error, "mend the files; until then what was read before stays in force")
    if validity is None:
        return ok(SUBJECT, "shows no certificate, and trusts authorities that are in force")
    begin, end = validity
    told = f"the certificate is valid until {end:%Y-%m-%d %H:%M} UTC"
    if end - datetime.now(UTC) < LAST_PART * (end - begin):
        return warning(SUBJECT, told, "renew it: see why what is to renew it has not")
    return ok(SUBJECT, told)
