"""What the commands `python -m training.<network>` have in common: options, figures, and the bundle."""

import argparse
import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from seamline.bundles import NetworkSource, put_network, write_bundle
from seamline.bundles.manifest import MANIFEST
from training.loop import LoopConfig, single_core

LICENCE = "Apache-2.0"
RESOLUTION = 256
POSE = 0.7
"""Share of the renderer's yaw and pitch that the bundle's generator covers."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for on the command line."""

    kind: str
    data: Path
    out: Path
    bundle: Path | None
    loop: LoopConfig
    second: Path | None = None


def options(
    kind: str,
    description: str,
    defaults: LoopConfig,
    second: tuple[str, str] | None = None,
    *,
    portraits: bool = True,
) -> Options:
    """Read the command line, keep torch to one core where that is all there is, and seed it.

    Args:
        kind: The network, as in the bundle.
        description: For `--help`.
        defaults: How it is trained unless asked otherwise.
        second: Name and help of an option for a second set of portraits.
        portraits: Whether it learns from portraits; otherwise it learns from the other networks of the bundle.
    """
    parser = argparse.ArgumentParser(prog=f"python -m training.{kind}", description=description)
    if portraits:
        parser.add_argument("--data", type=Path, required=True, help="shards of training.renderer.dataset")
    if second:
        parser.add_argument(f"--{second[0]}", dest="second", type=Path, required=True, help=second[1])
    parser.add_argument("--out", type=Path, required=True, help="checkpoint, log and figures")
    parser.add_argument(
        "--bundle", type=Path, required=not portraits, help="bundle to put the network into, e.g. bundles/avatar-256"
    )
    parser.add_argument("--steps", type=int, default=defaults.steps, help="steps to train for")
    parser.add_argument("--device", default=defaults.device, help="cpu, or cuda")
    parser.add_argument("--workers", type=int, default=defaults.workers, help="processes that make batches ahead")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    asked = parser.parse_args()
    if asked.device == "cpu":
        single_core()
    torch.manual_seed(asked.seed)
    chosen = asdict(defaults) | {name: getattr(asked, name) for name in ("steps", "seed", "device", "workers")}
    return Options(
        kind=kind,
        data=getattr(asked, "data", asked.bundle),
        out=asked.out,
        bundle=asked.bundle,
        loop=LoopConfig(**chosen),
        second=getattr(asked, "second", None),
    )


def finish(
    asked: Options,
    module: nn.Module,
    config: Mapping[str, Any],
    figures: Mapping[str, float],
    precision: Literal["bfloat16", "float32"] = "float32",
) -> None:
    """Report the figures on held-out data and, when asked to, put the network into the bundle."""
    (asked.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print({name: round(value, 4) for name, value in figures.items()}, flush=True)
    if asked.bundle is None:
        return
    source = NetworkSource(
        module=module,
        config=config,
        licence=LICENCE,
        source=f"python -m training.{asked.kind}",
        precision=precision,
    )
    store(asked.bundle, asked.kind, source)


def store(directory: Path, kind: str, source: NetworkSource) -> None:
    """Put a network into a bundle, which is started if there is none yet."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory, os.O_RDONLY)
    try:
        # Networks are trained side by side, and the manifest is read, changed and written.
        fcntl.flock(lock, fcntl.LOCK_EX)
        open_bundle(directory)
        entry = put_network(directory, kind, source)
    finally:
        os.close(lock)
    print(f"{entry.file}: {entry.size / 1e6:.2f} MB", flush=True)


def open_bundle(directory: Path) -> None:
    """Start a bundle if there is none yet."""
    if not (directory / MANIFEST).exists():
        write_bundle(directory, name=directory.name, resolution=RESOLUTION)
