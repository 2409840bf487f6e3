"""Runs the stitcher service: python -m seamline_stitcher."""

import grpc

from seamline.rpc.server import run
from seamline.storage import open_store
from seamline.v1.stitcher_pb2_grpc import add_StitcherServiceServicer_to_server
from seamline_stitcher.config import StitcherConfig
from seamline_stitcher.servicer import StitcherServicer


def main() -> None:
    """Serves until SIGTERM."""
    config = StitcherConfig.read()

    def register(server: grpc.aio.Server) -> None:
        servicer = StitcherServicer(config, open_store(config.store))
        servicer.warm()
        add_StitcherServiceServicer_to_server(servicer, server)

    run("stitcher", config, register, "seamline.v1.StitcherService")


if __name__ == "__main__":
    main()
