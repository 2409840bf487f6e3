"""Whether an ONNX file computes what the network computes."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from seamline.exporting.packages import needed
from seamline.exporting.signatures import Signature, draw

TOLERANCE = 1e-4
"""Largest difference that passes, in shares of the largest number of the output, or of all labels."""
BATCHES = (1, 3)
"""Sizes of the batches that are tried; neither is the one that the graph was traced with."""


@torch.inference_mode()
def relative_errors(path: Path, module: nn.Module, signature: Signature) -> dict[int, float]:
    """Run a file in onnxruntime on the CPU beside its network.

    Args:
        path: The ONNX file.
        module: The network in this process, on the CPU.
        signature: Says what to draw.

    Returns:
        By size of the batch, the largest difference over the largest magnitude of what the network gives, or of labels
        the share that differs; NaN if either has one, infinity if the shapes differ.

    Raises:
        Precondition: onnxruntime is not installed.
    """
    onnxruntime = needed("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    errors = {}
    for seed, count in enumerate(BATCHES):
        inputs = draw(signature, count, seed)
        wanted = module(*inputs).numpy()
        feeds = {port.name: tensor.numpy() for port, tensor in zip(signature.inputs, inputs, strict=True)}
        (found,) = session.run([signature.output.name], feeds)
        errors[count] = _relative(found, wanted, signature.output.labels)
    return errors


def _relative(found: np.ndarray, wanted: np.ndarray, labels: bool) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    if labels:
        return float((found != wanted).mean())
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())
