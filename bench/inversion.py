"""How well, and how fast, each way of inverting draws a clip's face, side by side.

    nice python bench/inversion.py [--video assets/presenter.mp4] [--bundle avatar-256] [--ways "encoder;pti"]
        [--steps 150] [--passes 30] [--threads 2]

The clip is aligned once; then every way inverts it as the service would, with the bundle's own settings, and a few
frames' codes are searched for. `--steps` and `--passes` bound what takes long. Beside the PSNR stands how much of the
bundle's edits is left: the cosine between what an edit changes in the pictures of the way's generator, and in those of
the bundle's own. "stit" is the reference, with all of its passes. Ways whose network the bundle does not have are left
out with the reason. On a busy machine use --threads 1 and read the processor's time.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from seamline_aligner.align import AlignOptions, align
from seamline_aligner.landmarks import open_backend
from seamline_inverter.code_search import search as code_search
from seamline_inverter.inversion import Inverted, invert
from seamline_inverter.locality import LocalityConfig
from seamline_inverter.options import InversionConfig, Method, inversion_config
from seamline_inverter.pivotal_tuning import psnr_db
from seamline_inverter.pivots import drawn_psnr, encode
from seamline_inverter.prediction import CROPS, hypernetwork_of, refinements
from torch import Tensor

from seamline.algorithm import Algorithm
from seamline.alignment import Alignment
from seamline.bundles import INSTALLED, Bundle, load_bundle
from seamline.deployment import ALLOCATOR
from seamline.errors import Precondition
from seamline.inversion import Inversion
from seamline.job import Job
from seamline.networks import Generator
from seamline.networks.hyperstyle import refine
from seamline.storage import Store, open_store, put_object
from seamline.tuning import to_images, with_fast_layout
from seamline.v1.inverter_pb2 import InvertOptions

EDITED = 4
"""Frames, spread over the clip, whose edits are compared."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one way made of the clip."""

    inverted: Inverted
    steps: dict[str, float]
    """Wall seconds of each step."""
    processor: float
    """Processor seconds of all of it."""
    edits: float
    """What is left of the edits."""


def ways(bundle: Bundle, passes: int) -> dict[str, InversionConfig]:
    """Every way, by name."""
    own = inversion_config(bundle.defaults["invert"], InvertOptions())
    pti = replace(own, method=Method.PTI, tuning=replace(own.tuning, max_passes=passes))
    return {
        "encoder": replace(own, method=Method.ENCODER),
        "hyperstyle": replace(own, method=Method.HYPERSTYLE),
        "pti": pti,
        "pti, locality": replace(pti, tuning=replace(pti.tuning, locality=LocalityConfig())),
        "stit": inversion_config(Algorithm.STIT.table(bundle.defaults["invert"]), InvertOptions()),
    }


def aligned(store: Store, bundle: Bundle, video: Path) -> Alignment:
    """The clip's alignment."""
    source = put_object(store, f"videos/source{video.suffix}", video)
    options = AlignOptions(landmarks="bundle")
    return Alignment(align(Job("align"), store, source, bundle, options, lambda: open_backend("bundle", bundle)))


def edit_kept(bundle: Bundle, made: Generator, codes: Tensor) -> float:
    """Mean cosine between the changes that the edits make in two generators' pictures."""

    def changes(generator: Generator) -> list[Tensor]:
        with torch.no_grad():
            before = generator.synthesis(codes)
            return [
                generator.synthesis(codes + edit.max_strength / 2 * bundle.directions[name]) - before
                for name, edit in bundle.edits.items()
            ]

    pairs = zip(changes(bundle.generator()), changes(made), strict=True)
    cosines = [torch.cosine_similarity(own.flatten(1), other.flatten(1)) for own, other in pairs]
    return torch.cat(cosines).mean().item()


def spread(source: Alignment, inversion: Inversion, count: int = EDITED) -> tuple[Tensor, Tensor]:
    """Crops and codes of some frames."""
    track = source.tracks[0].id
    _, codes = inversion.pivots(track)
    places = torch.linspace(0, len(codes) - 1, count + 2)[1:-1].round().long()
    return to_images(source.crops(track)[places.numpy()], codes.device), codes[places]


def searched(bundle: Bundle, images: Tensor, steps: int) -> str:
    """PSNR of the encoder's codes, of their means over the layers, and of what a search from there finds."""
    config = inversion_config(bundle.defaults["invert"], InvertOptions())
    generator = with_fast_layout(bundle.generator()).requires_grad_(False)
    taken: list[float] = []

    def drawn(codes: Tensor) -> float:
        return drawn_psnr(generator, codes.expand(-1, bundle.num_ws, -1), images, config).mean().item()

    codes = encode(bundle, images)
    mean, start = codes.mean(1, keepdim=True), time.perf_counter()
    search = replace(config.search, pivot_steps=steps)
    perceptual = bundle.module("perceptual")
    w = code_search(generator, perceptual, images, mean[:, 0], search, config.tuning.precision, taken.append)
    seconds = (time.perf_counter() - start) / len(images)
    return (
        f"{EDITED} frames: encoder {drawn(codes):.2f} dB, its mean codes {drawn(mean):.2f} dB, "
        f"{len(taken)} steps of search {drawn(w.unsqueeze(1)):.2f} dB in {seconds:.1f} s a frame"
    )


