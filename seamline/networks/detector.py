"""Face detector without anchors (Zhou et al. 2019, arXiv:1904.07850; sides as in FCOS, arXiv:1904.01355)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.networks.residual import BasicBlock, ConvBnRelu
from seamline.networks.shapes import expect_shape

STRIDE = 4
MULTIPLE = 16
"""Sides of the image must be multiples of this."""
MAX_LOG_DISTANCE = 6.0
START_LOG_ODDS = -4.0
START_LOG_DISTANCES = (2.0, 2.0, 2.0, 2.0)


@dataclass(frozen=True, kw_only=True)
class FaceDetectorConfig:
    """Sizes of a face detector."""

    input_size: int = 160
    """Longer side in pixels that frames are scaled to before detection."""
    width: int = 16
    """Channels after the stem; the stages have 2, 4 and 6 times as many."""
    head_width: int = 32
    """Channels that all levels are brought to before they are added."""


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Faces of one image, most certain first."""

    boxes: Tensor
    """(n, 4) left, top, right and bottom in pixels of the image."""
    scores: Tensor
    """(n,) in [0, 1]."""


class FaceDetector(nn.Module):
    """Image to a map of face centres, each with the distances to its box's sides."""

    def __init__(self, config: FaceDetectorConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * factor for factor in (2, 4, 6)]
        self.stem = ConvBnRelu(3, config.width, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(BasicBlock(inputs, outputs, 2), BasicBlock(outputs, outputs))
            for inputs, outputs in zip([config.width, *widths[:-1]], widths, strict=True)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, config.head_width, 1) for width in widths)
        self.merge = ConvBnRelu(config.head_width, config.head_width)
        self.output = nn.Conv2d(config.head_width, 5, 1)
        # Almost every pixel is no face; starting there keeps the first steps from being spent on it.
        self.output.bias = nn.Parameter(torch.tensor([START_LOG_ODDS, *START_LOG_DISTANCES]))

    def forward(self, images: Tensor) -> Tensor:
        """Map faces.

        Args:
            images: (B, 3, H, W) in [-1, 1]; sides multiples of 16.

        Returns:
            (B, 5, H / 4, W / 4) in float32: log-odds that a face's centre lies in the cell, then the
            distances in pixels from the cell's centre to the left, top, right and bottom of its box.
        """
        expect_shape(images, (None, 3, None, None), "detector input (batch, rgb, height, width)")
        if images.shape[2] % MULTIPLE or images.shape[3] % MULTIPLE:
            raise ValueError(
                f"detector input: pad the sides to multiples of {MULTIPLE}, got {tuple(images.shape)}"
            )
        x, levels = self.stem(images), []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            x = stage(x)
            levels.append(lateral(x))
        top = levels.pop()
        while levels:
            top = levels.pop() + F.interpolate(top, scale_factor=2.0)
        output = self.output(self.merge(top)).float()
        distances = output[:, 1:].clamp(max=MAX_LOG_DISTANCE).exp() * STRIDE
        return torch.cat([output[:, :1], distances], dim=1)


def cell_centres(height: int, width: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """x (1, width) and y (height, 1) in pixels of the image that a map of this size belongs to."""
    x = (torch.arange(width, device=device) + 0.5) * STRIDE
    y = (torch.arange(height, device=device) + 0.5) * STRIDE
    return x[None], y[:, None]


def decode(
    output: Tensor, *, threshold: float = 0.4, most: int = 32, overlap: float = 0.4
) -> list[Detections]:
    """Faces of every image.

    Args:
        output: (B, 5, h, w) as the detector returns it.
        threshold: Least score of a face.
        most: Most faces of an image.
        overlap: Boxes whose intersection over union with a more certain box exceeds this are dropped.
    """
    expect_shape(output, (None, 5, None, None), "detector output (batch, score and distances, height, width)")
    scores = output[:, 0].sigmoid()
    peaks = scores * (scores == F.max_pool2d(scores[:, None], 3, 1, 1)[:, 0])
    x, y = cell_centres(*output.shape[2:], device=output.device)
    left, top, right, bottom = output[:, 1:].unbind(1)
    boxes = torch.stack([x - left, y - top, x + right, y + bottom], dim=3).flatten(1, 2)
    found = []
    for image_boxes, image_scores in zip(boxes, peaks.flatten(1), strict=True):
        best, where = image_scores.topk(min(most, image_scores.numel()))
        candidates = image_boxes[where[best >= threshold]]
        kept = _without_overlaps(candidates, overlap)
        found.append(Detections(boxes=candidates[kept], scores=best[: len(candidates)][kept]))
    return found


def _without_overlaps(boxes: Tensor, most: float) -> list[int]:
    kept: list[int] = []
    overlaps = intersection_over_union(boxes, boxes)
    for index in range(len(boxes)):
        if all(float(overlaps[index, other]) <= most for other in kept):
            kept.append(index)
    return kept


def intersection_over_union(boxes: Tensor, others: Tensor) -> Tensor:
    """Boxes (n, 4) and (m, 4) to the overlap (n, m) of every pair, in [0, 1]."""
    low = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    areas, other_areas = ((b[:, 2:] - b[:, :2]).clamp(min=0).prod(1) for b in (boxes, others))
    return shared / (areas[:, None] + other_areas[None] - shared).clamp(min=1e-9)
