"""A short video that is aligned and inverted, ready to be stitched."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from seamline_inverter.inversion import invert
from seamline_inverter.options import InversionConfig
from seamline_inverter.pivotal_tuning import TuningConfig
from seamline_stitcher.plan import Plan
from seamline_stitcher.stitching import Stitched, stitch_range
from seamline_stitcher.stitching_tuning import StitchingConfig

from seamline.alignment import Alignment
from seamline.bundles import Bundle
from seamline.editing.edit import PlannedEdit
from seamline.job import Job
from seamline.storage import Artifact, Store, decode_frames, open_store
from seamline.v1.media_pb2 import ArtifactRef
from tests.fakes.alignment import put_alignment
from tests.fakes.bundle import tiny_bundle

TUNING = StitchingConfig(
    max_steps=3, learning_rate=2e-3, style_learning_rate=1e-2, frames_together=32, batch_size=4, seed=0
)


def edit(name: str, *keyframes: tuple[float, float]) -> PlannedEdit:
    """A step along a direction."""
    return PlannedEdit(name=name, keyframes=keyframes)


PLAN = Plan(edits=(edit("smile", (0.0, 2.0)), edit("age", (0.0, -1.0))), frames=(0, 10), tuning=TUNING)
"""Two edits of the whole video."""
HIDDEN = 5
"""The frame without a face."""


@dataclass
class Inverted:
    """A store with everything that the stitcher needs."""

    store: Store
    bundle: Bundle
    alignment: ArtifactRef
    inversion: ArtifactRef

    def stitch(self, plan: Plan = PLAN, store: Store | None = None) -> Stitched:
        """Runs the stage."""
        return stitch_range(store or self.store, self.bundle, self.alignment, self.inversion, plan, Job("stitch"))

    def frames(self, stitched: Stitched) -> np.ndarray:
        """The edited frames of the whole range."""
        artifact = Artifact.open(self.store, stitched.ref, stage="stitch")
        names = sorted(name for name in artifact.parts if name.startswith("frames-"))
        return np.concatenate([decode_frames(artifact.read_part(name)) for name in names])

    def source(self) -> np.ndarray:
        """The frames before."""
        alignment = Alignment.open(self.store, self.alignment)
        return np.concatenate([alignment.frames(stored) for stored in alignment.ranges])

    def crops(self, plan: Plan, kind: str) -> np.ndarray:
        """The crops (n, R, R, 3) of one kind that a whole plan makes: naive, stitched or masks."""
        artifact = Artifact.open(self.store, self.stitch(plan).ref, stage="stitch")
        names = sorted(name for name in artifact.parts if name.startswith(f"{kind}-"))
        return np.concatenate([decode_frames(artifact.read_part(name)) for name in names])


def inverted_video(folder: Path, hidden: Sequence[int] = (HIDDEN,)) -> Inverted:
    """Aligns and inverts ten frames, the `hidden` without a face, with the tiny bundle; all lies in `folder`."""
    bundle, store = tiny_bundle(folder / "bundles"), open_store(f"file://{folder}/store")
    alignment = put_alignment(store, bundle, hidden=hidden)
    config = InversionConfig(tuning=TuningConfig(max_passes=2, learning_rate=3e-3, batch_size=4))
    inversion = invert(store, bundle, alignment, config, Job("invert")).ref
    return Inverted(store, bundle, alignment, inversion)
