"""The Prometheus metrics of a service, declared once; docs/monitoring.md says what to make of each.

The gRPC ones carry the names and labels of go-grpc-prometheus, so that existing dashboards and alerts
fit. Labels never hold a job, user, key or endpoint: each value comes from the code or the contract.
"""

from prometheus_client import Counter, Gauge, Histogram, Info

# A step lasts from milliseconds (already done, resumed) to an hour (tuning a long track).
_STEP_BUCKETS = (0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_CALL_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200)
_STORE_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LOSS_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_SEAM_BUCKETS = (0.001, 0.002, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2)
_IDENTITY_BUCKETS = (0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 1, 1.05, 1.25)
_CALL = ("grpc_type", "grpc_service", "grpc_method")

BUILD = Info("seamline_build", "What runs: the service, its version, and those of Python and torch.")

STAGE = Histogram(
    "seamline_stage_duration_seconds",
    "Wall seconds of one step of one stage.",
    ("stage", "step"),
    buckets=_STEP_BUCKETS,
)
FRAMES = Counter(
    "seamline_frames_processed_total",
    "Frames that a stage worked on; what an earlier call had finished is not counted again.",
    ("stage",),
)
OPTIMISER_STEPS = Counter(
    "seamline_optimiser_steps_total", "Optimiser steps taken, summed over the frames of each.", ("stage", "step")
)

RUNNING = Gauge("seamline_stages_running", "Stage calls that hold a worker thread now.", ("stage",))
CAPACITY = Gauge("seamline_stages_capacity", "Stage calls that this replica runs at a time.")
QUEUED = Gauge("seamline_stages_queued", "Stage calls that wait in this replica for a worker thread.", ("stage",))
QUEUE_CAPACITY = Gauge("seamline_stages_queue_capacity", "Stage calls that may wait in this replica.")
QUEUE_SECONDS = Histogram(
    "seamline_stage_queue_duration_seconds",
    "Seconds that a stage call waited in this replica until its work began.",
    ("stage",),
    buckets=_CALL_BUCKETS,
)
REFUSED = Counter(
    "seamline_stages_refused_total",
    "Stage calls refused: no thread was free, nor a place in the queue, or the replica was told to stop.",
    ("stage", "reason"),
)

WAITING = Gauge(
    "seamline_stage_calls_waiting",
    "Calls of this editor that every replica refused and that wait to ask again.",
    ("stage",),
)
RETRIES = Counter(
    "seamline_stage_retries_total",
    "Stage calls that this editor repeated: the replica refused, or it or the store was unavailable.",
    ("stage", "reason"),
)

LOSS = Histogram("seamline_final_loss", "A loss when its step ended.", ("stage", "step", "loss"), buckets=_LOSS_BUCKETS)
PSNR = Histogram(
    "seamline_final_psnr_decibels",
    "PSNR of the drawn crops against the source when the step ended.",
    ("stage", "step"),
    buckets=tuple(range(16, 46, 2)),
)
IDENTITY = Histogram(
    "seamline_identity_score",
    "Identity of an edited video: TL-ID, TG-ID (1 is ideal) and mean cosine similarity to the source.",
    ("score",),
    buckets=_IDENTITY_BUCKETS,
)
SEAM = Histogram(
    "seamline_seam_error",
    "Mean grey-level difference (0 to 1) from the source over an edited video's border, before and after stitching.",
    ("kind",),
    buckets=_SEAM_BUCKETS,
)

STORE_SECONDS = Histogram(
    "seamline_store_operation_duration_seconds",
    "Seconds of an operation on the object store, its repeats and failures included.",
    ("operation",),
    buckets=_STORE_BUCKETS,
)
STORE_BYTES = Counter("seamline_store_bytes_total", "Bytes written to and read from the object store.", ("operation",))
STORE_FAILURES = Counter(
    "seamline_store_failures_total", "Operations on the object store that failed.", ("operation", "error")
)

REMOTE_SECONDS = Histogram(
    "seamline_triton_request_duration_seconds",
    "Seconds of a request to Triton, its repeats and failures included.",
    ("model",),
    buckets=_STORE_BUCKETS,
)
REMOTE_RETRIES = Counter(
    "seamline_triton_retries_total", "Requests to Triton that were repeated because it was away.", ("model",)
)

CERTIFICATE_EXPIRY = Gauge(
    "seamline_certificate_expiry_timestamp_seconds",
    "When the certificate that the service serves with ends to be valid, in Unix time; 0 without TLS.",
)

STARTED = Counter("grpc_server_started_total", "Calls started on the server.", _CALL)
HANDLED = Counter("grpc_server_handled_total", "Calls completed on the server.", (*_CALL, "grpc_code"))
RECEIVED = Counter("grpc_server_msg_received_total", "Messages received from callers.", _CALL)
SENT = Counter("grpc_server_msg_sent_total", "Messages sent to callers.", _CALL)
HANDLING = Histogram(
    "grpc_server_handling_seconds",
    "Seconds from the start of a call until its status is known.",
    _CALL,
    buckets=_CALL_BUCKETS,
)
