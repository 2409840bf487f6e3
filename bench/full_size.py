"""The whole pipeline at the official sizes, with drawn weights: shapes, seconds of every stage and peak memory.

    nice -n 10 python bench/full_size.py [--video assets/presenter.mp4] [--frames 2] [--passes 1] [--steps 3]
        [--algorithm stit] [--landmarks dlib] [--threads 2] [--device cpu]

The bundle that it writes has the networks of ffhq-1024 in their official shapes: StyleGAN2 for 1024 px with 18 codes of
512, e4e and the identity network on IR-SE50, BiSeNet with 19 classes at 512 px, LPIPS on AlexNet, and a direction.
Every stage runs as in its service, one after the other in this process, through a store in a temporary directory.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
import torch
from seamline_aligner.align import AlignOptions, align
from seamline_aligner.landmarks import BACKENDS, open_backend
from seamline_editor.edit import ranges_with_faces
from seamline_editor.mux import mux
from seamline_inverter.inversion import invert
from seamline_inverter.options import inversion_config
from seamline_metrics.score import score
from seamline_stitcher.plan import Plan
from seamline_stitcher.stitching import stitch_range
from seamline_stitcher.stitching_tuning import StitchingConfig
from torch import nn

from seamline.algorithm import Algorithm
from seamline.bundles import Bundle, EditSpec, NetworkSource, load_bundle, put_directions, write_bundle
from seamline.editing.edit import planned
from seamline.job import Job
from seamline.networks.registry import build
from seamline.storage import Store, open_store, put_object
from seamline.tuning import settings
from seamline.v1.inverter_pb2 import InvertOptions
from seamline.v1.media_pb2 import ArtifactRef, Edit
from seamline.v1.stitcher_pb2 import StitchOptions
from seamline.video import read_frames

KINDS = ("generator", "e4e", "parsing", "identity", "perceptual")
"""Networks whose defaults are the official sizes."""
NAME = "drawn-1024"
SMILE = EditSpec(name="smile", description="drawn", min_strength=-3.0, max_strength=3.0, attribute="smile")
R = TypeVar("R")


def drawn_bundle(directory: Path, device: str) -> Bundle:
    """Writes the bundle and opens it."""
    sources: dict[str, NetworkSource] = {}
    for kind in KINDS:
        network = build(kind, {})
        print(f"{kind:12s} {sum(weight.numel() for weight in network.parameters()) / 1e6:6.1f} M parameters")
        sources[kind] = NetworkSource(module=_calm(network), config={}, licence="CC0-1.0", source="drawn")
    write_bundle(directory / NAME, name=NAME, resolution=1024, networks=sources)
    bundle = load_bundle(NAME, directory, device)
    put_directions(directory / NAME, {SMILE.name: 0.1 * torch.randn(bundle.num_ws, bundle.w_dim)}, [SMILE])
    return load_bundle(NAME, directory, device)


def _calm(network: nn.Module) -> nn.Module:
    """Keeps what drawn weights give finite: batch statistics as if every layer doubled the scale of its input."""
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.fill_(4.0)
    return network


def first_frames(video: Path, count: int, out: Path) -> Path:
    """Writes the first frames of a video, without its sound."""
    frames = list(islice(read_frames(video), count))
    with av.open(str(out), "w") as target:
        stream = target.add_stream("libx264rgb", rate=25, options={"crf": "10"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "rgb24"
        for pixels in frames:
            target.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        target.mux(stream.encode(None))
    return out


def timed(name: str, stage: Callable[[Job], R]) -> R:
    """Runs a stage and prints what it took, and the most memory that the process has had."""
    job, start = Job(name), time.perf_counter()
    result = stage(job)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    steps = ", ".join(f"{step} {seconds:.1f}" for step, seconds in sorted(job.seconds.items()) if seconds >= 0.05)
    print(f"{name:8s} {time.perf_counter() - start:7.1f} s   peak {peak} MiB   ({steps})", flush=True)
    return result


def run(store: Store, bundle: Bundle, video: ArtifactRef, asked: argparse.Namespace) -> None:
    """Runs every stage and says what came of it."""
    algorithm = Algorithm(asked.algorithm)
    landmarks = AlignOptions(landmarks=asked.landmarks)
    finder = load_bundle() if asked.landmarks == "bundle" else bundle
    aligned = timed(
        "align", lambda job: align(job, store, video, bundle, landmarks, lambda: open_backend(asked.landmarks, finder))
    )
    config = inversion_config(
        bundle.defaults.get("invert", {}), InvertOptions(max_passes=asked.passes, algorithm=algorithm.to_proto())
    )
    inverted = timed("invert", lambda job: invert(store, bundle, aligned.ref, config, job))
    options = StitchOptions(max_steps=asked.steps, algorithm=algorithm.to_proto())
    tuning = settings(StitchingConfig, algorithm.table(bundle.defaults.get("stitch", {})), options)
    edits = planned([Edit(name=SMILE.name, strength=1.0)], bundle)
    stitched = []
    for part in ranges_with_faces(store, aligned.ref):
        plan = Plan(edits=edits, frames=(part.start, part.end), tuning=tuning, algorithm=algorithm)
        stitched.append(
            timed("stitch", lambda job, plan=plan: stitch_range(store, bundle, aligned.ref, inverted.ref, plan, job))
        )
    parts = [part.ref for part in stitched]
    scores = timed("score", lambda job: score(store, bundle, aligned.ref, parts, job))
    edited = timed("mux", lambda job: mux(store, video, aligned.ref, parts, job))
    steps = sum(part.steps for part in stitched)
    print(f"inversion {inverted.pivot_psnr_db:.2f} -> {inverted.psnr_db:.2f} dB, {steps} steps of stitching")
    print(f"TL-ID {scores.values['tl_id']:.3f}, seam {scores.values['seam_error']['stitched']:.4f}, {edited.uri}")


def main() -> None:
    """Draws a bundle and edits a few frames with it."""
    parser = argparse.ArgumentParser(description="The whole pipeline at the official sizes, with drawn weights")
    parser.add_argument("--video", type=Path, default=Path("assets/presenter.mp4"))
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--algorithm", choices=[each.value for each in Algorithm], default=Algorithm.STIT.value)
    parser.add_argument("--landmarks", choices=BACKENDS, default="dlib")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory(prefix="seamline-full-size-") as place:
        directory = Path(place)
        print(f"{asked.frames} frames, {asked.threads} threads on {asked.device}, load {os.getloadavg()[0]:.1f}")
        bundle = timed("draw", lambda job: drawn_bundle(directory / "bundles", asked.device))
        store = open_store((directory / "store").as_uri())
        clip = first_frames(asked.video, asked.frames, directory / "clip.mp4")
        run(store, bundle, put_object(store, "videos/clip.mp4", clip), asked)
        print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
