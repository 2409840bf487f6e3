"""What a frozen network costs in onnxruntime and in torch, on the CPU.

    seamline bundles export avatar-256 -o onnx/
    python -m bench.exports onnx/ --rounds 5

Prints a Markdown table. Both run the same batches on one thread in float32 and take turns; times are processor
milliseconds a row, the best of the rounds.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch

from seamline.bundles import load_bundle
from seamline.exporting.bundle import models_of, signature_of
from seamline.exporting.signatures import draw

BATCHES = (1, 8)
SIDES = {"detector": 4, "parsing": 13}
"""Seeds of the draws that give the free sides about what the pipeline has: 96 x 112, and 480 x 512 pixels."""


def seconds(run: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def compare(path: Path, bundle_name: str, rounds: int) -> list[float]:
    """Milliseconds a row: torch and onnxruntime for every batch."""
    bundle = load_bundle(bundle_name)
    signature, module = signature_of(bundle, path.stem), bundle.model(path.stem)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    figures = []
    for batch in BATCHES:
        inputs = draw(signature, batch, SIDES.get(path.stem, 0))
        feeds = {port.name: tensor.numpy() for port, tensor in zip(signature.inputs, inputs, strict=True)}
        inputs = [_placed(tensor) for tensor in inputs]
        ways = (lambda own=inputs: module(*own), lambda own=feeds: session.run(None, own))
        best = [min(times) for times in zip(*([seconds(way) for way in ways] for _ in range(rounds)), strict=True)]
        figures += [each / batch * 1e3 for each in best]
    return figures


def _placed(tensor: torch.Tensor) -> torch.Tensor:
    """As `Bundle.infer` gives it to the network."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.exports", description=__doc__)
    parser.add_argument("files", type=Path, help="what `seamline bundles export` wrote")
    parser.add_argument("--bundle", default="avatar-256")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print("| network | torch, 1 | onnxruntime, 1 | torch, 8 | onnxruntime, 8 |\n|---|---|---|---|---|")
    for name in models_of(load_bundle(asked.bundle)):
        path = asked.files / f"{name}.onnx"
        if path.is_file():
            figures = (f"{each:.2f}" for each in compare(path, asked.bundle, asked.rounds))
            print(f"| {name} | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()
