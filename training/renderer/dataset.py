"""Renders a training set into memory-mappable shards: `python -m training.renderer.dataset --out FOLDER`.

Sample i of a set depends on the seed and i alone, so shards can be rendered anywhere, in any order, again.
"""

import argparse
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from training.renderer.camera import AlignedCamera, Camera, FreeCamera
from training.renderer.parameters import INDEX, NAMES, group_indices, sample
from training.renderer.render import Rendering, render

SHARD: Final = 1000
"""Samples in a shard."""
ARRAYS: Final = ("images", "parsing", "landmarks", "params")


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """What determines every sample of a set."""

    count: int = 20000
    """Samples; with `identities`, identities times samples of each."""
    seed: int = 1
    size: int = 256
    """Side of the pictures in pixels."""
    framing: Literal["aligned", "free"] = "aligned"
    """FFHQ-aligned crops, or loose boxes around tilted faces as a detector gives them."""
    per_identity: int = 1
    """Consecutive samples that share the identity group."""
    pose: float = 1.0
    """Share of the range of yaw and pitch; a generator learns a narrower range far sooner."""

    def __post_init__(self) -> None:
        if min(self.count, self.size, self.per_identity) < 1:
            raise ValueError("count, size and per_identity must be at least 1")
        if not 0.0 <= self.pose <= 1.0:
            raise ValueError(f"pose must be from 0 to 1, got {self.pose}")


def _free_camera(rng: np.random.Generator, size: int) -> FreeCamera:
    """Draw a loose face box: the face 40 to 75 % of the picture, shifted and turned up to 20 degrees."""
    turn, grow, dx, dy = rng.uniform(-1.0, 1.0, 4)
    return FreeCamera(
        width=size, height=size, x=size * (0.5 + 0.10 * dx), y=size * (0.44 + 0.10 * dy),
        scale=size * 0.30 * 1.35**grow, roll=20.0 * turn,
    )  # fmt: skip


def render_sample(config: DatasetConfig, index: int) -> tuple[NDArray[np.float32], Rendering]:
    """Return raw parameters (P,) and the rendering of sample `index`."""
    rng = np.random.default_rng((config.seed, 0, index))
    params = sample(rng, 1)[0]
    identity = np.random.default_rng((config.seed, 1, index // config.per_identity))
    if config.per_identity > 1:
        columns = group_indices("identity")
        params[columns] = sample(identity, 1)[0, columns]
    params[[INDEX["yaw"], INDEX["pitch"]]] *= config.pose
    camera: Camera = AlignedCamera() if config.framing == "aligned" else _free_camera(rng, config.size)
    return params, render(params, camera, config.size)


def write_shard(config: DatasetConfig, out: Path, shard: int) -> Path:
    """Render shard number `shard` into `out`/shard-NNN, unless it is there; return its folder."""
    folder = out / f"shard-{shard:03d}"
    if folder.is_dir():
        return folder
    start = shard * SHARD
    n, size = min(SHARD, config.count - start), config.size
    arrays = {
        "images": np.empty((n, size, size, 3), np.uint8),
        "parsing": np.empty((n, size, size), np.uint8),
        "landmarks": np.empty((n, 68, 2), np.float32),
        "params": np.empty((n, len(NAMES)), np.float32),
    }
    for i in range(n):
        params, rendering = render_sample(config, start + i)
        arrays["params"][i] = params
        arrays["images"][i] = rendering.image
        arrays["parsing"][i] = rendering.parsing
        arrays["landmarks"][i] = rendering.landmarks
    partial = out / f".shard-{shard:03d}.{os.getpid()}"
    partial.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(partial / f"{name}.npy", array)
    partial.rename(folder)  # a shard is there whole or not at all
    return folder


def write_dataset(config: DatasetConfig, out: Path, workers: int = 1) -> Iterator[Path]:
    """Render all missing shards with `workers` processes; yield each shard's folder as it is done.

    Raises:
        ValueError: `out` holds a set of another configuration.
    """
    out.mkdir(parents=True, exist_ok=True)
    manifest, described = out / "dataset.json", {**asdict(config), "names": list(NAMES)}
    if manifest.exists() and json.loads(manifest.read_text()) != described:
        raise ValueError(f"{manifest} describes another set; choose another folder or remove it")
    manifest.write_text(json.dumps(described, indent=1))
    shards = range(-(-config.count // SHARD))
    if workers == 1:
        yield from (write_shard(config, out, k) for k in shards)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(write_shard, [config] * len(shards), [out] * len(shards), shards)


def open_dataset(out: Path) -> Iterator[dict[str, NDArray[np.generic]]]:
    """Yield each finished shard's arrays, memory-mapped, by name, in order."""
    for folder in sorted(out.glob("shard-*")):
        yield {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS}


def main() -> None:
    """Parse the command line and render."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--framing", choices=("aligned", "free"), default="aligned")
    parser.add_argument("--identities", type=int, help="number of identities, replaces --count")
    parser.add_argument("--per-identity", type=int, default=1)
    parser.add_argument("--pose", type=float, default=1.0, help="share of the range of yaw and pitch")
    options = parser.parse_args()
    count = options.identities * options.per_identity if options.identities else options.count
    config = DatasetConfig(
        count=count, seed=options.seed, size=options.size, framing=options.framing,
        per_identity=options.per_identity, pose=options.pose,
    )  # fmt: skip
    for folder in write_dataset(config, options.out, options.workers):
        print(folder, flush=True)


if __name__ == "__main__":
    main()
