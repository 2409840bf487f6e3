"""What a Triton server's refusals mean."""

from typing import TYPE_CHECKING

from seamline.errors import Precondition, SeamlineError, ServiceUnavailable

if TYPE_CHECKING:
    from tritonclient.utils import InferenceServerException

AWAY = ("StatusCode.UNAVAILABLE", "StatusCode.CANCELLED")
"""Nobody answers, or the server stops."""
LATE = "StatusCode.DEADLINE_EXCEEDED"
UNKNOWN = "StatusCode.NOT_FOUND"
INTERNAL = "StatusCode.INTERNAL"
STUB = "Stub process"
"""What the python backend calls the process of a model, when it complains of it."""


def error_of(failure: "InferenceServerException", endpoint: str, model: str) -> SeamlineError:
    """The error of a request that failed.

    Args:
        failure: what the client raised.
        endpoint: the server's.
        model: as the server calls it, that is, bundle.network.
    """
    status, said = failure.status(), failure.message()
    if status in AWAY:
        kind, what = ServiceUnavailable, f"does not answer for model {model}"
        remedy = "check SEAMLINE_TRITON and that the server runs"
    elif status == LATE:
        kind, what = ServiceUnavailable, f"did not answer for model {model} in time"
        remedy = "look whether the server is overloaded"
    elif status == UNKNOWN:
        kind, what = Precondition, f"has no model {model}"
        remedy = f"run seamline triton export {model.rpartition('.')[0]}, and let the server read what it writes"
    elif status == INTERNAL and STUB in said:
        kind, what = ServiceUnavailable, f"has lost the process of model {model}"
        remedy = "restart the server: it does not start the process again by itself"
    else:
        kind, what, remedy = SeamlineError, f"failed on model {model}", "its log says more"
    return kind(f"Triton at {endpoint} {what} ({said}); {remedy}", endpoint=endpoint, model=model)
