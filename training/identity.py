"""Trains the identity network on rendered people: margin softmax over them, and their face's parameters.

The classes are pulled apart with CosFace (Wang et al. 2018, arXiv:1801.09414). A linear read-out of the
identity parameters from the embedding goes along in training only: it tells in which way two people differ,
which a few hundred classes alone would not teach, and learns from portraits of people seen once as well. At last
the embedding is turned and scaled in closed form (Fisher 1936), so that its cosine weighs what differs between
people against what differs between pictures of one; the network's last linear layer takes that up.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import eigh
from torch import Tensor, nn

from seamline.networks.arcface import ArcFace, ArcFaceConfig
from training.aligned import reduce, shuffled, to_tensor
from training.augment import Spread, jitter, photometric, warp
from training.command import finish, options
from training.data import Portraits
from training.loop import Batch, LoopConfig, train
from training.metrics import verification_accuracy
from training.renderer.parameters import PARAMETERS

COLUMNS = [index for index, parameter in enumerate(PARAMETERS) if parameter.group == "identity"]
CONFIG = {"input_size": 112, "width": 16, "units": [1, 1, 1, 1], "embedding": 128, "dropout": 0.0}
HELD_OUT = 0.1
"""Share of people that are not trained on."""
SCALE, MARGIN = 20.0, 0.2
PERSON_WEIGHT, PARAMETER_WEIGHT = 0.2, 10.0
"""The classes alone are soon known by heart; what is new in every portrait are the parameters."""
COLOUR = 0.3
"""Share of the usual change of colours: skin, hair and eyes have those of a person."""
SPREAD = Spread(degrees=3, log_scale=0.04, shift=0.02)


class Recogniser(nn.Module):
    """The identity network with its two training heads."""

    def __init__(self, network: ArcFace, people: int) -> None:
        super().__init__()
        self.network = network
        self.centres = nn.Parameter(torch.randn(people, network.config.embedding) * 0.1)
        self.parameters_head = nn.Linear(network.config.embedding, len(COLUMNS))


def loss(module: nn.Module, batch: Batch) -> Tensor:
    """CosFace over the people that are seen often, and the squared error of everyone's parameters."""
    assert isinstance(module, Recogniser)
    embedding = module.network(batch["images"])
    with torch.autocast(batch["images"].device.type, enabled=False):
        cosine = embedding @ F.normalize(module.centres, dim=1).T
        person = batch["person"]
        known = person >= 0
        margin = F.one_hot(person[known], cosine.shape[1]) * MARGIN
        # The read-out needs the length that normalising took away: embeddings of unit variance.
        scaled = embedding * embedding.shape[1] ** 0.5
        error = (module.parameters_head(scaled) - batch["parameters"]).square().mean()
        margin_loss = F.cross_entropy(SCALE * (cosine[known] - margin), person[known])
        return PERSON_WEIGHT * margin_loss + PARAMETER_WEIGHT * error


@dataclass(frozen=True, kw_only=True)
class People:
    """Portraits grouped by person: those whose identity parameters agree."""

    portraits: Portraits
    rows: np.ndarray
    """Which portraits these are (N,)."""
    person: np.ndarray
    """Who is on them (N,), counted from 0."""

    @classmethod
    def of(cls, portraits: Portraits) -> "People":
        """Everyone on the portraits."""
        rows = np.arange(len(portraits))
        z = portraits.rows("z", rows)[:, COLUMNS]
        _, first, person = np.unique(z.round(4), axis=0, return_index=True, return_inverse=True)
        # Counted as they appear: sorted, those held out would all have the widest faces.
        order = np.argsort(np.argsort(first))
        return cls(portraits=portraits, rows=rows, person=order[person])

    def split(self) -> "tuple[People, People]":
        """People to train on, and people that are held out."""
        bound = int((self.person.max() + 1) * (1 - HELD_OUT))
        seen, unseen = self.person < bound, self.person >= bound
        return (
            People(portraits=self.portraits, rows=self.rows[seen], person=self.person[seen]),
            People(portraits=self.portraits, rows=self.rows[unseen], person=self.person[unseen] - bound),
        )


@dataclass(frozen=True, kw_only=True)
class IdentityBatches:
    """Batches by step: `batches(step)` is the same on every call."""

    people: People
    strangers: Portraits
    """Portraits of people seen once, half of every batch."""
    batch_size: int = 32
    seed: int = 0

    def __call__(self, step: int) -> dict[str, Tensor]:
        """images (B, 3, 112, 112), person (B,), -1 for strangers, and standardised parameters (B, K)."""
        rng = np.random.default_rng((self.seed, step))
        half = self.batch_size // 2
        chosen = shuffled(len(self.people.rows), step, half, self.seed)
        strangers = shuffled(len(self.strangers), step, half, self.seed)
        parts = ((self.people.portraits, self.people.rows[chosen]), (self.strangers, strangers))
        seen = [view(image, rng) for source, rows in parts for image in source.rows("images", rows)]
        z = np.concatenate([source.rows("z", rows) for source, rows in parts])
        return {
            "images": to_tensor(np.stack(seen)),
            "person": torch.from_numpy(np.concatenate([self.people.person[chosen], np.full(half, -1)])),
            "parameters": torch.from_numpy(z[:, COLUMNS]),
        }


