"""What one optimiser step costs a frame: tuned in batches, and the way of the original code, side by side.

    nice python bench/tuning.py [--bundle avatar-256] [--threads 2] [--rounds 3]

Without an installed bundle the networks are drawn at random in the sizes of avatar-256. The original way is
one frame at a time in float32, styles folded into the filters, Adam not fused and the filters in PyTorch's
own layout. Both ways take turns, so that other load on the machine falls on both. On a busy machine use
--threads 1 and read the processor's time: threads that wait for each other there distort everything else.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from seamline_inverter.pivotal_tuning import PivotalTuning, TuningConfig
from seamline_stitcher.stitching_tuning import Goal, StitchingConfig, stitch
from torch import Tensor, nn

from seamline.bundles import INSTALLED, load_bundle
from seamline.networks import Generator, GeneratorConfig
from seamline.networks.lpips import Lpips, LpipsConfig
from seamline.networks.modulated_conv import convolve
from seamline.tuning import to_images

BATCH = 8
OURS = {"batch_size": BATCH, "seed": 0, "precision": "bfloat16"}
ADAM = torch.optim.Adam


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What tuning needs of a bundle."""

    name: str
    generator: Callable[[], Generator]
    perceptual: nn.Module


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


def networks(bundle: str) -> Networks:
    """Those of an installed bundle, or others of the same sizes."""
    if (INSTALLED / bundle / "bundle.toml").is_file():
        installed = load_bundle(bundle)
        return Networks(name=bundle, generator=installed.generator, perceptual=installed.module("perceptual"))
    config = GeneratorConfig(resolution=256, w_dim=128, z_dim=128, channel_base=4096, channel_max=256)
    perceptual = Lpips(LpipsConfig(width=24)).requires_grad_(False).eval()
    return Networks(name="random weights", generator=lambda: Generator(config), perceptual=perceptual)


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


def pivotal(given: Networks, pivots: Tensor, crops: NDArray[np.uint8]) -> list[Way]:
    """Both ways of pivotal tuning."""
    images, frames = to_images(crops, pivots.device), torch.arange(len(crops))
    ours = PivotalTuning(given.generator(), given.perceptual, TuningConfig(**OURS))
    theirs = PivotalTuning(given.generator(), given.perceptual, TuningConfig())
    theirs.generator.to(memory_format=torch.contiguous_format)
    theirs._optimizer = ADAM(theirs.generator.synthesis.parameters(), lr=3e-5)
    return [
        Way(name="pivotal, ours", step=lambda: ours.update(pivots, images, frames), frames=len(crops)),
        Way(
            name="pivotal, original",
            step=original(lambda: theirs.update(pivots[:1], images[:1], frames[:1])),
            frames=1,
        ),
    ]


def stitching(given: Networks, pivots: Tensor, crops: NDArray[np.uint8]) -> list[Way]:
    """Both ways of stitching tuning, at the marginal cost of a step."""
    generator = given.generator().requires_grad_(False)
    images = to_images(crops, pivots.device)
    mask = torch.zeros(len(crops), 1, *images.shape[2:])
    mask[..., 64:192, 64:192] = 1
    goal = Goal(codes=pivots, source=images, edit=images, border=1 - mask, content=mask)
    ours = StitchingConfig(**OURS, max_steps=1, frames_together=32, style_learning_rate=1e-3)
    return [
        Way(name="stitching, ours", step=lambda: stitch(generator, goal, ours, _ignore), frames=len(crops)),
        Way(
            name="stitching, original",
            step=original(lambda: stitch(generator, goal[:1], StitchingConfig(max_steps=1), _ignore)),
            frames=1,
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
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    given = networks(arguments.bundle)
    config = given.generator().config
    pivots = torch.randn(BATCH, config.num_ws, config.w_dim)
    crops = np.random.default_rng(0).integers(0, 256, (BATCH, config.resolution, config.resolution, 3), np.uint8)
    print(f"{given.name}, {config.resolution} px, {arguments.threads} threads, load {os.getloadavg()[0]:.1f}")
    for ways in (pivotal(given, pivots, crops), stitching(given, pivots, crops)):
        for way in ways:
            way.step()
        report(ways, [[way.milliseconds() for way in ways] for _ in range(arguments.rounds)])
    print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
