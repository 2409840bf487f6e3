"""Trains the parsing network on rendered portraits: the class of every pixel of an aligned crop.

The network answers for every eighth pixel, so a crop is enlarged twofold before it is parsed. Learning is mostly
on quarters of enlarged crops, which cost as much as whole ones that are not.
"""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.networks.bisenet import BiSeNet, BiSeNetConfig
from training.aligned import AlignedBatches, reduce, to_tensor
from training.augment import Spread
from training.command import finish, options
from training.data import Portraits
from training.loop import Batch, LoopConfig, train
from training.metrics import confusion, intersection_over_union

CLASSES = (
    "background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "eye_g", "l_ear", "r_ear", "ear_r", "nose",
    "mouth", "u_lip", "l_lip", "neck", "neck_l", "cloth", "hair", "hat",
)  # fmt: skip
CONFIG = {"classes": len(CLASSES), "width": 24}
SIZE = 256
ENLARGED = 2
"""How much larger the network sees a crop."""
WHOLE_EVERY = 4
"""Every so many steps the crops are seen whole, and a quarter as many of them."""
AUXILIARY_WEIGHT = 0.3


class ParsingLoss:
    """Cross-entropy of all three heads, rare classes weighing a little more, and the main head's soft IoU.

    Weights alone would have to be so steep, for brows and lips to count, that these come out too large.
    """

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        """Scalar loss of a `BiSeNet`."""
        network = cast(BiSeNet, network)
        spatial, context8, context16 = network.cp(network.normalize(batch["images"]))
        main = network.conv_out
        features = main.conv(network.ffm(spatial, context8))
        # Half the side is a quarter of the work, and as fine as the labels were before they were enlarged.
        logits = [(main.conv_out(features).float(), batch["images"].shape[-1] // ENLARGED)]
        for head, context in ((network.conv_out16, context8), (network.conv_out32, context16)):
            logits.append((head.conv_out(head.conv(context)).float(), context.shape[-1]))
        pairs = [aligned(found, batch["parsing"], size) for found, size in logits]
        losses = [F.cross_entropy(found, labels, self.weights.to(found.device)) for found, labels in pairs]
        return losses[0] + AUXILIARY_WEIGHT * (losses[1] + losses[2]) + soft_iou_loss(*pairs[0])


def aligned(logits: Tensor, labels: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Logits (B, C, h, w) and labels (B, H, W), both brought to `size` pixels."""
    if logits.shape[-1] != size:
        logits = F.interpolate(logits, size=(size, size), mode="bilinear", align_corners=True)
    # The heads enlarge with aligned corners, so these are the pixels that their samples fall on.
    grid = torch.linspace(0, labels.shape[-1] - 1, size).round().long()
    return logits, labels[:, grid][:, :, grid]


def soft_iou_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - IoU of the probabilities (B, C, H, W) and the labels (B, H, W), mean over the batch's classes."""
    chances = logits.softmax(1)
    truth = F.one_hot(labels, chances.shape[1]).movedim(3, 1)
    both, area = (chances * truth).sum((0, 2, 3)), truth.sum((0, 2, 3))
    iou = both / (chances.sum((0, 2, 3)) + area - both)
    return 1 - iou[area > 0].mean()


@dataclass(frozen=True, kw_only=True)
class EnlargedBatches:
    """Batches by step of enlarged quarters of crops, and now and then of fewer enlarged whole crops."""

    crops: AlignedBatches

    def __call__(self, step: int) -> Batch:
        """images (B, 3, S, S) in [-1, 1] and parsing (B, S, S) int64."""
        batch = self.crops(step)
        images, labels = batch["images"], batch["parsing"]
        if step % WHOLE_EVERY == 0:
            images, labels = images[: len(images) // ENLARGED**2], labels[: len(labels) // ENLARGED**2]
        else:
            side = SIZE // ENLARGED
            top, left = np.random.default_rng((self.crops.seed, 2, step)).integers(0, SIZE - side + 1, 2)
            window = np.s_[..., top : top + side, left : left + side]
            images, labels = images[window], labels[window]
        large = labels.repeat_interleave(ENLARGED, 1).repeat_interleave(ENLARGED, 2)
        return {"images": enlarge(images), "parsing": large}


def enlarge(images: Tensor) -> Tensor:
    """Crops (B, C, H, W) as the network sees them."""
    large = F.interpolate(images, scale_factor=ENLARGED, mode="bilinear", align_corners=False)
    return large.contiguous(memory_format=torch.channels_last)


def class_weights(portraits: Portraits, count: int = 400) -> Tensor:
    """Inverse fourth roots of the classes' shares, mean 1 over the pixels."""
    labels = portraits.rows("parsing", np.arange(min(count, len(portraits))))[:, ::4, ::4]
    share = np.bincount(labels.ravel(), minlength=len(CLASSES)) / labels.size
    weights = np.where(share > 0, np.maximum(share, 1e-6) ** -0.25, 0)
    return torch.tensor(weights / (weights * share).sum(), dtype=torch.float32)


@torch.inference_mode()
def parse(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """Classes (N, S, S) of crops (N, S, S, 3) uint8."""
    network = cast(BiSeNet, network)
    parts = [
        F.avg_pool2d(network(enlarge(to_tensor(part))), ENLARGED).argmax(1)
        for part in np.array_split(images, max(1, len(images) // 4))
    ]
    return torch.cat(parts).to(torch.uint8).numpy()


def evaluate(network: nn.Module, portraits: Portraits, count: int = 200) -> dict[str, float]:
    """IoU per class and its mean over those that occur, on portraits that were not trained on."""
    indices = np.arange(min(count, len(portraits)))
    images = np.stack([reduce(image, SIZE) for image in portraits.rows("images", indices)])
    true = np.stack([reduce(label, SIZE, labels=True) for label in portraits.rows("parsing", indices)])
    scores = intersection_over_union(confusion(parse(network, images), true, len(CLASSES)))
    named = {f"iou_{name}": float(iou) for name, iou in zip(CLASSES, scores, strict=True) if iou == iou}
    return {"miou": float(np.nanmean(scores))} | named


def overlay(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Crops (N, S, S, 3) with their classes (N, S, S) in colours, side by side (S, N * S, 3)."""
    hues = np.arange(len(CLASSES)) * 67 % 180
    colours = np.stack([hues, 0 * hues + 220, 0 * hues + 230], axis=-1)[None].astype(np.uint8)
    palette = cv2.cvtColor(colours, cv2.COLOR_HSV2RGB)[0]
    return np.concatenate(list(images // 2 + palette[labels] // 2), axis=1)


def main() -> None:
    """Train and report; see `--help`."""
    asked = options("parsing", __doc__, LoopConfig(steps=5200, learning_rate=3e-3))
    training, held_out = Portraits.split(asked.data)
    spread = Spread(degrees=8, log_scale=0.12, shift=0.05)
    batches = AlignedBatches(
        portraits=training, size=SIZE, batch_size=16, seed=asked.loop.seed, spread=spread, with_parsing=True
    )
    loss = ParsingLoss(class_weights(training))
    trained = train(
        BiSeNet(BiSeNetConfig(**CONFIG)), loss, EnlargedBatches(crops=batches), asked.out, asked.loop
    )
    shown = held_out.rows("images", np.arange(6))
    sheet = overlay(shown, parse(trained, shown))
    cv2.imwrite(str(asked.out / "overlay.png"), sheet[..., ::-1])
    finish(asked, trained, CONFIG, evaluate(trained, held_out))


if __name__ == "__main__":
    main()
