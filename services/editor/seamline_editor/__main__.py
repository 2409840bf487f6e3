"""Runs the editor service: python -m seamline_editor."""

from functools import partial

import grpc

from seamline.rpc.server import run
from seamline.storage import open_store
from seamline.v1.editor_pb2_grpc import add_EditorServiceServicer_to_server
from seamline_editor.config import EditorConfig
from seamline_editor.diagnosis import ask_replicas
from seamline_editor.servicer import EditorServicer


def main() -> None:
    config = EditorConfig.read()

    def register(server: grpc.aio.Server) -> None:
        add_EditorServiceServicer_to_server(EditorServicer(config, open_store(config.store)), server)

    run("editor", config, register, "seamline.v1.EditorService", partial(ask_replicas, config))


if __name__ == "__main__":
    main()
