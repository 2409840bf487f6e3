"""Every error that Seamline raises on purpose.

    SeamlineError
    ├── InvalidInput          the request, a file or an option is wrong           INVALID_ARGUMENT
    │   ├── UnreadableVideo   the bytes are not a video that can be decoded       INVALID_ARGUMENT
    │   └── UnknownEdit       the bundle has no such edit, or not that strong     INVALID_ARGUMENT
    ├── NotFound              an object, artifact or bundle does not exist        NOT_FOUND
    ├── DigestMismatch        bytes differ from the digest that names them        DATA_LOSS
    ├── Precondition          valid input that cannot be worked on as it is       FAILED_PRECONDITION
    │   └── NoFace            no frame of the video shows a face                  FAILED_PRECONDITION
    ├── StoreUnavailable      the object store does not answer or refuses us      UNAVAILABLE
    ├── ServiceUnavailable    a service that this one calls does not answer       UNAVAILABLE
    ├── Overloaded            this replica has no room; try another, or later     RESOURCE_EXHAUSTED
    ├── QuotaExceeded         the client has had all that it may have for now     RESOURCE_EXHAUSTED
    ├── Unauthenticated       the caller does not say, or prove, who it is        UNAUTHENTICATED
    ├── Forbidden             we know the caller, and it may not do this          PERMISSION_DENIED
    └── Cancelled             the caller went away or the deadline passed         CANCELLED

`seamline.rpc.errors` maps them to gRPC status and back, so a client sees the error that the service raised.
"""


class SeamlineError(Exception):
    """Base of all. The message says what was wrong, where (field, key, frame, endpoint) and what to do.

    Attributes:
        field: the request field or option that is at fault, dotted as in the proto; empty if none is.
        metadata: names and values (bucket, key, frame, ...) for programs that read the error.
    """

    def __init__(self, message: str, *, field: str = "", **metadata: object) -> None:
        super().__init__(message)
        self.field = field
        self.metadata = {name: str(value) for name, value in metadata.items()}


class InvalidInput(SeamlineError):
    """The request, a file or an option is wrong; repeating the call will not help."""


class UnreadableVideo(InvalidInput):
    """The bytes are not a video that can be decoded."""


class UnknownEdit(InvalidInput):
    """The bundle has no edit of that name, or its strength is out of range."""


class NotFound(SeamlineError):
    """An object, artifact or bundle does not exist."""


class DigestMismatch(SeamlineError):
    """Bytes read differ from the digest that names them."""


class Precondition(SeamlineError):
    """Valid input that cannot be worked on as it is."""


class NoFace(Precondition):
    """No frame of the video shows a face that the landmark backend finds."""


class StoreUnavailable(SeamlineError):
    """The object store does not answer, or refuses the credentials."""


class ServiceUnavailable(SeamlineError):
    """A service does not answer at its endpoint; repeating the call later may help."""


class Overloaded(SeamlineError):
    """This replica has no room for more work now.

    Attributes:
        retry_seconds: what to wait before asking it again; another replica may be asked at once.
    """

    retry_seconds: float = 1.0


class QuotaExceeded(SeamlineError):
    """The client has had all that it may have for now.

    Attributes:
        retry_seconds: after what time some of it is free again; None if waiting does not help.
    """

    retry_seconds: float | None = None


class Unauthenticated(SeamlineError):
    """The caller does not say who it is, or cannot prove it."""


class Forbidden(SeamlineError):
    """The caller is known, and may not do this."""


class Cancelled(SeamlineError):
    """The caller went away or its deadline passed; the work stopped."""
