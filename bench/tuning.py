"""What one optimiser step costs a frame: by each algorithm, and the way of the original code, side by side.

    nice python bench/tuning.py [--bundle avatar-256] [--drawn 64] [--threads 2] [--rounds 3] [--allocator services]

*default* is tuned with the bundle's own settings, *stit* with those of Stitch it in Time: a frame per update, float32.
*original* is the same in the original's own arithmetic while it tunes: demodulation from a copy of the filters for the
sample, features scaled before and after the convolution, noise, bias, activation and gain one after the other, Adam
not fused and filters and features in PyTorch's own layout. All have the memory allocator of the services, or with
--allocator default that of any other program. They take turns, so that other load on the machine falls on all. On a
busy machine use --threads 1 and read the processor's time: threads that wait for each other there distort everything
else. --drawn takes networks of that resolution with drawn weights, and the bundle's settings.
"""

import argparse
import copy
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from seamline_inverter.options import inversion_config
from seamline_inverter.pivotal_tuning import PivotalTuning, TuningConfig
from seamline_stitcher.stitching_tuning import Goal, StitchingConfig, stitch
from torch import Tensor, nn

from seamline.bundles import Bundle, load_bundle
from seamline.bundles.weights import frozen
from seamline.deployment import ALLOCATOR
from seamline.editing.edit import EditedCodes
from seamline.networks import Generator, GeneratorConfig, Lpips, LpipsConfig
from seamline.networks.modulated_conv import convolve
from seamline.networks.stylegan2 import LRELU_GAIN, SynthesisLayer, SynthesisNetwork, ToRgb
from seamline.tuning import to_images, with_fast_layout
from seamline.v1 import media_pb2
from seamline.v1.inverter_pb2 import InvertOptions
from seamline.v1.media_pb2 import ALGORITHM_DEFAULT, ALGORITHM_STIT

FRAMES = 36
"""As many as, in the demo, share a copy of the generator in stitching tuning."""
STEPS = 4
"""Optimiser steps of a frame in one turn of stitching tuning, which begins with a copy and ends with a drawing."""
ADAM = torch.optim.Adam


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What is tuned, and with which settings."""

    name: str
    generator: Callable[[], Generator]
    """Makes a trainable one."""
    perceptual: nn.Module
    defaults: Mapping[str, Mapping[str, Any]]


def networks_of(bundle: Bundle, drawn: int) -> Networks:
    """A bundle's networks, or with a resolution drawn ones of as few channels as those of the golden tests."""
    if not drawn:
        return Networks(
            name=bundle.name,
            generator=bundle.generator,
            perceptual=bundle.module("perceptual"),
            defaults=bundle.defaults,
        )
    generator = Generator(GeneratorConfig(resolution=drawn, channel_base=16 * drawn, channel_max=64))
    perceptual = frozen(Lpips(LpipsConfig()), bundle.device)
    return Networks(
        name=f"drawn with {sum(weight.numel() for weight in generator.parameters()) / 1e6:.1f} M parameters",
        generator=lambda: copy.deepcopy(generator),
        perceptual=perceptual,
        defaults=bundle.defaults,
    )


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


def layer_of_the_original(layer: SynthesisLayer, x: Tensor, styles: Tensor, noise: str) -> Tensor:
    """`SynthesisLayer.forward` of one sample, step by step as the original has it in training mode."""
    own = layer.weight[None] * styles.reshape(1, 1, -1, 1, 1)
    gains = (own.square().sum((2, 3, 4)) + 1e-8).rsqrt()
    x = x * styles[:, :, None, None]
    x = convolve(x, layer.weight, layer.resample_filter if layer.up else None) * gains[:, :, None, None]
    x = x + layer.noise_const * layer.noise_strength
    x = x + layer.bias[:, None, None]
    return F.leaky_relu(x, 0.2) * LRELU_GAIN


def to_rgb_of_the_original(layer: ToRgb, x: Tensor, styles: Tensor) -> Tensor:
    """`ToRgb.forward` in the same way."""
    return convolve(x * (styles * layer.weight_gain)[:, :, None, None], layer.weight, None) + layer.bias[:, None, None]


def start_of_the_original(network: SynthesisNetwork, style: Tensor) -> Tensor:
    """`SynthesisNetwork._start` with features in PyTorch's own layout."""
    return network.blocks[0].const.repeat(len(style), 1, 1, 1)


def original(step: Callable[[], object]) -> Callable[[], object]:
    """The step in the original's arithmetic."""

    def run() -> object:
        with (
            patch.object(SynthesisLayer, "forward", layer_of_the_original),
            patch.object(ToRgb, "forward", to_rgb_of_the_original),
            patch.object(SynthesisNetwork, "_start", start_of_the_original),
            patch("torch.optim.Adam", lambda parameters, **rest: ADAM(parameters, **{**rest, "fused": False})),
        ):
            return step()

    return run


