"""The Prometheus metrics of a service, declared once.

The gRPC ones carry the names and labels of go-grpc-prometheus, so that existing dashboards and alerts
fit. Labels never hold a job, user, key or endpoint: each value comes from the code or the contract.
"""

from prometheus_client import Counter, Gauge, Histogram

# A step lasts from milliseconds (already done, resumed) to an hour (tuning a long track).
_STEP_BUCKETS = (0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_CALL_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200)
_CALL = ("grpc_type", "grpc_service", "grpc_method")

STAGE = Histogram(
    "seamline_stage_duration_seconds",
    "Wall seconds of one step of one stage.",
    ("stage", "step"),
    buckets=_STEP_BUCKETS,
)
RUNNING = Gauge("seamline_stages_running", "Stage calls that hold a worker thread now.", ("stage",))
CAPACITY = Gauge("seamline_stages_capacity", "Stage calls that this replica runs at a time.")
REFUSED = Counter("seamline_stages_refused_total", "Stage calls refused: no worker was free.", ("stage",))

STARTED = Counter("grpc_server_started_total", "Calls started on the server.", _CALL)
HANDLED = Counter("grpc_server_handled_total", "Calls completed on the server.", (*_CALL, "grpc_code"))
HANDLING = Histogram(
    "grpc_server_handling_seconds",
    "Seconds from the start of a call until its status is known.",
    _CALL,
    buckets=_CALL_BUCKETS,
)
