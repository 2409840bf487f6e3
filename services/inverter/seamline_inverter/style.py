"""The style stage: two texts in, what a bundle's generator learns from them out. It serves every video."""

from dataclasses import asdict, dataclass
from typing import cast

import safetensors.torch
import torch
from torch import Tensor

from seamline.bundles import Bundle
from seamline.editing.style import Style
from seamline.job import Job, Step
from seamline.networks import Generator
from seamline.storage.artifact import Artifact, ArtifactWriter, Recipe
from seamline.storage.layout import SHARED
from seamline.storage.store import Store
from seamline.tuning import Precision
from seamline.v1.media_pb2 import ArtifactRef
from seamline_inverter.checkpoint import Checkpoint
from seamline_inverter.style_adaptation import StyleAdaptation, StyleConfig

VERSION = 1
CHANGE = "change.safetensors"
"""Part with what learning adds to the generator's parameters, in float16, as tuned generators are kept."""


@dataclass(frozen=True, kw_only=True)
class Learned:
    """The stage's result."""

    ref: ArtifactRef
    change: dict[str, Tensor]
    """What to add to parameters of the synthesis network, by name, on the CPU, for a strength of 1."""
    steps: int
    """Optimiser steps taken."""
    loss: float
    """On faces that no step learned from."""

    def add_to(self, generator: Generator, strength: float) -> None:
        """Changes a generator of the same bundle in place, whatever it was tuned to before."""
        parameters = dict(generator.synthesis.named_parameters())
        with torch.no_grad():
            for name, change in self.change.items():
                parameters[name].add_(change.to(parameters[name]), alpha=strength)


def learn(store: Store, bundle: Bundle, style: Style, config: StyleConfig, job: Job) -> Learned:
    """Learns a style, whose strength does not matter here, or returns what was learned.

    Args:
        store: where it goes.
        bundle: whose generator learns.
        style: the texts.
        config: how to learn.
        job: told of progress, and asked whether to go on.

    Raises:
        InvalidInput: the tuning diverged.
        StoreUnavailable: as `Store`.
        Cancelled: as `Job.check`.
    """
    precision = cast(Precision, bundle.defaults["invert"].get("precision", "float32"))
    texts = {"neutral": style.neutral, "target": style.target}
    parameters = {**texts, **asdict(config), "precision": precision}
    recipe = Recipe(
        video=SHARED, stage="style", version=VERSION, inputs={"bundle": bundle.digest}, parameters=parameters
    )
    writer = ArtifactWriter(store, recipe)
    ref = writer.finished()
    if ref is None:
        checkpoint = Checkpoint(store, f"{recipe.key}/checkpoints/style.safetensors")
        adaptation = StyleAdaptation(bundle, style.neutral, style.target, config, precision)
        with job.step("learn", total=config.max_steps) as step:
            _run(adaptation, checkpoint, step)
        with job.step("write"):
            halved = {name: change.half().cpu().contiguous() for name, change in adaptation.change.items()}
            writer.put_part(CHANGE, safetensors.torch.save(halved))
            figures = {"steps": adaptation.steps, "loss": adaptation.loss}
            ref = writer.finish({"bundle": bundle.name, "bundle_digest": bundle.digest, **texts, **figures})
            checkpoint.clear()
    artifact = Artifact.open(store, ref, stage="style")
    change = safetensors.torch.load(artifact.read_part(CHANGE))
    return Learned(ref=ref, change=change, steps=artifact.meta["steps"], loss=artifact.meta["loss"])


def _run(adaptation: StyleAdaptation, checkpoint: Checkpoint, step: Step) -> None:
    """Learns until it is done, on from the last checkpoint of an earlier attempt."""
    if state := checkpoint.load():
        adaptation.restore(state)
        step.skip(adaptation.steps)
    while not adaptation.finished:
        step.advance(loss=adaptation.update())
        if checkpoint.due:
            checkpoint.save(adaptation.state())