def pivotal(networks: Networks, pivots: Tensor, crops: NDArray[np.uint8]) -> list[Way]:
    """All ways of pivotal tuning."""
    images, frames = to_images(crops, pivots.device), torch.arange(len(crops))
    ours = PivotalTuning(networks.generator(), networks.perceptual, _tuning(networks, ALGORITHM_DEFAULT))
    stit, theirs = (
        PivotalTuning(networks.generator(), networks.perceptual, _tuning(networks, ALGORITHM_STIT)) for _ in range(2)
    )
    theirs.generator.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]  (not in the stubs)
    theirs._optimizer = ADAM(theirs.generator.synthesis.parameters(), lr=3e-5)
    batch = frames[: ours.config.batch_size]

    def in_turn(tuning: PivotalTuning) -> None:
        for frame in frames[:STEPS].split(1):
            tuning.update(pivots[frame], images[frame], frame)

    return [
        Way(name="pivotal, default", step=lambda: ours.update(pivots[batch], images[batch], batch), frames=len(batch)),
        Way(name="pivotal, stit", step=lambda: in_turn(stit), frames=STEPS),
        Way(name="pivotal, original", step=original(lambda: in_turn(theirs)), frames=STEPS),
    ]


def _tuning(networks: Networks, algorithm: media_pb2.Algorithm.ValueType) -> TuningConfig:
    return inversion_config(networks.defaults["invert"], InvertOptions(algorithm=algorithm)).tuning


def stitching(networks: Networks, pivots: Tensor, crops: NDArray[np.uint8]) -> list[Way]:
    """All ways of stitching tuning, with the copy before and the drawing after the steps."""
    generator = networks.generator().requires_grad_(False)
    images = to_images(crops, pivots.device)
    mask, quarter = torch.zeros(len(crops), 1, *images.shape[2:]), images.shape[-1] // 4
    mask[..., quarter:-quarter, quarter:-quarter] = 1
    goal = Goal(codes=EditedCodes(codes=pivots), source=images, edit=images, border=1 - mask, content=mask)
    shared = {**networks.defaults["stitch"], "max_steps": STEPS, "target_border_loss": 0}
    ours, stit = StitchingConfig(**shared), StitchingConfig(max_steps=STEPS)
    plain, unhurried = (copy.deepcopy(generator) for _ in range(2))
    with_fast_layout(generator)
    with_fast_layout(unhurried, stit.precision)
    return [
        Way(
            name="stitching, default",
            step=lambda: stitch(generator, goal, ours, _ignore),
            frames=len(crops) * STEPS,
        ),
        Way(name="stitching, stit", step=lambda: stitch(unhurried, goal[:1], stit, _ignore), frames=STEPS),
        Way(
            name="stitching, original",
            step=original(lambda: stitch(plain, goal[:1], stit, _ignore)),
            frames=STEPS,
        ),
    ]


def _ignore(border: Tensor, total: Tensor) -> None:
    pass


def report(ways: list[Way], rounds: list[list[tuple[float, float]]]) -> None:
    """Prints the medians of all rounds, and how many times as fast as the last way each is."""
    medians = [
        [statistics.median(turn[index][clock] for turn in rounds) for clock in (0, 1)] for index in range(len(ways))
    ]
    for way, (wall, processor) in zip(ways, medians, strict=True):
        faster = [slowest / spent for slowest, spent in zip(medians[-1], (wall, processor), strict=True)]
        print(
            f"{way.name:20s} {wall:8.1f} ms per frame and step, {processor:8.1f} ms of processor time; "
            f"{faster[0]:.2f} and {faster[1]:.2f} times as fast"
        )


def main() -> None:
    """Prints milliseconds per frame and step of every way, and how many times ours is faster."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", default="avatar-256")
    parser.add_argument("--drawn", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--allocator", choices=("services", "default"), default="services")
    arguments = parser.parse_args()
    if arguments.allocator == "services" and "GLIBC_TUNABLES" not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "GLIBC_TUNABLES": ALLOCATOR})
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    bundle = load_bundle(arguments.bundle)
    networks = networks_of(bundle, arguments.drawn)
    sizes = networks.generator().config
    pivots = torch.randn(FRAMES, sizes.num_ws, sizes.w_dim)
    crops = np.random.default_rng(0).integers(0, 256, (FRAMES, sizes.resolution, sizes.resolution, 3), np.uint8)
    print(f"{networks.name}, {sizes.resolution} px, {arguments.threads} threads, load {os.getloadavg()[0]:.1f}")
    for ways in (pivotal(networks, pivots, crops), stitching(networks, pivots, crops)):
        for way in ways:
            way.step()
        report(ways, [[way.milliseconds() for way in ways] for _ in range(arguments.rounds)])
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"{used.ru_minflt} page faults, at most {used.ru_maxrss >> 10} MiB, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
