"""A server that speaks Triton's protocol and runs a bundle in this process; what goes wrong, the test says."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import torch
from tritonclient.grpc import service_pb2, service_pb2_grpc

from seamline.bundles import Bundle
from seamline.exporting.bundle import properties_of, signature_of

DATATYPES = {"FP32": np.float32, "INT64": np.int64}


class BundleServer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Serves the models of one bundle.

    Attributes:
        endpoint: host:port; the same after `stop` and `start`.
        largest_batch: of every model.
        missing: models that it does not have, by their names in the bundle.
        digest: the bundle that it says its models are of.
        batches: (model, rows) of every inference, in order.
        fail: statuses that the next inferences are answered with.
        says: the message of these statuses.
        spoil: changes the output of inferences, if set.
        open: inferences wait while it is clear.
        asked: set when an inference has come.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.endpoint = "127.0.0.1:0"
        self.largest_batch = 2
        self.missing: set[str] = set()
        self.digest = bundle.digest
        self.batches: list[tuple[str, int]] = []
        self.fail: list[grpc.StatusCode] = []
        self.says = "asked to fail"
        self.spoil: Any = None
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Event()
        self._bundle = bundle
        self._server: grpc.Server | None = None

    def start(self, credentials: grpc.ServerCredentials | None = None) -> None:
        """Listens, at the port of before if there was one."""
        limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0), *limits])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, server)
        if credentials is None:
            port = server.add_insecure_port(self.endpoint)
        else:
            port = server.add_secure_port(self.endpoint, credentials)
        self.endpoint = f"127.0.0.1:{port}"
        server.start()
        self._server = server

    def stop(self) -> None:
        """Breaks every call off."""
        if self._server is not None:
            stopped = self._server.stop(None)
            self.open.set()
            stopped.wait()

    def ModelConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        name = self._model(request.name, context)
        answer = service_pb2.ModelConfigResponse()
        answer.config.name, answer.config.max_batch_size = request.name, self.largest_batch
        for key, value in (properties_of(self._bundle, name) | {"bundle_sha256": self.digest}).items():
            answer.config.parameters[key].string_value = value
        return answer

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        name = self._model(request.model_name, context)
        self.asked.set()
        self.open.wait()
        if self.fail:
            context.abort(self.fail.pop(0), self.says)
        inputs = [
            np.frombuffer(raw, DATATYPES[tensor.datatype]).reshape(tensor.shape)
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        ]
        assert [tensor.name for tensor in request.inputs] == [
            port.name for port in signature_of(self._bundle, name).inputs
        ]
        assert len(inputs[0]) <= self.largest_batch
        self.batches.append((name, len(inputs[0])))
        with torch.inference_mode():
            output = self._bundle.model(name)(*(torch.from_numpy(array.copy()) for array in inputs)).numpy()
        return _answer(request, self.spoil(output) if self.spoil else output)

    def _model(self, served: str, context: grpc.ServicerContext) -> str:
        bundle, _, name = served.partition(".")
        if bundle != self._bundle.name or name in self.missing:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{served}' is not found")
        return name


def _answer(request: Any, output: np.ndarray) -> Any:
    output = output[:, None] if output.ndim == 1 else output  # a row of Triton's has an axis at least
    answer = service_pb2.ModelInferResponse(model_name=request.model_name, model_version="1")
    datatype = "FP32" if output.dtype == np.float32 else "FP64"
    answer.outputs.add(name=request.outputs[0].name, datatype=datatype, shape=output.shape)
    answer.raw_output_contents.append(output.tobytes())
    return answer


@contextmanager
def serving(bundle: Bundle, credentials: grpc.ServerCredentials | None = None) -> Iterator[BundleServer]:
    """A server that listens within the block."""
    server = BundleServer(bundle)
    server.start(credentials)
    try:
        yield server
    finally:
        server.stop()
