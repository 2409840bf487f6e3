"""What one optimiser step costs a frame: tuned in batches, and the way of the original code, side by side.

    nice python bench/tuning.py [--bundle avatar-256] [--threads 2] [--rounds 3] [--allocator services]

Ours is tuned with the bundle's own settings. The original way is one frame at a time in float32, styles folded
into the filters, Adam not fused and the filters in PyTorch's own layout. Both have the memory allocator of the
services, or with --allocator default that of any other program. They take turns, so that other load on the machine
falls on both. On a busy machine use --threads 1 and read the processor's time: threads that wait for each other
there distort everything else.
"""

import argparse
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from seamline_inverter.options import inversion_config
from seamline_inverter.pivotal_tuning import PivotalTuning, TuningConfig
from seamline_stitcher.stitching_tuning import Goal, StitchingConfig, stitch
from torch import Tensor

from seamline.bundles import Bundle, load_bundle
from seamline.deployment import ALLOCATOR
from seamline.editing.edit import EditedCodes
from seamline.networks.modulated_conv import convolve
from seamline.tuning import to_images
from seamline.v1.inverter_pb2 import InvertOptions

FRAMES = 36
"""As many as, in the demo, share a copy of the generator in stitching tuning."""
STEPS = 4
"""Optimiser steps of a frame in one turn of stitching tuning, which begins with a copy and ends with a drawing."""
ADAM = torch.optim.Adam


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to take an optimiser step, and the frames that it serves."""

    name: str
    step: Callable[[], object]
    frames: int

    def milliseconds(self) -> tuple[float, float]:
        """Wall time and processor time of one step per frame."""
        start, processor = time.perf_counter(), time.process_time()
        self.step()
        spent = (time.perf_counter() - start, time.process_time() - processor)
        return spent[0] * 1000 / self.frames, spent[1] * 1000 / self.frames


def folded(
    x: Tensor, weight: Tensor, inputs: Tensor, outputs: Tensor | None, resample_filter: Tensor | None = None
) -> Tensor:
    """Modulated convolution as the original has it: every sample's styles folded into filters of its own."""
    own = weight * inputs[:, None, :, None, None]
    return convolve(x, own if outputs is None else own * outputs[:, :, None, None, None], resample_filter)


def original(step: Callable[[], object]) -> Callable[[], object]:
    """The step with the original's convolution."""

    def run() -> object:
        with patch("seamline.networks.stylegan2.modulated_conv", folded):
            return step()

    return run


def pivotal(bundle: Bundle, pivots: Tensor, crops: NDArray[np.uint8]) -> list[Way]:
    """Both ways of pivotal tuning."""
    images, frames = to_images(crops, pivots.device), torch.arange(len(crops))
    config = inversion_config(bundle.defaults["invert"], InvertOptions()).tuning
    perceptual = bundle.module("perceptual")
    ours = PivotalTuning(bundle.generator(), perceptual, config)
    theirs = PivotalTuning(bundle.generator(), perceptual, TuningConfig())
    theirs.generator.to(memory_format=torch.contiguous_format)
    theirs._optimizer = ADAM(theirs.generator.synthesis.parameters(), lr=3e-5)
    batch = frames[: config.batch_size]

    def in_turn() -> None:
        for frame in frames[:STEPS].split(1):
            theirs.update(pivots[frame], images[frame], frame)

    return [
        Way(name="pivotal, ours", step=lambda: ours.update(pivots[batch], images[batch], batch), frames=len(batch)),
        Way(name="pivotal, original", step=original(in_turn), frames=STEPS),
    ]


def stitching(bundle: Bundle, pivots: Tensor, crops: NDArray[np.uint8]) -> list[Way]:
    """Both ways of stitching tuning, with the copy before and the drawing after the steps."""
    generator = bundle.generator().requires_grad_(False)
    images = to_images(crops, pivots.device)
    mask = torch.zeros(len(crops), 1, *images.shape[2:])
    mask[..., 64:192, 64:192] = 1
    goal = Goal(codes=EditedCodes(codes=pivots), source=images, edit=images, border=1 - mask, content=mask)
    shared = {**bundle.defaults["stitch"], "max_steps": STEPS, "target_border_loss": 0}
    ours, theirs = StitchingConfig(**shared), StitchingConfig(max_steps=STEPS)
    return [
        Way(
            name="stitching, ours",
            step=lambda: stitch(generator, goal, ours, _ignore),
            frames=len(crops) * STEPS,
        ),
        Way(
            name="stitching, original",
            step=original(lambda: stitch(generator, goal[:1], theirs, _ignore)),
            frames=STEPS,
        ),
    ]


def _ignore(border: Tensor, total: Tensor) -> None:
    pass


def report(ways: list[Way], rounds: list[list[tuple[float, float]]]) -> None:
    """Prints the medians of all rounds, and how many times the first way is as fast as the second."""
    medians = [
        [statistics.median(turn[index][clock] for turn in rounds) for clock in (0, 1)] for index in range(len(ways))
    ]
    for way, (wall, processor) in zip(ways, medians, strict=True):
        print(f"{way.name:20s} {wall:8.1f} ms per frame and step, {processor:8.1f} ms of processor time")
    wall, processor = (theirs / ours for ours, theirs in zip(*medians, strict=True))
    print(f"{'':20s} {wall:8.1f} times as fast,        {processor:8.1f} times")


def main() -> None:
    """Prints milliseconds per frame and step of every way, and how many times ours is faster."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", default="avatar-256")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--allocator", choices=("services", "default"), default="services")
    arguments = parser.parse_args()
    if arguments.allocator == "services" and "GLIBC_TUNABLES" not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "GLIBC_TUNABLES": ALLOCATOR})
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    bundle = load_bundle(arguments.bundle)
    pivots = torch.randn(FRAMES, bundle.num_ws, bundle.w_dim)
    crops = np.random.default_rng(0).integers(0, 256, (FRAMES, bundle.resolution, bundle.resolution, 3), np.uint8)
    print(f"{bundle.name}, {bundle.resolution} px, {arguments.threads} threads, load {os.getloadavg()[0]:.1f}")
    for ways in (pivotal(bundle, pivots, crops), stitching(bundle, pivots, crops)):
        for way in ways:
            way.step()
        report(ways, [[way.milliseconds() for way in ways] for _ in range(arguments.rounds)])
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"{used.ru_minflt} page faults, at most {used.ru_maxrss >> 10} MiB, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