def face_crop(image: np.ndarray) -> np.ndarray:
    """The part of an aligned crop (S, S, 3) that the identity network sees, 112 px: rows 35-223 of 256."""
    aligned = reduce(image, 256)
    return cv2.resize(aligned[35:223, 32:220], (112, 112), interpolation=cv2.INTER_AREA)


def view(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same (112, 112, 3), moved about a little and seen through another camera."""
    return photometric(warp(face_crop(image), jitter(112, SPREAD, rng), 112), rng, COLOUR)


@torch.inference_mode()
def embed(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """Embeddings (N, D) of aligned crops (N, S, S, 3) uint8."""
    parts = np.array_split(images, max(1, len(images) // 32))
    return np.concatenate(
        [network(to_tensor(np.stack([face_crop(image) for image in part]))).numpy() for part in parts]
    )


@torch.no_grad()
def discriminate(network: ArcFace, people: People) -> None:
    """Fold the best linear map of the embeddings into the last layer; see `discriminant`."""
    linear, norm = network.output_layer[3], network.output_layer[4]
    assert isinstance(linear, nn.Linear) and isinstance(norm, nn.BatchNorm1d)  # noqa: PT018
    assert norm.running_mean is not None and norm.running_var is not None  # noqa: PT018
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    offset = norm.bias - gain * norm.running_mean
    features = _unnormalised(network, people)
    matrix, centre = discriminant(features, people.person)
    turn, shift = torch.from_numpy(matrix).float(), torch.from_numpy(centre).float()
    linear.bias.copy_(turn @ (gain * linear.bias + offset - shift))
    linear.weight.copy_(turn @ (gain[:, None] * linear.weight))
    norm.weight.copy_((1 + torch.tensor(norm.eps)).sqrt().expand_as(norm.weight))
    norm.bias.zero_()
    norm.running_mean.zero_()
    norm.running_var.fill_(1)


def _unnormalised(network: ArcFace, people: People) -> np.ndarray:
    """Embeddings (N, D) before they are made unit length, of other views than the network was trained on.

    What cameras do to a picture does not tell people apart either.
    """
    found, rng = [], np.random.default_rng(1)
    for rows in np.array_split(people.rows, max(1, len(people.rows) // 32)):
        images = [view(image, rng) for image in people.portraits.rows("images", rows)]
        found.append(network.output_layer(network.stages(to_tensor(np.stack(images)))[-1]).numpy())
    return np.concatenate(found)


def discriminant(features: np.ndarray, person: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fisher's discriminants, each weighed by how much of it is the person.

    Args:
        features: (N, D).
        person: (N,), counted from 0, each seen more than once.

    Returns:
        A matrix (D, D) and a centre (D,): matrix @ (x - centre) has unit variance within people in every
        direction, times the root of the share that the variance between people has there.
    """
    features = features.astype(np.float64)
    centre, counts = features.mean(0), np.bincount(person)
    means = np.stack([np.bincount(person, column) for column in features.T], 1) / counts[:, None]
    inside = features - means[person]
    within = inside.T @ inside / (len(features) - len(counts))
    within += np.eye(len(within)) * 1e-3 * np.trace(within) / len(within)
    # A mean of n pictures still carries one n-th of the variance within.
    between = np.cov(means.T, bias=True) - within * (1 / counts).mean()
    strength, directions = eigh(between, within)
    strength = strength.clip(min=0)
    return (directions * np.sqrt(strength / (strength + 1))).T, centre


def evaluate(network: nn.Module, people: People, count: int = 960) -> dict[str, float]:
    """Verification accuracy on people that were not trained on."""
    rows, person = people.rows[:count], people.person[:count]
    embeddings = embed(network, people.portraits.rows("images", rows))
    return {"verification": verification_accuracy(embeddings, person), "people": float(person.max() + 1)}


def main() -> None:
    """Train and report; see `--help`."""
    second = ("portraits", "shards of people seen once")
    asked = options("identity", __doc__, LoopConfig(steps=4000, learning_rate=2e-3, weight_decay=0.05), second)
    assert asked.second is not None
    training, held_out = People.of(Portraits.all(asked.data)).split()
    module = Recogniser(ArcFace(ArcFaceConfig(**CONFIG)), int(training.person.max()) + 1)
    strangers, _ = Portraits.split(asked.second)
    batches = IdentityBatches(people=training, strangers=strangers, seed=asked.loop.seed)
    trained = train(module, loss, batches, asked.out, asked.loop)
    assert isinstance(trained, Recogniser)
    discriminate(trained.network, training)
    finish(asked, trained.network, CONFIG, evaluate(trained.network, held_out))


if __name__ == "__main__":
    main()
