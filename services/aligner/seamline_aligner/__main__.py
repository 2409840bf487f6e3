"""Runs the aligner service: python -m seamline_aligner."""

import grpc

from seamline.rpc.server import run
from seamline.storage import open_store
from seamline.v1.aligner_pb2_grpc import add_AlignerServiceServicer_to_server
from seamline_aligner.config import AlignerConfig
from seamline_aligner.servicer import AlignerServicer


def main() -> None:
    config = AlignerConfig.read()

    def register(server: grpc.aio.Server) -> None:
        add_AlignerServiceServicer_to_server(AlignerServicer(config, open_store(config.store)), server)

    run("aligner", config, register, "seamline.v1.AlignerService")


if __name__ == "__main__":
    main()
