"""What text edits need, drawn at random, for a bundle that was never measured."""

import torch
import torch.nn.functional as F

from seamline.bundles import Bundle, Relevance, load_bundle, put_relevance
from seamline.bundles.relevance import style_layers
from seamline.networks.clip import Clip
from seamline.networks.stylegan2 import SynthesisLayer

BETA = 0.25


def with_relevance(bundle: Bundle, seed: int = 3) -> Bundle:
    """Writes it into the bundle; returns the bundle as it is then."""
    channels = sum(layer.inputs for layer in style_layers(bundle.generator()) if isinstance(layer, SynthesisLayer))
    clip = bundle.module("clip")
    assert isinstance(clip, Clip)
    rng = torch.Generator().manual_seed(seed)
    relevance = Relevance(
        embeddings=F.normalize(torch.randn(channels, clip.config.embedding, generator=rng), dim=1),
        mean=torch.randn(channels, generator=rng),
        std=torch.rand(channels, generator=rng) + 0.5,
        beta=BETA,
    )
    put_relevance(bundle.directory, relevance, "tests/fakes/relevance.py")
    return load_bundle(bundle.name, bundle.directory.parent)
