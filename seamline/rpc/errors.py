"""The one table between Seamline's errors and gRPC statuses, in both directions.

A failed call carries google.rpc details: ErrorInfo (domain "seamline", a reason per type, the metadata of the
error), BadRequest (the field at fault) and RetryInfo (when a replica is full, or a quota used up). From these the
client raises the service's error again.
"""

from typing import NamedTuple, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from seamline import errors

DOMAIN = "seamline"

# A status travels in HTTP/2 headers, of which peers accept 8 KiB: the message twice (percent-encoded, and in
# the details), the details in base64.
MESSAGE_LIMIT = 1000
VALUE_LIMIT = 200
VALUES_LIMIT = 8


class Mapping(NamedTuple):
    """How one type of error travels."""

    code: grpc.StatusCode
    reason: str


TABLE: dict[type[errors.SeamlineError], Mapping] = {
    errors.SeamlineError: Mapping(grpc.StatusCode.INTERNAL, "INTERNAL"),
    errors.InvalidInput: Mapping(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT"),
    errors.UnreadableVideo: Mapping(grpc.StatusCode.INVALID_ARGUMENT, "UNREADABLE_VIDEO"),
    errors.UnknownEdit: Mapping(grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_EDIT"),
    errors.NotFound: Mapping(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    errors.DigestMismatch: Mapping(grpc.StatusCode.DATA_LOSS, "DIGEST_MISMATCH"),
    errors.Precondition: Mapping(grpc.StatusCode.FAILED_PRECONDITION, "PRECONDITION"),
    errors.NoFace: Mapping(grpc.StatusCode.FAILED_PRECONDITION, "NO_FACE"),
    errors.StoreUnavailable: Mapping(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"),
    errors.ServiceUnavailable: Mapping(grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
    errors.Overloaded: Mapping(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
    errors.QuotaExceeded: Mapping(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED"),
    errors.Unauthenticated: Mapping(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
    errors.Forbidden: Mapping(grpc.StatusCode.PERMISSION_DENIED, "FORBIDDEN"),
    errors.Cancelled: Mapping(grpc.StatusCode.CANCELLED, "CANCELLED"),
}
_LATER = (errors.Overloaded, errors.QuotaExceeded)
"""What may be well after a while, which they name."""

_TYPES = {mapping.reason: kind for kind, mapping in TABLE.items()}

# What a status without our details means: gRPC itself made it, or something between us and the service. A
# bare CANCELLED is that of a server which ends with calls unfinished; the caller's own raises no AioRpcError.
_BARE = {
    grpc.StatusCode.UNAVAILABLE: errors.ServiceUnavailable,
    grpc.StatusCode.CANCELLED: errors.ServiceUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.Cancelled,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: errors.Forbidden,
}


def mapping_of(error: errors.SeamlineError) -> Mapping:
    """The mapping of the error's type, or of the nearest base that the table has."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


def status_of(error: errors.SeamlineError) -> status_pb2.Status:
    """The google.rpc.Status of an error, small enough for headers."""
    code, reason = mapping_of(error)
    message = _cut(str(error), MESSAGE_LIMIT)
    values = {name: _cut(value, VALUE_LIMIT) for name, value in list(error.metadata.items())[:VALUES_LIMIT]}
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=values)]
    if error.field:
        # The description would repeat the message, and headers are small.
        violation = error_details_pb2.BadRequest.FieldViolation(field=_cut(error.field, VALUE_LIMIT))
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, _LATER) and error.retry_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(error.retry_seconds * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    # grpc.StatusCode values are (number, name); google.rpc numbers them alike.
    return status_pb2.Status(
        code=code_pb2.Code.ValueType(code.value[0]), message=message, details=[_packed(d) for d in details]
    )


async def abort(context: grpc.aio.ServicerContext, error: errors.SeamlineError) -> NoReturn:
    """Ends the call with the error's status. Always raises gRPC's own abort exception."""
    status = rpc_status.to_status(status_of(error))
    await context.abort(status.code, status.details, status.trailing_metadata)
    raise AssertionError("abort returned")


def error_from_call(call: grpc.aio.AioRpcError, endpoint: str) -> errors.SeamlineError:
    """The error that the service raised, or what gRPC says when the service said nothing.

    Args:
        call: what a call on a stub raised.
        endpoint: where the call went; the error's metadata names the endpoint at which it arose.
    """
    status = _status(call)
    info = error_details_pb2.ErrorInfo()
    if status is None or not _unpack(status, info) or info.domain != DOMAIN:
        return _bare_error(call, endpoint)
    bad = error_details_pb2.BadRequest()
    field = bad.field_violations[0].field if _unpack(status, bad) and bad.field_violations else ""
    kind = _TYPES.get(info.reason) or _newer_type(call.code())
    error = kind(status.message, field=field)
    error.metadata = {**info.metadata, "endpoint": info.metadata.get("endpoint", endpoint)}
    if isinstance(error, _LATER) and (seconds := retry_seconds(call)) is not None:
        error.retry_seconds = seconds
    return error


def retry_seconds(call: grpc.aio.AioRpcError) -> float | None:
    """Seconds that the service asks to wait, or None if the status does not invite to try again."""
    status, retry = _status(call), error_details_pb2.RetryInfo()
    if status is None or not _unpack(status, retry):
        return None
    return retry.retry_delay.ToMilliseconds() / 1000


def _bare_error(call: grpc.aio.AioRpcError, endpoint: str) -> errors.SeamlineError:
    kind = _BARE.get(call.code(), errors.SeamlineError)
    said = f"{call.code().name}: {call.details() or 'no details'}"
    if kind is errors.ServiceUnavailable:
        text = f"{endpoint} does not answer ({said}); check the address and that the service runs"
    elif call.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        text = f"the deadline of the call to {endpoint} passed; repeat it to go on from what is finished"
    else:
        text = f"the call to {endpoint} failed ({said})"
    return kind(text, endpoint=endpoint, code=call.code().name)


def _newer_type(code: grpc.StatusCode) -> type[errors.SeamlineError]:
    """The most general type of a code, for a reason that only a newer service knows."""
    return next((kind for kind, mapping in TABLE.items() if mapping.code is code), errors.SeamlineError)


def _status(call: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    try:
        return rpc_status.from_call(call)  # pyright: ignore[reportArgumentType]  (it has a Call's getters)
    except (ValueError, DecodeError):  # a proxy changed the status, or the details are not ours
        return None


def _unpack(status: status_pb2.Status, into: Message) -> bool:
    return any(detail.Unpack(into) for detail in status.details)


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _cut(text: str, limit: int) -> str:
    """The text in at most `limit` bytes of UTF-8, marked where it was cut."""
    data = text.encode(errors="replace")
    return text if len(data) <= limit else data[: limit - 3].decode(errors="ignore") + "…"
