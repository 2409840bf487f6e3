"""The table between errors and statuses; tests/integration/test_rpc_errors.py sends each over a socket."""

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import AioRpcError, Metadata

from seamline import errors
from seamline.rpc.errors import DOMAIN, TABLE, error_from_call, mapping_of, retry_seconds, status_of


def every_type(base: type[errors.SeamlineError] = errors.SeamlineError) -> list[type[errors.SeamlineError]]:
    return [base, *(kind for child in base.__subclasses__() for kind in every_type(child))]


def call_of(code: grpc.StatusCode, message: str, status: status_pb2.Status | None = None) -> AioRpcError:
    trailing = Metadata()
    if status is not None:
        trailing.add("grpc-status-details-bin", status.SerializeToString())
    return AioRpcError(code, Metadata(), trailing, details=message)


def call_with(error: errors.SeamlineError) -> AioRpcError:
    return call_of(mapping_of(error).code, status_of(error).message, status_of(error))


def test_every_error_of_the_tree_is_mapped_to_the_code_that_its_docstring_promises() -> None:
    assert errors.__doc__
    own = [kind for kind in every_type() if kind.__module__ == errors.__name__]
    assert set(own) == set(TABLE)
    promised = {
        words[0]: words[-1]
        for line in errors.__doc__.splitlines()
        if "── " in line and (words := line.split("── ")[1].split())
    }
    assert promised == {kind.__name__: TABLE[kind].code.name for kind in own if kind is not errors.SeamlineError}


def test_reasons_are_unique_and_shaped_as_google_asks() -> None:
    reasons = [mapping.reason for mapping in TABLE.values()]
    assert len(set(reasons)) == len(reasons)
    assert all(reason.replace("_", "").isupper() for reason in reasons)


def test_a_type_that_the_table_lacks_travels_as_its_nearest_base() -> None:
    class TooManyFaces(errors.NoFace):
        pass

    assert mapping_of(TooManyFaces("nine")) == TABLE[errors.NoFace]


def test_the_status_holds_reason_domain_metadata_and_field() -> None:
    status = status_of(errors.UnknownEdit("no edit “grin”", field="edits[0].name", bundle="avatar-256"))
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(bad)
    assert (info.domain, info.reason, dict(info.metadata)) == (
        DOMAIN,
        "UNKNOWN_EDIT",
        {"bundle": "avatar-256"},
    )
    assert [violation.field for violation in bad.field_violations] == ["edits[0].name"]
    assert (status.code, status.message) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], "no edit “grin”")


@pytest.mark.parametrize("letter", ["a", "ü", "🙂"])
def test_the_status_fits_into_headers_whatever_the_error_says(letter: str) -> None:
    long = letter * 30_000
    status = status_of(errors.NotFound(long, field=long, **{f"name{i}": long for i in range(50)}))
    percent_encoded = sum(1 if byte < 128 else 3 for byte in status.message.encode())
    assert percent_encoded + len(status.SerializeToString()) * 4 / 3 < 8000
    assert status.message.startswith(letter * 200)


def test_only_a_full_replica_invites_to_try_again() -> None:
    assert retry_seconds(call_with(errors.Overloaded("full"))) == 1
    assert retry_seconds(call_with(errors.StoreUnavailable("down"))) is None
    assert retry_seconds(call_of(grpc.StatusCode.RESOURCE_EXHAUSTED, "message too large")) is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.ServiceUnavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.Cancelled),
        (grpc.StatusCode.CANCELLED, errors.ServiceUnavailable),
        (grpc.StatusCode.UNIMPLEMENTED, errors.SeamlineError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.SeamlineError),
    ],
)
def test_a_status_that_no_service_made_names_the_endpoint(
    code: grpc.StatusCode, kind: type[errors.SeamlineError]
) -> None:
    error = error_from_call(call_of(code, "said the wire"), "stitcher:50051")
    assert type(error) is kind
    assert "stitcher:50051" in str(error)
    assert error.metadata == {"endpoint": "stitcher:50051", "code": code.name}


def test_the_endpoint_nearest_to_the_fault_is_kept() -> None:
    inner = errors.StoreUnavailable("no answer", endpoint="aligner:50051")
    assert error_from_call(call_with(inner), "editor:50051").metadata["endpoint"] == "aligner:50051"


def test_a_reason_of_a_newer_service_becomes_the_most_general_type_of_its_code() -> None:
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason="BLURRED_FACE", domain=DOMAIN))
    code = grpc.StatusCode.FAILED_PRECONDITION
    status = status_pb2.Status(code=code.value[0], message="too blurred", details=[info])
    error = error_from_call(call_of(code, "too blurred", status), "aligner:50051")
    assert type(error) is errors.Precondition
    assert str(error) == "too blurred"


def test_details_of_others_and_broken_details_are_not_taken_for_ours() -> None:
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason="NOT_FOUND", domain="googleapis.com"))
    code = grpc.StatusCode.NOT_FOUND
    foreign = status_pb2.Status(code=code.value[0], message="gone", details=[info])
    assert type(error_from_call(call_of(code, "gone", foreign), "proxy:1")) is errors.SeamlineError
    assert type(error_from_call(call_of(code, "changed", foreign), "proxy:1")) is errors.SeamlineError
    broken = AioRpcError(code, Metadata(), Metadata(("grpc-status-details-bin", b"\xff\xff")), details="gone")
    assert type(error_from_call(broken, "proxy:1")) is errors.SeamlineError
