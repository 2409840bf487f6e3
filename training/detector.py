"""Trains the face detector on scenes composed of rendered portraits."""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.networks.detector import (
    STRIDE,
    Detections,
    FaceDetector,
    FaceDetectorConfig,
    cell_centres,
    decode,
    intersection_over_union,
)
from training.aligned import reduce, to_tensor
from training.command import finish, options
from training.data import Portraits
from training.landmarks import face_box
from training.loop import Batch, LoopConfig, train
from training.scenes import SceneConfig, Scenes, background

CONFIG = {"input_size": 192, "width": 16, "head_width": 32}
BOX_WEIGHT = 2.0


@dataclass(frozen=True, kw_only=True)
class DetectorBatches:
    """Batches by step: `batches(step)` is the same on every call."""

    scenes: Scenes
    batch_size: int = 24
    seed: int = 0

    def __call__(self, step: int) -> dict[str, Tensor]:
        """images (B, 3, S, S) and targets (B, 6, S/4, S/4), see `targets`."""
        rng = np.random.default_rng((self.seed, step))
        images, boxes = zip(*(self.scenes.draw(rng) for _ in range(self.batch_size)), strict=True)
        side = self.scenes.config.size // STRIDE
        return {
            "images": to_tensor(np.stack(images)),
            "targets": torch.stack([targets(torch.from_numpy(found), side) for found in boxes]),
        }


def targets(boxes: Tensor, side: int) -> Tensor:
    """What the detector shall answer.

    Args:
        boxes: (n, 4) pixels.
        side: Of the map in cells.

    Returns:
        (6, side, side): how much a cell is a face's centre, 1 at it and falling off as a Gaussian; the
        distances in pixels to the sides of that face's box; and whether those count.
    """
    x, y = cell_centres(side, side)
    result = torch.zeros(6, side, side)
    for box in boxes:
        left, top, right, bottom = box.tolist()
        width, height = right - left, bottom - top
        column = min(max(int((left + right) / 2 / STRIDE), 0), side - 1)
        row = min(max(int((top + bottom) / 2 / STRIDE), 0), side - 1)
        cx, cy = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
        away = ((x - cx) / max(width, 8)).square() + ((y - cy) / max(height, 8)).square()
        bell = (-away / (2 * 0.12**2)).exp()
        here = (bell > result[0]) & (bell > 0.3)
        sides = torch.stack(
            [
                (x - left).expand_as(bell),
                (y - top).expand_as(bell),
                (right - x).expand_as(bell),
                (bottom - y).expand_as(bell),
            ]
        )
        result[1:5] = torch.where(here, sides, result[1:5])
        result[5] = torch.where(here, 1.0, result[5])
        result[0] = torch.maximum(result[0], bell)
    return result


def loss(network: nn.Module, batch: Batch) -> Tensor:
    """Penalty-reduced focal loss (Law and Deng 2018) of the centres, and 1 - IoU of the boxes."""
    output, target = network(batch["images"]), batch["targets"]
    logits, bell = output[:, 0], target[:, 0]
    chance = logits.sigmoid()
    centre = bell == 1
    hit = -F.logsigmoid(logits) * (1 - chance).square()
    false = -F.logsigmoid(-logits) * chance.square() * (1 - bell).pow(4)
    focal = torch.where(centre, hit, false).sum() / centre.sum().clamp(min=1)
    counted = target[:, 5] * bell
    sides, true = output[:, 1:], target[:, 1:5].clamp(min=1e-3)
    overlap = distance_iou(sides, true)
    boxes = ((1 - overlap) * counted).sum() / counted.sum().clamp(min=1)
    return focal + BOX_WEIGHT * boxes


def distance_iou(sides: Tensor, true: Tensor) -> Tensor:
    """IoU (B, h, w) of boxes given as distances (B, 4, h, w) from a common point to their sides."""
    smaller = torch.minimum(sides, true)
    shared = (smaller[:, 0] + smaller[:, 2]) * (smaller[:, 1] + smaller[:, 3])
    area, true_area = ((b[:, 0] + b[:, 2]) * (b[:, 1] + b[:, 3]) for b in (sides, true))
    return shared / (area + true_area - shared)


