"""Trains the landmark network on rendered portraits: the 68 iBUG points of a face in a square crop."""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.networks.landmarks import LandmarkConfig, LandmarkNetwork
from training.aligned import shuffled, to_tensor
from training.augment import photometric, warp, warp_points
from training.command import finish, options
from training.data import Portraits
from training.loop import Batch, LoopConfig, train
from training.metrics import landmark_error

CONFIG = {"input_size": 128, "width": 24, "head_width": 64}
SIZE = 128
CROP_FACTOR = 1.5
"""Side of the crop over the longer side of the landmarks' bounding box, when a face is looked at."""
FACTORS = (1.1, 2.4)
"""The same while training, which covers FFHQ-aligned crops as well."""
SIGMA = 1.2
"""Width of the heat maps' targets in cells."""


def face_box(landmarks: np.ndarray) -> np.ndarray:
    """Left, top, right and bottom (4,) of landmarks (68, 2)."""
    return np.concatenate([landmarks.min(0), landmarks.max(0)])


def crop_matrix(
    landmarks: np.ndarray,
    *,
    factor: float = CROP_FACTOR,
    degrees: float = 0.0,
    shift: np.ndarray | None = None,
) -> np.ndarray:
    """The similarity (2, 3) that moves a face into a crop of `SIZE` pixels.

    Args:
        landmarks: (68, 2) pixels from the picture's corner.
        factor: Side of the crop over the longer side of the landmarks' box.
        degrees: Turn about the box's centre.
        shift: (2,) shift as a share of the crop's side.
    """
    box = face_box(landmarks)
    centre, side = (box[:2] + box[2:]) / 2 - 0.5, (box[2:] - box[:2]).max() * factor
    matrix = cv2.getRotationMatrix2D(tuple(centre.tolist()), degrees, SIZE / side)
    matrix[:, 2] += (SIZE - 1) / 2 - centre + (0 if shift is None else shift * SIZE)
    return matrix


