"""Who may call: asked at the server's edge before anything of a call is done."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from seamline.errors import Forbidden, InvalidInput

UNGUARDED = "/grpc.health.v1."
"""Whoever probes has neither token nor certificate, and learns no more than whether the service serves."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """What is known of a caller before its request is read."""

    method: str
    """What it calls, as "/seamline.v1.EditorService/EditVideo"."""
    authorization: Sequence[str] = ()
    """What it sent as `authorization`, every time that it did."""
    names: Sequence[str] = ()
    """Names that the certificate it showed is for; none where it need not show any."""


class Admission:
    """One call that was let in."""

    client = ""
    """Who makes it, for the log; empty if nobody asked."""

    def charge(self, work: bytes, seconds: float) -> None:
        """Counts the video that the call turned out to be about.

        Args:
            work: by which a repetition of the call is known, that counts no more.
            seconds: of video.

        Raises:
            QuotaExceeded: it is more than the client may have.
        """

    def leave(self) -> None:
        """The call is over."""


UNASKED = Admission()
ADMISSION: ContextVar[Admission] = ContextVar("seamline_admission", default=UNASKED)
"""Of the call being served."""

Gate = Callable[[Caller], Admission]
"""Lets a call in; or raises Unauthenticated, Forbidden or QuotaExceeded."""


def open_gate(caller: Caller) -> Admission:
    """Lets everybody in."""
    return UNASKED


def named_only(names: Sequence[str], gate: Gate = open_gate) -> Gate:
    """A gate for those alone who show a certificate for one of some names.

    An authority issues to many: without it, whoever has a certificate of the same authority could call a stage past the
    editor and its quotas.
    """
    wanted = frozenset(names)

    def admit(caller: Caller) -> Admission:
        if wanted.isdisjoint(caller.names):
            shown = ", ".join(caller.names) or "no name"
            raise Forbidden(
                f"a certificate for {shown} may not call {caller.method}: this service is for others "
                "(SEAMLINE_TLS_CLIENT_NAMES)"
            )
        return gate(caller)

    return admit


def gate_of(client_names: str, client_ca: str, gate: Gate) -> Gate:
    """The gate that SEAMLINE_TLS_CLIENT_NAMES asks for, in front of another.

    Raises:
        InvalidInput: callers are to show a name, but no certificate.
    """
    names = [name.strip() for name in client_names.split(",") if name.strip()]
    if names and not client_ca:
        raise InvalidInput(
            "SEAMLINE_TLS_CLIENT_NAMES is set, but not SEAMLINE_TLS_CLIENT_CA, by which callers show a certificate",
            field="SEAMLINE_TLS_CLIENT_NAMES",
        )
    return named_only(names, gate) if names else gate


def names_of(auth_context: Mapping[str, Iterable[bytes]]) -> list[str]:
    """The names in a caller's certificate, as gRPC hands them on; its subject is for people and counts for nothing."""
    return [name.decode(errors="replace") for name in auth_context.get("x509_subject_alternative_name", ())]