@torch.inference_mode()
def detect(network: nn.Module, images: np.ndarray) -> list[Detections]:
    """Faces in pictures (N, H, W, 3) uint8."""
    return [faces for image in images for faces in decode(network(to_tensor(image[None])))]


def evaluate(network: nn.Module, portraits: Portraits, count: int = 300, seed: int = 80_001) -> dict[str, float]:
    """Recall at IoU 0.5 and false alarms: on whole free pictures, on scenes, and on scenes without a face."""
    rng = np.random.default_rng(seed)
    rows = np.arange(min(count, len(portraits)))
    images, landmarks = portraits.rows("images", rows), portraits.rows("landmarks", rows)
    # Whole pictures come at the size that frames are scaled to.
    side = CONFIG["input_size"]
    pictures = np.stack([reduce(image, side) for image in images])
    boxes = [face_box(points)[None] * side / images.shape[1] for points in landmarks]
    scenes = Scenes(portraits=portraits, config=SceneConfig(faces=(0.0, 0.6, 0.3, 0.1)))
    drawn = [scenes.draw(rng) for _ in range(count)]
    empty = np.stack([background(scenes.config.size, rng) for _ in range(count)])
    framed, false_framed, _ = _score(detect(network, pictures), boxes)
    found, false_found, overlap = _score(detect(network, np.stack([d[0] for d in drawn])), [d[1] for d in drawn])
    alarms = sum(len(faces.scores) > 0 for faces in detect(network, empty))
    return {
        "recall_free": framed,
        "false_per_free_picture": false_framed,
        "recall_scenes": found,
        "false_per_scene": false_found,
        "box_iou": overlap,
        "alarms_on_empty": alarms / count,
    }


def _score(found: list[Detections], boxes: list[np.ndarray]) -> tuple[float, float, float]:
    """Recall, false alarms per picture, and mean overlap of what was found."""
    hits, total, false, overlaps = 0, 0, 0, []
    for faces, true in zip(found, boxes, strict=True):
        total += len(true)
        if not len(faces.boxes) or not len(true):
            false += len(faces.boxes)
            continue
        overlap = intersection_over_union(torch.from_numpy(true).float(), faces.boxes)
        best = overlap.max(1).values
        hits += int((best >= 0.5).sum())
        overlaps += best[best >= 0.5].tolist()
        false += int((overlap.max(0).values < 0.5).sum())
    return hits / max(total, 1), false / len(found), float(np.mean(overlaps or [0.0]))


def draw(images: np.ndarray, found: list[Detections]) -> np.ndarray:
    """Pictures (N, S, S, 3) with the boxes found, side by side."""
    sheet = [image.copy() for image in images]
    for picture, faces in zip(sheet, found, strict=True):
        for left, top, right, bottom in faces.boxes.round().int().tolist():
            cv2.rectangle(picture, (left, top), (right, bottom), (0, 255, 0), 1)
    return np.concatenate(sheet, axis=1)


def main() -> None:
    """Train and report; see `--help`."""
    second = ("free", "shards with free framing, from which the held-out ones come too")
    asked = options("detector", __doc__, LoopConfig(steps=900, learning_rate=3e-3), second)
    assert asked.second is not None
    training, held_out = Portraits.split(asked.second)
    scenes = Scenes(portraits=training + Portraits.split(asked.data)[0])
    network = FaceDetector(FaceDetectorConfig(**CONFIG))
    trained = train(network, loss, DetectorBatches(scenes=scenes, seed=asked.loop.seed), asked.out, asked.loop)
    trained = cast(FaceDetector, trained)
    rng = np.random.default_rng(80_002)
    shown = np.stack([Scenes(portraits=held_out).draw(rng)[0] for _ in range(8)])
    cv2.imwrite(str(asked.out / "overlay.png"), draw(shown, detect(trained, shown))[..., ::-1])
    finish(asked, trained, CONFIG, evaluate(trained, held_out))


if __name__ == "__main__":
    main()
