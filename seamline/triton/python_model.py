"""What Triton's python backend runs: a network of an installed bundle, in torch.

Imported by the server alone, which brings the module `triton_python_backend_utils`. Tensors go both ways by DLPack:
with numpy 2 in the server's Python, the backend's own `as_numpy` gives other numbers without a word.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import triton_python_backend_utils as backend  # pyright: ignore[reportMissingImports]
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from seamline.bundles import load_bundle
from seamline.bundles.frozen import TorchNetwork
from seamline.errors import Precondition
from seamline.exporting.bundle import signature_of


class TritonPythonModel:
    """The interface of the backend: one object for each instance of a model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the network.

        Raises:
            Precondition: The bundle that is installed here is not the one that the repository was made of.
            NotFound, InvalidInput, DigestMismatch: See `Bundle.module`.
        """
        parameters = json.loads(args["model_config"])["parameters"]
        name, model, digest = (parameters[key]["string_value"] for key in ("bundle", "model", "bundle_sha256"))
        on_gpu = args["model_instance_kind"] == "GPU"
        device = f"cuda:{args['model_instance_device_id']}" if on_gpu else "cpu"
        search = os.environ.get("SEAMLINE_BUNDLES")
        bundle = load_bundle(name, Path(search) if search else None, device)
        if bundle.digest != digest:
            raise Precondition(
                f"{args['model_name']} was made of bundle {name} {digest[:12]}, installed is {bundle.digest[:12]}; "
                "run seamline triton export again, or install the same bundle here",
                bundle=name,
            )
        self._signature = signature_of(bundle, model)
        precision = bundle.manifest.networks[parameters["kind"]["string_value"]].precision
        self._network = TorchNetwork(bundle.model(model), torch.device(device), precision)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Run what the server batched together, as one batch."""
        try:
            inputs = [self._inputs(request) for request in requests]
            output = self._network.infer(*(torch.cat(parts) for parts in zip(*inputs, strict=True)))
            return [self._response(part) for part in output.cpu().split([len(own[0]) for own in inputs])]
        except Exception as error:  # the server must answer each of them
            refused = backend.TritonError(f"{type(error).__name__}: {error}")
            return [backend.InferenceResponse(output_tensors=[], error=refused) for _ in requests]

    def _inputs(self, request: Any) -> list[Tensor]:
        names = [port.name for port in self._signature.inputs]
        return [from_dlpack(backend.get_input_tensor_by_name(request, name).to_dlpack()) for name in names]

    def _response(self, output: Tensor) -> Any:
        tensor = backend.Tensor.from_dlpack(self._signature.output.name, output.contiguous().__dlpack__())
        return backend.InferenceResponse(output_tensors=[tensor])
