"""Shards like those that the renderer writes, of drawn squares for faces: made in no time."""

from pathlib import Path

import cv2
import numpy as np

from training.renderer.parameters import group_indices, sample

SIZE = 64
BOX = (20, 16, 44, 48)
"""Left, top, right and bottom of every face, where its landmarks lie."""


def write_portraits(root: Path, *, shards: int = 2, count: int = 8, per_person: int = 1, seed: int = 0) -> Path:
    """Write `shards` folders of `count` portraits of 64 px to `root`; people follow one another."""
    for shard in range(shards):
        rng = np.random.default_rng((seed, shard))
        params = sample(rng, count)
        identity = group_indices("identity")
        params[:, identity] = np.repeat(params[::per_person, identity], per_person, axis=0)[:count]
        images = np.stack([_picture(row, rng) for row in params])
        parsing = np.zeros((count, SIZE, SIZE), np.uint8)
        parsing[:, BOX[1] : BOX[3], BOX[0] : BOX[2]] = 1
        arrays = {"images": images, "parsing": parsing, "landmarks": _landmarks(count), "params": params}
        folder = root / f"shard-{shard:03d}"
        folder.mkdir(parents=True)
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
    return root


def _picture(params: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    picture = rng.integers(0, 60, (SIZE, SIZE, 3)).astype(np.uint8)
    colour = (150 + 100 * np.tanh(params[:3])).clip(0, 255).tolist()
    cv2.rectangle(picture, (BOX[0], BOX[1]), (BOX[2] - 1, BOX[3] - 1), colour, -1)
    return picture


def _landmarks(count: int) -> np.ndarray:
    """68 points spread over the box, two of them at its corners."""
    points = np.random.default_rng(1).uniform(BOX[:2], BOX[2:], (68, 2))
    points[0], points[1] = BOX[:2], BOX[2:]
    return np.repeat(points[None], count, axis=0).astype(np.float32)
