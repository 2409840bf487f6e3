"""Asks a service whether it serves: exit status 0 if so. Where there is no gRPC probe as Kubernetes has one.

python /app/probe.py [host:port]

Without an address it asks the service of this machine: at SEAMLINE_HEALTH_PORT, which never speaks TLS, if there is
one, else at SEAMLINE_PORT.
"""

import os
import sys

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

TIMEOUT_SECONDS = 5.0


def probe(endpoint: str) -> str:
    """The health of the server at an endpoint, SERVING if all is well, or why it cannot be had."""
    with grpc.insecure_channel(endpoint) as channel:
        try:
            answer = HealthStub(channel).Check(HealthCheckRequest(), timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            return str(error)
        return HealthCheckResponse.ServingStatus.Name(answer.status)


def endpoint_here() -> str:
    """Where the service of this machine answers plaintext."""
    port = os.environ.get("SEAMLINE_HEALTH_PORT") or os.environ.get("SEAMLINE_PORT") or "50051"
    return f"127.0.0.1:{port}"


if __name__ == "__main__":
    health = probe(sys.argv[1] if len(sys.argv) > 1 else endpoint_here())
    print(health)
    sys.exit(health != "SERVING")
