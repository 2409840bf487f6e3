"""Trains the perceptual distance: features that know faces, weighted so that worse pictures are further away.

As in LPIPS (Zhang et al. 2018, arXiv:1801.03924) the features come from another task - here the renderer's
parameters and the classes of the pixels - and only the weights per channel are fitted, to judgements that are
known by construction: of two damaged copies of a portrait the one damaged more is worse, a small shift or
tint is better than a blur, and of two other portraits the one with nearer parameters is the closer one.
"""

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.networks.lpips import Lpips, LpipsConfig
from training.aligned import AlignedBatches, to_tensor
from training.augment import Spread
from training.command import finish, options
from training.data import Portraits
from training.judgements import Judgements
from training.loop import Batch, LoopConfig, train
from training.renderer.parameters import PARAMETERS

CONFIG = {"width": 24}
SIZE = 256
CLASSES = 19
TYPICAL_DISTANCE = 0.5
"""Mean distance of two unrelated portraits, about that of AlexNet LPIPS, so that loss weights carry over."""


class Pretext(nn.Module):
    """The features with heads that read parameters and parsing off them."""

    def __init__(self, network: Lpips) -> None:
        super().__init__()
        self.network = network
        channels = network.config.channels
        self.parameters_head = nn.Linear(channels[4] * 25, len(PARAMETERS))
        self.parsing_heads = nn.ModuleList(nn.Conv2d(channels[level], CLASSES, 1) for level in (1, 2, 4))


def loss(module: nn.Module, batch: Batch) -> Tensor:
    """Squared error of the parameters and cross-entropy of the coarse parsing."""
    assert isinstance(module, Pretext)
    features = module.network.net(module.network.scaling_layer(batch["images"]))
    grid = F.adaptive_avg_pool2d(features[4], 5).flatten(1)
    total = (module.parameters_head(grid).float() - batch["z"]).square().mean()
    for level, head in zip((1, 2, 4), module.parsing_heads, strict=True):
        logits = head(features[level]).float()
        places = torch.linspace(4, SIZE - 5, logits.shape[-1]).round().long()
        total = total + 0.3 * F.cross_entropy(logits, batch["parsing"][:, places][:, :, places])
    return total


@torch.no_grad()
def channel_distances(network: Lpips, first: np.ndarray, second: np.ndarray) -> Tensor:
    """Mean squared difference of every channel (N, sum of channels) of two batches (N, S, S, 3) uint8."""
    parts = []
    for one, other in zip(first, second, strict=True):
        features = network.features(to_tensor(np.stack([one, other])))
        parts.append(torch.cat([(f[0] - f[1]).square().mean((1, 2)) for f in features]))
    return torch.stack(parts)


def fit_weights(better: Tensor, worse: Tensor, steps: int = 400) -> Tensor:
    """Non-negative channel weights (C,) under which `worse` (N, C) is further away than `better` (N, C)."""
    # Channels are fitted in units of their own mean, so that strong ones do not drown the others.
    unit = (better + worse).mean(0) + 1e-8
    logits = torch.zeros(better.shape[1], requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.05)
    for _ in range(steps):
        weights = F.softplus(logits) / unit
        near, far = better @ weights + 1e-6, worse @ weights + 1e-6
        value = F.softplus(-4 * (far / near).log()).mean() + 1e-3 * logits.square().mean()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return (F.softplus(logits) / unit).detach()


def set_weights(network: Lpips, weights: Tensor) -> None:
    """Store channel weights (sum of channels,) in the network's five layers."""
    with torch.no_grad():
        for layer, part in zip(network.lins, weights.split(network.config.channels), strict=True):
            layer.get_parameter("model.1.weight").copy_(part[None, :, None, None])


def calibrate(network: Lpips, portraits: Portraits, judgements: Judgements) -> None:
    """Fit the channel weights, and scale them to `TYPICAL_DISTANCE`."""
    reference, better, worse = judgements.draw(portraits)
    near = channel_distances(network, reference, better)
    far = channel_distances(network, reference, worse)
    weights = fit_weights(near, far)
    typical = channel_distances(network, reference[:-1], reference[1:]) @ weights
    set_weights(network, weights * TYPICAL_DISTANCE / typical.mean())


@torch.no_grad()
def evaluate(network: Lpips, portraits: Portraits, count: int = 400) -> dict[str, float]:
    """Share of judgements on unseen portraits that the distance, and for comparison L2, gets right."""
    reference, better, worse = Judgements(count=count, seed=90_001).draw(portraits)

    def distance(others: np.ndarray) -> np.ndarray:
        pairs = zip(reference, others, strict=True)
        return np.array([float(network(to_tensor(a[None]), to_tensor(b[None]))) for a, b in pairs])

    def squared(others: np.ndarray) -> np.ndarray:
        return ((reference.astype(np.float32) - others) ** 2).mean((1, 2, 3))

    return {
        "judgements": float((distance(better) < distance(worse)).mean()),
        "judgements_l2": float((squared(better) < squared(worse)).mean()),
    }


def main() -> None:
    """Train and report; see `--help`."""
    asked = options("perceptual", __doc__, LoopConfig(steps=600, learning_rate=1.5e-3))
    training, held_out = Portraits.split(asked.data)
    spread = Spread(degrees=10, log_scale=0.15, shift=0.06)
    batches = AlignedBatches(
        portraits=training, size=SIZE, batch_size=24, seed=asked.loop.seed, spread=spread, with_parsing=True
    )
    module = train(Pretext(Lpips(LpipsConfig(**CONFIG))), loss, batches, asked.out, asked.loop)
    network = cast(Pretext, module).network
    calibrate(network, training, Judgements(count=1200, seed=asked.loop.seed))
    finish(asked, network, CONFIG, evaluate(network, held_out))


if __name__ == "__main__":
    main()
