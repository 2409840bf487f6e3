"""Runs the inverter service: python -m seamline_inverter."""

import grpc

from seamline.rpc.server import run
from seamline.storage import open_store
from seamline.v1.inverter_pb2_grpc import add_InverterServiceServicer_to_server
from seamline_inverter.config import InverterConfig
from seamline_inverter.servicer import InverterServicer


def main() -> None:
    """Serves until SIGTERM."""
    config = InverterConfig.read()

    def register(server: grpc.aio.Server) -> None:
        add_InverterServiceServicer_to_server(InverterServicer(config, open_store(config.store)), server)

    run("inverter", config, register, "seamline.v1.InverterService")


if __name__ == "__main__":
    main()