def cut(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Cut a crop (SIZE, SIZE, 3) out of a picture; large faces are averaged down first."""
    scale = float(np.hypot(matrix[0, 0], matrix[0, 1]))
    halvings = max(0, int(-np.log2(scale)))
    for _ in range(halvings):
        image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    shrunk = matrix.copy()
    for _ in range(halvings):
        # Pixel i of the half-size picture has its centre at 2 i + 0.5 of the picture before.
        shrunk[:, 2] += shrunk[:, :2] @ np.full(2, 0.5)
        shrunk[:, :2] *= 2
    return warp(image, shrunk, SIZE)


@dataclass(frozen=True, kw_only=True)
class LandmarkBatches:
    """Batches by step: `batches(step)` is the same on every call."""

    portraits: Portraits
    batch_size: int = 32
    seed: int = 0

    def __call__(self, step: int) -> dict[str, Tensor]:
        """images (B, 3, 128, 128), and points (B, 68, 2) in units of the crop's side."""
        rng = np.random.default_rng((self.seed, step))
        rows = shuffled(len(self.portraits), step, self.batch_size, self.seed)
        pairs = zip(self.portraits.rows("images", rows), self.portraits.rows("landmarks", rows), strict=True)
        crops = [self._crop(image, landmarks, rng) for image, landmarks in pairs]
        images, points = zip(*crops, strict=True)
        return {"images": to_tensor(np.stack(images)), "points": torch.from_numpy(np.stack(points) / SIZE)}

    @staticmethod
    def _crop(
        image: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        factor = np.exp(rng.uniform(*np.log(FACTORS)))
        degrees = rng.uniform(-35, 35) if rng.random() < 0.7 else rng.uniform(-5, 5)
        matrix = crop_matrix(landmarks, factor=factor, degrees=degrees, shift=rng.uniform(-0.12, 0.12, 2))
        return photometric(cut(image, matrix), rng), warp_points(landmarks, matrix)


def loss(network: nn.Module, batch: Batch) -> Tensor:
    """Distance of the points in pixels, and cross-entropy of the heat maps against bells at the points."""
    maps = cast(LandmarkNetwork, network).heatmaps(batch["images"])
    side = maps.shape[-1]
    centres = (torch.arange(side, device=maps.device) + 0.5) / side
    found = torch.stack([maps.sum(2) @ centres, maps.sum(3) @ centres], dim=2)
    points = batch["points"]
    inside = ((points > 0) & (points < 1)).all(2).float()
    distance = F.smooth_l1_loss(found * SIZE, points * SIZE, reduction="none").sum(2)
    entropy = -(bells(points, side) * maps.clamp(min=1e-8).log()).sum((2, 3))
    return ((distance + 0.2 * entropy) * inside).sum() / inside.sum()


def bells(points: Tensor, side: int) -> Tensor:
    """Gaussian maps (B, 68, side, side), each of sum 1, about points (B, 68, 2) in units of the side."""
    cells = torch.arange(side, device=points.device) + 0.5
    x, y = (-(cells - points[..., axis, None] * side).square() / (2 * SIGMA**2) for axis in (0, 1))
    return (y[..., :, None] + x[..., None, :]).flatten(2).softmax(2).unflatten(2, (side, side))


@torch.inference_mode()
def locate(
    network: nn.Module, images: np.ndarray, landmarks: np.ndarray, factor: float = CROP_FACTOR
) -> np.ndarray:
    """Landmarks (N, 68, 2) in pixels of pictures (N, H, W, 3), cropped about the face's known place."""
    found = []
    for image, known in zip(images, landmarks, strict=True):
        matrix = crop_matrix(known, factor=factor)
        points = network(to_tensor(cut(image, matrix)[None]))[0].numpy() * SIZE
        found.append(warp_points(points, cv2.invertAffineTransform(matrix)))
    return np.stack(found)


def evaluate(network: nn.Module, portraits: Portraits, count: int = 300) -> dict[str, float]:
    """Normalised mean error on portraits that were not trained on, in tight and in wide crops."""
    rows = np.arange(min(count, len(portraits)))
    images, true = portraits.rows("images", rows), portraits.rows("landmarks", rows)
    errors = landmark_error(locate(network, images, true), true)
    wide = landmark_error(locate(network, images, true, factor=2.0), true)
    return {
        "nme": float(errors.mean()),
        "nme_95th": float(np.quantile(errors, 0.95)),
        "nme_wide": float(wide.mean()),
    }


def draw(images: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Pictures (N, S, S, 3) with points (N, 68, 2), side by side."""
    sheet = []
    for image, points in zip(images, landmarks, strict=True):
        picture = image.copy()
        for x, y in np.round(points * 16 - 8).astype(int).tolist():
            cv2.circle(picture, (x, y), 20, (0, 255, 0), -1, cv2.LINE_AA, 4)
        sheet.append(picture)
    return np.concatenate(sheet, axis=1)


def main() -> None:
    """Train and report; see `--help`."""
    second = ("free", "shards with free framing, from which the held-out ones come too")
    asked = options("landmarks", __doc__, LoopConfig(steps=1700, learning_rate=2e-3), second)
    assert asked.second is not None
    training, held_out = Portraits.split(asked.second)
    batches = LandmarkBatches(portraits=training + Portraits.split(asked.data)[0], seed=asked.loop.seed)
    trained = train(LandmarkNetwork(LandmarkConfig(**CONFIG)), loss, batches, asked.out, asked.loop)
    shown, known = held_out.rows("images", np.arange(6)), held_out.rows("landmarks", np.arange(6))
    cv2.imwrite(str(asked.out / "overlay.png"), draw(shown, locate(trained, shown, known))[..., ::-1])
    finish(asked, trained, CONFIG, evaluate(trained, held_out))


if __name__ == "__main__":
    main()
