"""Trains the attribute network on rendered portraits: standardised parameters from aligned crops."""

import numpy as np
import torch
from torch import Tensor, nn

from seamline.networks.attributes import AttributeNetwork, AttributesConfig
from training.aligned import AlignedBatches, reduce, to_tensor
from training.command import finish, options
from training.data import Portraits
from training.loop import Batch, LoopConfig, train
from training.metrics import explained_variance
from training.renderer.parameters import ATTRIBUTES, INDEX

COLUMNS = [INDEX[name] for name in ATTRIBUTES]
CONFIG = {"names": list(ATTRIBUTES), "input_size": 128, "width": 24}


def loss(network: nn.Module, batch: Batch) -> Tensor:
    """Mean squared error in standard deviations."""
    return (network(batch["images"]).float() - batch["z"][:, COLUMNS]).square().mean()


@torch.inference_mode()
def evaluate(network: nn.Module, portraits: Portraits, count: int = 1000) -> dict[str, float]:
    """R² of every attribute on portraits that were not trained on, and their mean."""
    found = []
    for indices in np.array_split(np.arange(min(count, len(portraits))), 20):
        images = np.stack(
            [reduce(image, CONFIG["input_size"]) for image in portraits.rows("images", indices)]
        )
        found.append(network(to_tensor(images)).numpy())
    true = portraits.rows("z", np.arange(min(count, len(portraits))))[:, COLUMNS]
    scores = explained_variance(np.concatenate(found), true)
    named = {f"r2_{name}": float(score) for name, score in zip(ATTRIBUTES, scores, strict=True)}
    return {"r2_mean": float(scores.mean())} | named


def main() -> None:
    """Train and report; see `--help`."""
    asked = options("attributes", __doc__, LoopConfig(steps=6000, learning_rate=2.5e-3))
    training, held_out = Portraits.split(asked.data)
    network = AttributeNetwork(AttributesConfig(**CONFIG))
    batches = AlignedBatches(
        portraits=training, size=CONFIG["input_size"], batch_size=32, seed=asked.loop.seed
    )
    trained = train(network, loss, batches, asked.out, asked.loop)
    finish(asked, trained, CONFIG, evaluate(trained, held_out))


if __name__ == "__main__":
    main()