def own_filters(bundle: Bundle, images: Tensor, codes: Tensor) -> float:
    """PSNR when every frame has the filters that the hypernetwork predicts for it alone, from codes of W."""
    codes = codes.mean(1, keepdim=True).expand_as(codes)
    generator = bundle.generator().requires_grad_(False)
    with torch.no_grad():
        weights = refine(hypernetwork_of(bundle), generator, images, codes)
        drawn = generator.synthesis(codes, weights=weights)
    return psnr_db((drawn - images).square().mean((1, 2, 3))).mean().item()


def shared_filters(bundle: Bundle, images: Tensor, codes: Tensor) -> str:
    """PSNR of one generator for all frames, as it is and after each pass of the hypernetwork, from codes of W."""
    codes = codes.mean(1, keepdim=True).expand_as(codes)
    precision = inversion_config(bundle.defaults["invert"], InvertOptions()).tuning.precision
    generator = with_fast_layout(bundle.generator()).requires_grad_(False)
    passes = refinements(hypernetwork_of(bundle), generator, images, codes, precision)
    before, *after = (psnr_db(torch.tensor(error)).item() for _, error in passes)
    return f"{before:.2f} > {' '.join(f'{psnr:.2f}' for psnr in after)} dB"


def measure(store: Store, bundle: Bundle, source: Alignment, config: InversionConfig) -> Measured:
    """One way's result and times."""
    job, began = Job("invert"), time.process_time()
    inverted = invert(store, bundle, source.artifact.ref, config, job)
    spent = time.process_time() - began
    inversion = Inversion.open(store, inverted.ref)
    _, codes = spread(source, inversion)
    kept = edit_kept(bundle, inversion.tune(bundle.generator(), source.tracks[0].id), codes)
    return Measured(inverted=inverted, steps=job.seconds, processor=spent, edits=kept)


def report(chosen: dict[str, InversionConfig], run: Callable[[InversionConfig], Measured]) -> None:
    """Prints a line for each way."""
    print(f"{'way':15s} {'pivots':>8s} {'PSNR':>8s} {'passes':>6s} {'edits':>6s} {'wall':>8s} {'processor':>9s}  steps")
    for name, config in chosen.items():
        try:
            way = run(config)
        except Precondition as error:
            print(f"{name:15s} {error}", flush=True)
            continue
        made = way.inverted
        passes = sum(track.passes for track in made.tracks)
        steps = ", ".join(f"{step} {seconds:.1f}" for step, seconds in way.steps.items())
        print(f"{name:15s} {made.pivot_psnr_db:5.2f} dB {made.psnr_db:5.2f} dB {passes:6d} {way.edits:6.3f} "
              f"{sum(way.steps.values()):6.1f} s {way.processor:7.1f} s  {steps}", flush=True)  # fmt: skip


def main() -> None:
    """Prints PSNR, what is left of the edits, and seconds of every way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, default=Path("assets/presenter.mp4"))
    parser.add_argument("--bundle", default="avatar-256")
    parser.add_argument("--bundles", type=Path, default=INSTALLED)
    parser.add_argument("--ways", default="encoder;hyperstyle;pti;pti, locality", help="separated by ;")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--passes", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if "GLIBC_TUNABLES" not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "GLIBC_TUNABLES": ALLOCATOR})
    torch.set_num_threads(arguments.threads)
    bundle = load_bundle(arguments.bundle, arguments.bundles)
    known = ways(bundle, arguments.passes)
    chosen = {name: known[name] for name in arguments.ways.split(";")}
    with TemporaryDirectory() as folder:
        store = open_store(f"file://{folder}")
        source = aligned(store, bundle, arguments.video)
        print(f"{arguments.video}, {sum(track.visible_frames for track in source.tracks)} frames, {bundle.name}, "
              f"{arguments.threads} threads, load {os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip
        report(chosen, lambda config: measure(store, bundle, source, config))
        encoded = invert(store, bundle, source.artifact.ref, known["encoder"], Job("invert"))
        inversion = Inversion.open(store, encoded.ref)
        images, codes = spread(source, inversion)
        if bundle.has("hyperstyle"):
            print(f"{CROPS} frames, with filters for all: {shared_filters(bundle, *spread(source, inversion, CROPS))}")
            print(f"{EDITED} frames, each with filters of its own: {own_filters(bundle, images, codes):.2f} dB")
        if arguments.steps:
            print(searched(bundle, images, arguments.steps))
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
