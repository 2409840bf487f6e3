"""Runs the metrics service: python -m seamline_metrics."""

import grpc

from seamline.rpc.server import run
from seamline.storage import open_store
from seamline.v1.metrics_pb2_grpc import add_MetricsServiceServicer_to_server
from seamline_metrics.config import MetricsConfig
from seamline_metrics.servicer import MetricsServicer


def main() -> None:
    config = MetricsConfig.read()

    def register(server: grpc.aio.Server) -> None:
        add_MetricsServiceServicer_to_server(MetricsServicer(config, open_store(config.store)), server)

    run("metrics", config, register, "seamline.v1.MetricsService")


if __name__ == "__main__":
    main()
