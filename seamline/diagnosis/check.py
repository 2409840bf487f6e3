"""How a finding is written down."""

from seamline.errors import SeamlineError
from seamline.v1.diagnostics_pb2 import Check, CheckOutcome


def ok(subject: str, finding: str) -> Check:
    """All is as it should be."""
    return Check(subject=subject, outcome=CheckOutcome.CHECK_OUTCOME_OK, finding=finding)


def warning(subject: str, finding: str, remedy: str) -> Check:
    """It works, but not as it should."""
    return Check(subject=subject, outcome=CheckOutcome.CHECK_OUTCOME_WARNING, finding=finding, remedy=remedy)


def fault(subject: str, finding: str, remedy: str) -> Check:
    """It does not work."""
    return Check(subject=subject, outcome=CheckOutcome.CHECK_OUTCOME_FAULT, finding=finding, remedy=remedy)


def fault_of(subject: str, error: SeamlineError, remedy: str) -> Check:
    """The fault that an error tells of.

    Args:
        subject: what was looked at.
        error: its message may end with what to do, after a semicolon.
        remedy: what to do if it does not.
    """
    finding, _, own = str(error).rpartition("; ")
    return fault(subject, finding or own, own if finding else remedy)
